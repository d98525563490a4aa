"""The supervisor's process: one loop that turns what happens into events, and decisions into acts."""
