"""HTTP in, HTTP out: translates, and decides nothing."""
