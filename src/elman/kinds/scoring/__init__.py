"""How good answers are: scores by kind of target, their names, and the verdict in words."""
