"""The address of a cluster, from what a user has of it; nothing is imported for that."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import sys
from typing import Any

from ipy_autorestart import catalogue
from ipy_autorestart.protocol.options import BadInput


def where_of(name: str, value: object) -> str:
    """Return the address of the cluster that a variable has a client of; raises `BadInput`.

    Parameters
    ----------
    name
        The variable's.
    value
        A client of Dask or ipyparallel.
    """
    kind = type(value)
    if kind.__module__.partition(".")[0] == "ipyparallel":
        return _file_of(name, value)
    if kind.__module__.partition(".")[0] != "distributed" or "distributed" not in sys.modules:
        raise BadInput(catalogue.NOT_A_CLIENT(name=name, kind=kind.__qualname__))
    cluster = getattr(value, "cluster", None)
    if cluster is not None and type(cluster).__name__ == "LocalCluster":
        raise BadInput(catalogue.OWN_CLUSTER(name=name))
    address = getattr(getattr(value, "scheduler", None), "address", None)
    if not isinstance(address, str):
        raise BadInput(catalogue.NOT_CONNECTED(name=name))
    return address


def _file_of(name: str, value: Any) -> str:  # noqa: ANN401  # of a package that nobody has to have
    """Return the connection file that a client of ipyparallel has read, or the file of a cluster that stays."""
    cluster = value if hasattr(value, "cluster_file") else getattr(value, "cluster", None)
    if cluster is not None and cluster.shutdown_atexit:
        raise BadInput(catalogue.OWN_CLUSTER(name=name))
    if cluster is not None:
        return str(cluster.cluster_file)
    folder, key = value._profile_dir.security_dir, value.session.key.decode()  # noqa: SLF001  # it keeps no more
    for file in glob.glob(os.path.join(glob.escape(folder), "ipcontroller-*client.json")):
        with contextlib.suppress(OSError, ValueError), open(file) as text:
            if json.load(text).get("key") == key:
                return file
    raise BadInput(catalogue.FILE_UNKNOWN(name=name))
