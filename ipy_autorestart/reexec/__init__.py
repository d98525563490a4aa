"""Leave a process by exec, and arrive in the new image."""

#: Environment variable that names the descriptor of what was handed over; gone before the user's code runs.
STATE = "IPY_AUTORESTART_STATE"
