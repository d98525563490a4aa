"""What stands between a kernel and its clients: connection, messages, and the words of a kernel and its proxy."""
