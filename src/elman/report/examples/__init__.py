"""The sections of a run that answers examples, or writes text on: one module a section or two."""
