"""What changed, does it matter, what to do now: pure functions of values.

Nothing here touches a thread, clock, signal or file, and nothing here imports another room of the package.
"""
