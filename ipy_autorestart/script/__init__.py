"""The script target: a run is started, heard and stopped, in a process group of its own."""
