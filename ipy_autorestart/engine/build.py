"""From a request to an engine that runs until its front is gone, or the person who started it wants no more."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ipy_autorestart import catalogue
from ipy_autorestart.cluster.helper import Helper
from ipy_autorestart.cluster.messages import Named
from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.decide.timing import Rerun, Timing, polled
from ipy_autorestart.engine.engine import Engine
from ipy_autorestart.engine.loaded import Loads, loaded_by
from ipy_autorestart.engine.target import FrontLink
from ipy_autorestart.engine.wakeups import Parent, Wakeups
from ipy_autorestart.protocol.link import Link, receive_line
from ipy_autorestart.protocol.messages import Record, Status
from ipy_autorestart.protocol.options import BadInput, Options, seconds
from ipy_autorestart.protocol.plain import from_json
from ipy_autorestart.protocol.request import Launch, Request, Script
from ipy_autorestart.script.foreground import Foreground
from ipy_autorestart.script.orphans import adopt_orphans
from ipy_autorestart.script.preloader import Preloader
from ipy_autorestart.script.program import Program
from ipy_autorestart.script.target import ScriptTarget
from ipy_autorestart.text import relative
from ipy_autorestart.watch.gitignore import gitignore
from ipy_autorestart.watch.watch import Loaded, Watch

#: Descriptors of standard input, output and error.
Stdio = tuple[int, int, int]

#: Environment variable with the seconds of ``--poll``, for machines where files come over a network.
POLL = "IPY_AUTORESTART_POLL"


def serve() -> int:
    """Run as the supervisor of a front in another process, which says the rest; return the exit status."""
    _forget_inherited_signals()
    link, hangups = _take_pipes()
    with contextlib.closing(socket.socket(fileno=link)) as sock:
        try:
            launch = from_json(Launch, receive_line(sock))
            os.chdir(launch.request.cwd)
        except EOFError:
            return 0
        except (OSError, ValueError) as error:
            sys.stderr.write(f"{error}\n")
            return 2
        with contextlib.closing(Parent(launch.parent)) as parent:
            try:
                supervise(launch, Link(sock), parent=parent, hangups=hangups)
            except BadInput as error:
                sys.stderr.write(f"{error}\n")
                return 2
    return 0


def supervise(
    launch: Launch,
    link: FrontLink,
    *,
    parent: Parent | None = None,
    hangups: int = -1,
    handled: Sequence[signal.Signals] = (),
    handle: Callable[[set[int]], Iterable[Record]] = lambda _: (),
    stdio: Stdio | None = None,
    terminal: Foreground | None = None,
) -> None:
    """Restart a target as its files change, until that is no longer wanted.

    Parameters
    ----------
    launch
        What is to be done, and for whom.
    link
        Takes what is reported, and asks for more.
    parent
        Not to be outlived, if there is such a process.
    hangups
        Tells it which SIGHUP comes from here, as in `Engine`.
    handled, handle
        More signals, and what returns what they mean.
    stdio
        Where the script reads and prints, if that is not for the front to show.
    terminal
        Which this process and the script have in turn.
    """
    request, options = launch.request, launch.request.options
    adopt_orphans(really=True)
    with contextlib.ExitStack() as stack:
        wakeups = stack.enter_context(
            contextlib.closing(Wakeups(signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD, *handled))
        )  # before anything is started or watched, so that nothing is missed
        target, cache, helper = None, _cache(launch.flags, os.environ), None
        if isinstance(request.target, Script):
            sockets = [stack.enter_context(one) for one in listen(options.socket)]
            program = _program(request.target, launch, stdio, sockets, in_session=terminal is not None)
            cache = _cache(program.flags, program.environment)
            if options.cluster:  # before the target, which takes later children for what runs leave behind
                helper = stack.enter_context(
                    contextlib.closing(_helper(request, program.python, program.environment, program.cwd))
                )
                variables = helper.keyed.added_to(program.environment)
                program = replace(program, environment={**program.environment, **variables})
            target = _script_target(program, launch, terminal, link.send, magic=stdio is None)
        elif options.cluster:
            helper = stack.enter_context(contextlib.closing(_helper(request, sys.executable, os.environ, request.cwd)))
            link.send(helper.keyed)
        pid = parent.pid if parent and not target else os.getpid()
        loads = Loads(launch.pid or pid)
        watch = stack.enter_context(_watch(request, wakeups, launch.since_ns, _loaded(options, target, loads), link))
        engine = Engine(
            target=target,
            pid=pid,
            watch=watch,
            link=link,
            wakeups=wakeups,
            timing=_timing(options),
            manner=request.target.manner,
            folder=request.cwd,
            parent=parent,
            hangups=hangups,
            loads=loads,
            cache=cache,
            handle=handle,
            pusher=helper,
            announces=stdio is not None,
            first="" if isinstance(request.target, Script) or request.target.is_program else lost(options),
        )
        gc.freeze()  # a full collection takes as long as a restart
        engine.run()


def lost(options: Options) -> str:
    """Say what a restart of the kernel does with what is in memory."""
    is_rerun = options.rerun != Rerun.NONE.value
    if options.keeps_checkpoints:
        return catalogue.MEMORY_KEPT_RERUN() if is_rerun else catalogue.MEMORY_KEPT()
    return catalogue.MEMORY_LOST_RERUN() if is_rerun else catalogue.MEMORY_LOST()


def _script_target(
    program: Program, launch: Launch, terminal: Foreground | None, send: Callable[[Record], None], *, magic: bool
) -> ScriptTarget:
    options = launch.request.options

    preload = [name for names in options.preload for name in names.split(",")]
    forks = options.warm and sys.platform == "linux"  # elsewhere a fork is less sure
    return ScriptTarget(
        program,
        stop_signal=signal.Signals[options.stop_signal],
        preloader=Preloader(program, preload, follows=len(os.sched_getaffinity(0)) > 1) if forks else None,
        lossless=launch.lossless,
        leave_daemons=options.leave_daemons,
        overlap=options.stop_timeout if options.overlap else None,
        terminal=terminal,
        send=send,
        unwatched=lambda paths: _unwatched(launch.request, paths, magic=magic),
    )


#: So many files are named that a run reads though they aren't watched.
UNWATCHED_NAMED = 3


def _unwatched(request: Request, paths: Sequence[str], *, magic: bool) -> str:
    """Return a sentence about files that a run reads though they aren't watched, with the line that would watch."""
    names = [shlex.quote(relative(path, request.cwd)) for path in paths]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    begin = "%watch_restart" if magic else "ipy-autorestart"
    line = [begin, shlex.join(request.paths), *names[:UNWATCHED_NAMED], request.target.name]
    return catalogue.NOT_WATCHED(files=f"{names[0]}{more}", line=" ".join(line))


