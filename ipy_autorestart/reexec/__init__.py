"""Leave a process by exec, and arrive in the new image."""
