"""Replace a process by a new image of itself, and continue there."""

#: Environment variable with the descriptor, or the path, of what is handed over; removed before the user's code runs.
STATE = "IPY_AUTORESTART_STATE"
