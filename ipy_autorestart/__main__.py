"""The supervisor as a program: started by a front, which holds the other end of the link."""

from __future__ import annotations

import os
import sys

if not __package__:
    # Started by its path, so that it is found wherever the front has imported the package from. At the end, so that
    # nothing beside the package can hide a module of the standard library.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from ipy_autorestart.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
