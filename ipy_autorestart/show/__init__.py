"""Status and output, for people."""
