"""The supervisor as a program: for a front, which holds the other end of a link, or for a terminal."""

from __future__ import annotations

import os
import sys

if not __package__:
    # Started by its path, so that it is the very package that the front has imported, wherever from and whatever else
    # is installed; without its folder in sys.path, where something might hide a module of the standard library.
    import importlib.util

    init = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__init__.py")
    spec = importlib.util.spec_from_file_location("ipy_autorestart", init)
    assert spec is not None
    assert spec.loader is not None
    sys.modules["ipy_autorestart"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)

from ipy_autorestart.cli import main

if __name__ == "__main__":
    sys.exit(main())
