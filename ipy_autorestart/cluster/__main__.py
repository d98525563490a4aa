"""The helper as a program, in the interpreter of the script, which has the cluster's own client installed."""

from __future__ import annotations

import os
import sys

if not __package__:  # started by its path, as the supervisor is
    import importlib.util

    packages = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    spec = importlib.util.spec_from_file_location("ipy_autorestart", os.path.join(packages, "__init__.py"))
    assert spec is not None
    assert spec.loader is not None
    sys.modules["ipy_autorestart"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)

from ipy_autorestart.cluster.pusher import serve

if __name__ == "__main__":
    serve()
