"""The patience of a kernel with its own threads, requests and supervisors, where others use the machine, too."""

#: Has a kernel be as patient as a machine that is busy with much else needs: it has one try at being copied.
PATIENT = """
from ipy_autorestart.kernel import behind, checkpoints, trust
behind.STILL_MAX = behind.TOLD_MAX = checkpoints.STAND_MAX = 10.0
trust.WAITS_MAX = 2.0
del behind, checkpoints, trust
"""
