"""Tables in, series and spans out: reading, checking, splitting, windows, and named data sets."""
