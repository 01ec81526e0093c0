"""Kinds of input: what a column becomes before the first recurrent layer, one kind a file."""
