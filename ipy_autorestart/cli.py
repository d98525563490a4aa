"""The command line: ``ipy-autorestart src/ main.py``."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
from collections.abc import Sequence

import ipy_autorestart
from ipy_autorestart import catalogue
from ipy_autorestart.console import SIGNALS, Console
from ipy_autorestart.engine.build import serve, supervise
from ipy_autorestart.protocol.options import BadInput, Options
from ipy_autorestart.protocol.parse import HELPING, parse, parser
from ipy_autorestart.protocol.request import LINK, Kernel, Launch, Script
from ipy_autorestart.reexec.commandline import inherited, split
from ipy_autorestart.reexec.tty import Terminal, end_as_ever
from ipy_autorestart.script.foreground import Foreground
from ipy_autorestart.show.terminal import fitted

log = logging.getLogger(__name__)

NAME = "ipy-autorestart"

HELP = """Run a script, and run it again whenever a file that it uses changes.

  ipy-autorestart src/ main.py -- --port 80      watch src/ and main.py
  ipy-autorestart main.py                        watch the folder of main.py
  ipy-autorestart src/ -m uvicorn app:app        run a module

The script has the terminal as if it ran alone. Ctrl-C goes to the script; press
it again to end the watch. A SIGHUP to this program restarts the script.
"""

#: What this program has besides `Options`.
OWN = """
  -q, --quiet             no status line on standard error
  -h, --help              this help
  --version               the version
"""

QUIET, VERSION = frozenset({"-q", "--quiet"}), frozenset({"--version"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program; return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if list(argv[:1]) == [LINK]:
        return serve()
    end = argv.index("--") if "--" in argv else len(argv)  # what comes after is the script's
    own = (QUIET | HELPING | VERSION).intersection(argv[:end])
    if own & HELPING:
        options = parser(NAME, kinds=[Script.kind], columns=shutil.get_terminal_size().columns).format_help()
        sys.stdout.write(f"{options}{OWN}".replace("\n\n", f"\n\n{HELP}\n", 1))
        return 0
    if own & VERSION:
        sys.stdout.write(f"{NAME} {ipy_autorestart.__version__}\n")
        return 0
    try:
        given = [*(one for one in argv[:end] if one not in own), *argv[end:]]
        request = parse(given, defaults=Options(), kernel=False)
        if not request.paths and isinstance(request.target, Kernel):
            raise BadInput(catalogue.NO_SCRIPT_NAMED())
        request.check()
        if isinstance(request.target, Kernel):
            raise BadInput(catalogue.NOT_A_SCRIPT(path=request.paths[-1]))
    except BadInput as error:
        sys.stderr.write(fitted(f"{NAME}: {error}", 2) + "\n")
        return 2
    terminal, foreground = Terminal(), Foreground.open()
    console = Console(request, terminal=terminal, quiet=bool(own & QUIET))
    launch = Launch(request=request, lossless=True, flags=inherited(split(sys.orig_argv[1:]).flags))
    handled = [signum for signum in SIGNALS if signal.getsignal(signum) is not signal.SIG_IGN]
    # In the background a script must not take what is typed for the shell.
    stdin = 0 if terminal.is_ours else os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.closing(console), contextlib.closing(foreground) if foreground else contextlib.nullcontext():
            supervise(launch, console, handled=handled, handle=console.handle, stdio=(stdin, 1, 2), terminal=foreground)
    except BadInput as error:
        sys.stderr.write(fitted(f"{NAME}: {error}", 2) + "\n")
        return 2
    except OSError as error:  # of a limit, mostly: what a target does is no error here
        log.debug("ended", exc_info=True)
        sys.stderr.write(fitted(f"{NAME}: {catalogue.CANT_GO_ON(error=error)}", 2) + "\n")
        return 1
    if console.ended_by not in (None, signal.SIGINT):
        end_as_ever(console.ended_by)
    return 0