def _helper(request: Request, python: str, environment: Mapping[str, str], cwd: str) -> Helper:
    """Start what pushes to a cluster, in the surroundings of the target."""
    options = request.options
    beside = os.path.join(request.cwd, options.cluster)
    named = Named(
        where=beside if os.path.isfile(beside) else options.cluster,
        roots=request.roots,
        files=request.files,
        patterns=options.pattern,
        ignores=options.ignore,
        gitignore=options.gitignore,
        within=options.cluster_timeout,
        lose_data=options.lose_data,
    )
    return Helper(named, python=python, environment=environment, cwd=cwd)


def listen(addresses: Iterable[str]) -> Iterator[socket.socket]:
    """Yield a socket that listens, for each of the addresses of ``--socket``; raises `BadInput`."""
    for address in addresses:
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if host[:1] == "[" else socket.AF_INET
        try:
            yield socket.create_server((host.strip("[]"), int(port)), family=family, backlog=socket.SOMAXCONN)
        except OSError as error:
            number = error.errno or 0
            why = os.strerror(number) if number > 0 else error.strerror  # Python adds the address to some
            raise BadInput(catalogue.CANT_LISTEN(address=address, why=why)) from None


def _cache(flags: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return where the target keeps its compiled modules, if not beside their sources."""
    own = [flag.split("=", 1)[1] for flag in flags if flag.startswith("pycache_prefix=")]
    return own[0] if own else environment.get("PYTHONPYCACHEPREFIX", "")


#: The backend that ipykernel sets for matplotlib, of use in a kernel only.
INLINE = "module://matplotlib_inline.backend_inline"


def _program(
    script: Script, launch: Launch, stdio: Stdio | None, sockets: Iterable[socket.socket], *, in_session: bool
) -> Program:
    request = launch.request
    environment = {name: value for name, value in os.environ.items() if (name, value) != ("MPLBACKEND", INLINE)}
    return Program(
        python=script.interpreter or script.python,  # the latter, so that the start fails and says why
        flags=() if script.python else launch.flags,
        argv=script.argv,
        cwd=script.cwd,
        environment={**environment, **dict(pair.split("=", 1) for pair in script.env)},
        watched=() if request.options.all else tuple(request.roots),
        beside=os.path.join(script.home, "") if request.paths and not request.options.all else "",
        named=request.files,
        displays=json.dumps(launch.displays) if launch.displays is not None else "",
        stdio=stdio,
        in_session=in_session,
        keeps_ports=sys.platform == "linux",
        sockets=tuple(one.fileno() for one in sockets),
    ).renewed()


def _loaded(options: Options, target: ScriptTarget | None, loads: Loads) -> Callable[[], Loaded | None]:
    """Return what tells which compiled code the script, or the process that restarts itself, has loaded."""

    def ask() -> Loaded | None:
        if options.all or (target and target.used().read is None):
            return None  # everything counts: a script, for one, that has started other programs
        return loaded_by(target.pid) if target else loads.now()

    return ask


def _watch(
    request: Request, wakeups: Wakeups, since_ns: int, loaded: Callable[[], Loaded | None], link: FrontLink
) -> Watch:
    options = request.options
    excluded = gitignore(request.roots) if options.gitignore else None
    is_script = isinstance(request.target, Script)
    return Watch(
        request.roots,
        named=request.files,
        filter=Filter(options.pattern, options.ignore, excluded),
        on_hint=wakeups.hint,
        on_passed_over=wakeups.wake if is_script else lambda: None,  # a kernel doesn't tell what it has used
        strict=options.strict,
        every=bool(options.cluster),  # workers may use what the target doesn't, or not yet
        poll=_poll(options) or None,
        since_ns=since_ns,
        beside=is_script,
        loaded=loaded,
        on_slow=lambda note: None if is_script else link.send(Status(notes=(note,))),  # which a look tells of a script
    )


def _timing(options: Options) -> Timing:
    quiet, usual = options.debounce, Timing()
    lone = min(quiet, usual.lone) if quiet <= usual.quiet else quiet  # whoever asks for more has reason to
    timing = Timing(quiet=quiet, lone=lone, stop_timeout=options.stop_timeout, restart_on_exit=options.restart_on_exit)
    return polled(timing, poll) if (poll := _poll(options)) else timing


def _poll(options: Options) -> float:
    """Return the seconds between scans where there are to be no events, else 0."""
    if options.poll:
        return options.poll
    try:
        return seconds(os.environ.get(POLL, 0))
    except BadInput:
        return 0.0


def _take_pipes() -> tuple[int, int]:
    """Take the link off standard input, and what tells of a SIGHUP off standard output; leave nothing there.

    Nothing is left of what else a kernel may have let through, either.
    """
    for fd in map(int, os.listdir("/dev/fd")):
        if fd > 2:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(fd)
    link, hangups = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for place in (0, 1):
        os.dup2(nothing, place)
    os.close(nothing)
    return link, hangups


def _forget_inherited_signals() -> None:
    """Set each signal to its default: an idle kernel ignores SIGINT, and what is ignored or blocked is inherited."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(signum) is signal.SIG_IGN and signum not in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(signum, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
