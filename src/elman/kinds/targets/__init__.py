"""What comes out: one kind of target a file, with its scores and baselines."""
