"""Drawings of a run, each a `Picture` with its legend and a caption that says what is seen."""
