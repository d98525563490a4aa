"""A target's status in words: as a line of text or HTML; pure."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import replace

from ipy_autorestart import catalogue
from ipy_autorestart.decide.backoff import PAUSE_MAX
from ipy_autorestart.decide.change import Kind
from ipy_autorestart.decide.facts import Cause, Reason, State
from ipy_autorestart.pristine import signal
from ipy_autorestart.protocol.messages import Files, Status
from ipy_autorestart.show.buttons import PAUSED, ROOM, STYLE
from ipy_autorestart.text import SEPARATOR, duration

#: Of the dot before the line. Each contrasts with black and white (3:1), and no state is shown by colour alone.
COLOURS = {
    **dict.fromkeys((State.RUNNING, State.FINISHED), "#2e9d55"),
    **dict.fromkeys((State.STARTING, State.STOPPING, State.RESTARTING, State.WAITING, State.PAUSED), "#c27a00"),
    **dict.fromkeys((State.CRASHED, State.BROKEN), "#e0423f"),
    **dict.fromkeys((State.IDLE, State.ENDED), "#808080"),
}

#: What the signals of crashes mean, as shells say it.
CRASHES: dict[int, str] = {
    signal.SIGSEGV: catalogue.SEGMENTATION_FAULT(),
    signal.SIGABRT: "aborted",
    signal.SIGBUS: catalogue.BUS_ERROR(),
    signal.SIGFPE: catalogue.FLOATING_POINT(),
    signal.SIGILL: catalogue.ILLEGAL_INSTRUCTION(),
}


#: Characters that a line should have at most: of a longer one, notes stand below, and what is older is left out.
WIDTH = 100

#: Seconds of waiting for a burst that are told.
WORTH_TELLING = 0.1

#: So many characters of a path are shown, the last.
PATH_MAX = 40


def colour(status: Status) -> str:
    """Return the colour of the dot: a kernel whose cells have stopped is none that looks well."""
    return COLOURS[State.CRASHED if _is_stopped(status) else status.state]


def _is_stopped(status: Status) -> bool:
    return status.state is State.RUNNING and bool(status.stopped)


def state(status: Status) -> str:
    """Return where a target stands, in a few words."""
    runs = catalogue.RUNNING_FOR(time=duration(status.running_for)) if status.running_for else "running"
    match status.state:
        case State.RUNNING if status.stopped:
            return status.stopped
        case State.WAITING:
            return catalogue.WAITING_FOR(what=status.waits_for or catalogue.KERNEL_IDLE())
        case State.BROKEN if status.broken:
            place = f":{status.broken.line}" if status.broken.line else ""
            return catalogue.SYNTAX_ERROR(place=f"{status.broken.path}{place}")
        case State.PAUSED:
            last = _ended(status) or (runs if status.pid else "")
            return catalogue.PAUSED_AND(state=last) if last and status.warm is not None else "paused"
        case State.RUNNING:
            return runs
        case State.FINISHED | State.CRASHED:
            pause = status.runs_again_in
            return (
                _ended(status) if pause is None else catalogue.RUNS_AGAIN_IN(state=_ended(status), time=duration(pause))
            )
        case State.ENDED:
            return catalogue.WATCH_ENDED()
        case State.IDLE:
            return catalogue.NOT_RUNNING()
        case _:
            return status.state


def _ended(status: Status) -> str:
    after = catalogue.AFTER_TIME(time=duration(status.lasted)) if status.lasted is not None else ""
    match status.exit_status:
        case None:
            return ""
        case 0:
            return catalogue.FINISHED_IN(time=duration(status.lasted)) if status.lasted is not None else "finished"
        case 1:  # as a traceback has it
            return f"crashed{after}"
        case status_code if status_code > 0:
            return catalogue.CRASHED_WITH(status=status_code, after=after)
        case negative if negative == -signal.SIGINT:
            return f"interrupted{after}"
        case negative:
            try:
                name = signal.Signals(-negative).name
            except ValueError:
                name = catalogue.SIGNAL_NUMBER(number=-negative)
            words = f" ({CRASHES[-negative]})" if -negative in CRASHES else ""
            return catalogue.KILLED_BY(signal=f"{name}{words}", after=after)


def cause(why: Cause | None) -> str:
    """Return why a target was started, in a few words.

    Examples
    --------
    ``"src/a.py changed"``, ``"src/a.py and 2 more changed"``, ``"src/a.py deleted"``, ``"SIGHUP received"``.
    """
    match why:
        case None:
            return ""
        case Cause(_, (first, *others), more):
            path = _tail(first.path)
            if count := len(others) + more:
                return catalogue.AND_MORE_CHANGED(path=path, count=count)
            return f"{path} {'changed' if first.kind is Kind.MODIFIED else first.kind}"
        case Cause(reason):
            return REASONS[reason]


REASONS = {
    Reason.FIRST: catalogue.FIRST_RUN(),
    Reason.CHANGE: catalogue.FILES_CHANGED(),
    Reason.HANGUP: catalogue.SIGHUP_RECEIVED(),
    Reason.ASKED: catalogue.ASKED_BY_HAND(),
    Reason.ENDED: catalogue.HAD_ENDED(),
}


def message(status: Status, name: str = catalogue.THIS_RUN.text) -> str:
    """Return what else is worth a sentence or several, or nothing; ``name`` is the target's."""
    return SEPARATOR.join(filter(None, (_news(status, name), *status.notes)))


