"""The handle of a supervisor, in whoever starts one."""
