"""The surroundings of kernels in tests, for those that start some of their own, too."""

import os

#: Ports of kernels that outlive a test: their client connects when it likes.
SHARED_PORTS = set()


def environment():
    """Return the variables of a kernel: ipykernel leaves descriptors 1 and 2 alone where it sees pytest."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
