"""The kernel target: the supervisor's hand on it, and what the kernel itself does to restart in place."""
