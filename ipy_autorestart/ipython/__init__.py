"""In any IPython shell: what it executes, and how one in a terminal restarts."""