def _news(status: Status, name: str) -> str:
    rerun = f"{status.rerun}, {duration(status.rerun_for)}" if status.rerun_for else status.rerun
    return SEPARATOR.join(filter(None, (_matter(status, name), rerun)))


def _matter(status: Status, name: str) -> str:
    if status.error and status.state is State.CRASHED:
        return catalogue.NEW_CODE_FAILED(error=status.error)
    if status.error:
        return status.error
    if status.broken:
        runs = status.pid and status.exit_status is None
        then = catalogue.OLD_CODE_RUNS if runs else catalogue.RUNS_WHEN_FIXED
        return then(error=status.broken.message)
    if status.held:
        return catalogue.CHANGED_WHILE_PAUSED(files=_names(status.held))
    if status.waits_for and status.state is not State.WAITING:
        return catalogue.WAITS_FOR_IMPORTS(what=status.waits_for)
    if status.looping:
        return catalogue.LOOPING(files=_names(status.looping), most=duration(PAUSE_MAX))
    if status.alike:
        return catalogue.SAME_CODE(files=_names(status.alike))
    if status.written:
        return catalogue.OWN_WRITES(files=_names(status.written))
    if status.unused:
        # Of a kernel is known which compiled code it has loaded, and nothing else.
        if status.warm is None:
            return catalogue.NOT_LOADED(files=_names(status.unused))
        return catalogue.NOT_USED(files=_names(status.unused), name=name)
    if status.left:
        return catalogue.LEFT_RUNNING()
    return ""


def _names(files: Files) -> str:
    first, *others = files.paths
    count = len(others) + files.more
    return catalogue.AND_MORE_FILES(path=_tail(first), count=count) if count else _tail(first)


def _tail(path: str) -> str:
    return path if len(path) <= PATH_MAX else f"…{path[1 - PATH_MAX :]}"


def excerpt(status: Status) -> str:
    """Return the line of a syntax error with a caret below the place, or nothing."""
    broken = status.broken
    if not broken or not broken.text.strip():
        return ""
    before = "".join("\t" if sign == "\t" else " " for sign in broken.text[: max(broken.column - 1, 0)])
    return f"{broken.text}\n{before}^" if broken.column else broken.text


def parts(name: str, status: Status) -> tuple[list[str], list[str], list[str]]:
    """Return the parts of a status line: what is so now, what led to it, and what stands in a line below.

    That is the state, what is worth a sentence and the number of the run, or of restarts; and the cause of the last
    start and how that went, but where something has happened since that stands in the same line. Notes for which there
    is no room stand below.
    """
    words, run = _news(status, name).split(SEPARATOR), status.runs
    then: list[str] = []
    below: list[str] = []
    if _is_stopped(status):  # what has come before that is less of a news
        words, then = words[:1], words[1:]
    number = (
        [catalogue.RESTARTS.counted(run) if status.warm is None else catalogue.RUN_NUMBER(count=run)] if run else []
    )
    now = [state(status), *filter(None, [status.cluster, *words])]
    for note in status.notes:
        is_full = below or _is_too_long(name, [*now, note, *number])
        (below if is_full else now).append(note)
    now += number
    if status.cause and not _matter(status, name):
        if status.cause.reason is not Reason.FIRST:
            then.append(cause(status.cause))
        if status.took is not None:
            then += _start(status)
    if status.polling:
        then.append("polling")
    while then and _is_too_long(name, [*now, *then]):
        then.pop()
    return now, then, below


