"""The pure cycle of one target: what has changed, whether it matters, and what to do now.

Nothing here touches a thread, clock, signal or file, and nothing here imports another room of the package.
"""
