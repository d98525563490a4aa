"""Replace a process by a new image of itself, and continue there."""

#: Environment variable with the descriptor, or the path, of what is handed over; removed before the user's code runs.
STATE = "IPY_AUTORESTART_STATE"

#: Environment variable of the shim that reports what a run uses, as `script.run` sets it.
RUN = "IPY_AUTORESTART_RUN"