def _is_too_long(name: str, words: Iterable[str]) -> bool:
    return len(_joined(name, words)) > WIDTH


def _start(status: Status) -> Iterable[str]:
    """Yield how the last start went: how soon the first line of the new code ran, or a kernel answered."""
    waited, took = status.cause.waited if status.cause else 0.0, status.took or 0.0
    is_told = waited >= WORTH_TELLING
    time = duration(max(took - waited, 0.0) if is_told else took)
    if status.warm is None:
        yield catalogue.RESTARTED_IN(time=time)
    else:
        yield catalogue.RESTARTED_HOW(how="warm" if status.warm else "cold", time=time)
    if is_told:
        yield catalogue.WAITED_FOR_BURST(time=duration(waited))


def _joined(name: str, words: Iterable[str]) -> str:
    return SEPARATOR.join([f"⟳ {name}", *words])


def is_later(status: Status, before: Status) -> bool:
    """Whether nothing but time has passed: the target runs as before, for longer, or it is known how soon it ran."""
    as_before = replace(status, running_for=before.running_for, took=before.took)
    return status.state is State.RUNNING and as_before == before


def is_past_the_start(status: Status, run: int) -> bool:
    """Whether a run that has begun has ended since, or has run for a while; else it may show something soon."""
    is_under_way = status.state in (State.STARTING, State.STOPPING, State.RESTARTING) or (
        status.state is State.RUNNING and not status.running_for
    )
    return status.state is State.ENDED or (status.runs >= run and not is_under_way)


def status_line(name: str, status: Status) -> str:
    """Return the status of a target in one line of text; below it notes that had no room, and a syntax error.

    Examples
    --------
    >>> status_line("main.py", Status(State.FINISHED, runs=2, exit_status=0, lasted=0.4, warm=True))
    '⟳ main.py · finished in 400 ms · run 2'
    """
    now, then, below = parts(name, status)
    lines = [SEPARATOR.join(below), *excerpt(status).split("\n")]
    return "\n    ".join([_joined(name, [*now, *then]), *filter(None, lines)])


def as_html(name: str, status: Status) -> str:
    """Return the same as HTML, in the colours of the page around it."""
    now, then, below = (SEPARATOR.join(map(html.escape, words)) for words in parts(name, status))
    dot = f'<span style="color: {colour(status)}">●</span>'
    tail = f'<span style="opacity: 0.7">{SEPARATOR}{then}</span>' if then else ""
    more = f'<div style="{LINE}; {BELOW}">{below}</div>' if below else ""
    error = f'<pre style="{EXCERPT}">{html.escape(excerpt(status))}</pre>' if excerpt(status) else ""
    return f'<div style="{LINE}; {HEIGHT}">{dot} <b>{html.escape(name)}</b> · {now}{tail}</div>{more}{error}'


# A page's own font where it names one.
LINE = "font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: 0.93em; line-height: 1.6"
HEIGHT = "line-height: 22px"  # that of the buttons
BELOW = "margin-left: 1.2em; opacity: 0.7"
EXCERPT = "margin: 0 0 0 1.2em; padding-left: 0.8em; border-left: 2px solid #e0423f; background: none"


#: Class of a line below which the output of an earlier run stands; it is dimmed if that is so for more than a moment.
OLD = "ipy-autorestart-old"
DIMMED = (
    f"<style>@keyframes {OLD} {{ to {{ opacity: 0.5 }} }} .jp-OutputArea-child:has(.{OLD}) ~ .jp-OutputArea-child "
    f"{{ animation: {OLD} 0.2s 0.15s forwards }}</style>"
)


def bundle(name: str, status: Status, *, old: bool = False, room: bool = False) -> dict[str, str]:
    """Return the status line as a MIME bundle, with ``room`` for buttons; what stands below may be ``old``."""
    classes = " ".join([OLD] * old + [ROOM] * room + [PAUSED] * (room and status.paused))
    styles = DIMMED * old + STYLE * room
    shown = f'{styles}<div class="{classes}">{as_html(name, status)}</div>' if classes else as_html(name, status)
    return {"text/plain": status_line(name, status), "text/html": shown}
