"""The address of a cluster, from what a user has of it; nothing is imported for that."""

from __future__ import annotations

import sys

from ipy_autorestart.protocol.options import BadInput


def where_of(name: str, value: object) -> str:
    """Return the address of the cluster that a variable has a client of; raises `BadInput`.

    Parameters
    ----------
    name
        The variable's.
    value
        A client of Dask.
    """
    kind = type(value)
    if kind.__module__.partition(".")[0] != "distributed" or "distributed" not in sys.modules:
        raise BadInput(f"--cluster: {name} is no client of a cluster, but of the class {kind.__qualname__}; name one")
    cluster = getattr(value, "cluster", None)
    if cluster is not None and type(cluster).__name__ == "LocalCluster":
        raise BadInput(f"--cluster: the cluster of {name} runs in this process and begins anew with it: leave this out")
    address = getattr(getattr(value, "scheduler", None), "address", None)
    if not isinstance(address, str):
        raise BadInput(f"--cluster: {name} is not connected to a scheduler; connect it, or name an address or a file")
    return address
