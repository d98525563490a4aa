"""A plain program that restarts itself."""
