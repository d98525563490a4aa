"""Has a program's process wait for the next change if its new code fails: runs inside `import site` of a next image.

What is registered here is the last of the exit functions, whatever the program registers. The module removes every
trace of itself and gives way to the user's own sitecustomize, or raises the ImportError that `site.execsitecustomize`
expects if there is none. It imports only what is built in, as a file beside the program may have the name of any other.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))


def begin() -> None:
    """Remove the traces of the way in, and have the end of the program noticed."""
    sys.path[:] = [path for path in sys.path if path != HERE]
    sys.path_importer_cache.pop(HERE, None)
    _, is_more, rest = os.environ.pop("PYTHONPATH").partition(os.pathsep)
    if is_more:
        os.environ["PYTHONPATH"] = rest
    is_new, pid = "atexit" not in sys.modules, os.getpid()
    import atexit

    atexit.register(lambda: end(pid))
    if is_new:
        del sys.modules["atexit"]


def end(pid: int) -> None:
    """Have the process wait if the program has failed; not a child of it."""
    if getattr(sys, "last_traceback", None) is None or os.getpid() != pid:
        return
    if PACKAGES not in sys.path:
        sys.path.append(PACKAGES)
    from ipy_autorestart.program.api import wait_if_failed

    wait_if_failed()


begin()
del sys.modules["sitecustomize"]
try:
    import sitecustomize  # type: ignore[import-not-found]  # noqa: F401  # the user's own
except ImportError as error:
    if error.name != "sitecustomize":
        raise
    raise ImportError("there is none", name="sitecustomize") from None
