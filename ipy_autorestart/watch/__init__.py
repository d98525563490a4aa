"""See changes on disk: watchdog's events are hints, a snapshot of the tracked files is the truth."""
