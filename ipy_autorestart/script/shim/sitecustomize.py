"""Runs inside `import site` of a run, before CPython has opened the script: tells what the run reads and writes.

It undoes every trace of itself, and gives way to the user's own sitecustomize: by raising the very ImportError that
`site.execsitecustomize` expects where there is none. It imports only what `site` has imported already, since a module
beside the script may have the name of any other.
"""

import os
import sys

if False:  # for type checkers only: what is imported here, the script would find imported
    from typing import Any

VARIABLE = "IPY_AUTORESTART_RUN"  # script.run.VARIABLE, which can't be imported here
SEPARATOR = "\x1f"
NUMBER = 200  # out of the way of the descriptors that the script will count


def begin() -> None:
    """Undo the way in, and listen."""
    first, pythonpath, *roots = os.environ.pop(VARIABLE).split(SEPARATOR)
    number = int(first)
    if pythonpath:
        os.environ["PYTHONPATH"] = pythonpath[1:]
    else:
        del os.environ["PYTHONPATH"]
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if path != here]
    sys.path_importer_cache.pop(here, None)
    # A pipe makes Python hold back whole blocks; a notebook wants each line.
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a TextIOWrapper, this early
    try:
        if number != NUMBER:
            os.dup2(number, NUMBER, inheritable=False)
            os.close(number)
            number = NUMBER
    except OSError:  # fewer are allowed
        pass
    os.set_inheritable(number, False)  # noqa: FBT003
    if roots and roots != [""]:
        if sys.pycache_prefix:  # where what is imported leaves its compiled form, and is read from the next time
            roots += [sys.pycache_prefix + root for root in roots]
        listen(number, tuple(roots))


def listen(number: int, roots: tuple[str, ...]) -> None:
    """Set the audit hook; it must not raise, and must be quick for all that it doesn't report.

    One report is one write of less than PIPE_BUF bytes, so that those of forked children don't mix.
    """
    seen: set[object] = set()
    write, getcwd, join, abspath, fsdecode = os.write, os.getcwd, os.path.join, os.path.abspath, os.fsdecode
    fstat, samestat, pipe = os.fstat, os.path.samestat, os.fstat(number)
    getframe, to_write = sys._getframe, os.O_WRONLY | os.O_RDWR  # noqa: SLF001  # public but for its name
    others = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pty.spawn"})
    removes = frozenset({"os.rename", "os.remove", "os.truncate"})
    interesting = others | removes | {"open", "import", "os.listdir", "os.scandir", "os.chdir"}

    def hook(event: str, args: "tuple[Any, ...]") -> None:
        if event not in interesting:
            return
        try:
            path, kind = args[0], "r"
            if event == "open":
                mode, flags = args[1], args[2]
                if flags & to_write or (mode is not None and mode[:1] in "wax"):
                    kind = "w"
            elif event == "import":
                last = path.rpartition(".")[2]
                if last[:6] != "popen_" or last == "popen_fork":
                    return
                kind, path = "*", ""  # multiprocessing and its like start other interpreters, which no event tells
            elif event in others:
                kind, path = "*", ""
            elif event in removes:
                kind = "w"
                if event == "os.rename":  # os.replace too
                    path = args[1]
            elif event == "os.chdir":
                seen.clear()  # relative paths mean other files from now on
                return
            elif event == "os.listdir" and getframe(1).f_code.co_filename[:18] == "<frozen importlib.":
                return  # looking for modules is not using them
            if path.__class__ is int or (kind, path) in seen:
                return
            seen.add((kind, path))
            report = kind
            if kind != "*":
                name = abspath(join(getcwd(), fsdecode(path) if path is not None else "."))
                if not name.startswith(roots) or "/site-packages/" in name:
                    return
                report += name
            data = report.encode("utf-8", "surrogateescape") + b"\0"
            if samestat(fstat(number), pipe):  # the script may have closed it, and opened its own
                write(number, data if len(data) < 4096 else b"*\0")
        except Exception:  # noqa: BLE001  # the border: the user's own call goes on, whatever happens here
            return

    write(number, b"!\0")
    sys.addaudithook(hook)


begin()
del sys.modules["sitecustomize"]
try:
    import sitecustomize  # type: ignore[import-not-found]  # noqa: F401  # the user's own
except ImportError as error:
    if error.name != "sitecustomize":
        raise
    raise ImportError("there is none", name="sitecustomize") from None
