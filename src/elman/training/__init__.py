"""Training through time: the loop, its checkpoints, and random numbers by place."""
