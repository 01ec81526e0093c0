"""Public data sets by name: where they lie, and how their files become one table each."""
