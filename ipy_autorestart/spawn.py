"""Start the supervisor's process."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import ipy_autorestart


def spawn(words: Sequence[str], *, link: int, errors: int) -> int:
    """Start the supervisor and return its process id.

    Not through Popen: after the kernel's exec there is only the number. In a session of its own, so that the interrupt
    button, which signals the kernel's group, doesn't reach it.
    """
    program = os.path.join(os.path.dirname(os.path.abspath(ipy_autorestart.__file__)), "__main__.py")
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", program, *words],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, link, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, errors, 2),
        ],
        setsid=True,
        setsigmask=[],
    )
