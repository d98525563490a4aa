"""A target's status in words: as a line of text or HTML; pure."""

from __future__ import annotations

import html
from dataclasses import replace

from ipy_autorestart.decide.backoff import PAUSE_MAX
from ipy_autorestart.decide.change import Kind
from ipy_autorestart.decide.facts import Cause, Reason, State
from ipy_autorestart.pristine import signal
from ipy_autorestart.protocol.messages import Files, Status
from ipy_autorestart.text import duration

#: Of the dot before the line. Each contrasts with black and white (3:1), and no state is shown by colour alone.
COLOURS = {
    **dict.fromkeys((State.RUNNING, State.FINISHED), "#2e9d55"),
    **dict.fromkeys((State.STARTING, State.STOPPING, State.RESTARTING, State.WAITING, State.PAUSED), "#c27a00"),
    **dict.fromkeys((State.CRASHED, State.BROKEN), "#e0423f"),
    **dict.fromkeys((State.IDLE, State.ENDED), "#808080"),
}

#: What the signals of crashes mean, as shells say it.
CRASHES: dict[int, str] = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGILL: "illegal instruction",
}


def state(status: Status) -> str:
    """Return where a target stands, in a few words."""
    runs = f"running for {duration(status.running_for)}" if status.running_for else "running"
    match status.state:
        case State.WAITING:
            return f"waiting for {status.waits_for or 'the kernel to be idle'}"
        case State.BROKEN if status.broken:
            place = f":{status.broken.line}" if status.broken.line else ""
            return f"syntax error at {status.broken.path}{place}"
        case State.PAUSED:
            last = _ended(status) or (runs if status.pid else "")
            return f"paused, {last}" if last and status.warm is not None else "paused"
        case State.RUNNING:
            return runs
        case State.FINISHED | State.CRASHED:
            pause = status.runs_again_in
            then = "waiting for a change" if pause is None else f"runs again in {duration(pause)}"
            return f"{_ended(status)}, {then}"
        case State.IDLE:
            return "not running"
        case _:
            return status.state


def _ended(status: Status) -> str:
    after = f" after {duration(status.lasted)}" if status.lasted is not None else ""
    match status.exit_status:
        case None:
            return ""
        case 0:
            return f"finished{after}"
        case status_code if status_code > 0:
            return f"crashed with status {status_code}{after}"
        case negative:
            try:
                name = signal.Signals(-negative).name
            except ValueError:
                name = f"signal {-negative}"
            words = f" ({CRASHES[-negative]})" if -negative in CRASHES else ""
            return f"killed by {name}{words}{after}"


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
            if count := len(others) + more:
                return f"{first.path} and {count} more changed"
            return f"{first.path} {'changed' if first.kind is Kind.MODIFIED else first.kind}"
        case Cause(reason):
            return REASONS[reason]


REASONS = {
    Reason.FIRST: "first run",
    Reason.CHANGE: "files changed",
    Reason.HANGUP: "SIGHUP received",
    Reason.ASKED: "asked by hand",
    Reason.ENDED: "it had ended",
}


def message(status: Status) -> str:
    """Return what else is worth a sentence or several, or nothing."""
    rerun = f"{status.rerun}, {duration(status.rerun_for)}" if status.rerun_for else status.rerun
    return " · ".join(filter(None, (_matter(status), rerun, *status.notes)))


def _matter(status: Status) -> str:
    if status.error:
        return status.error
    if status.broken:
        runs = status.pid and status.exit_status is None
        return f"{status.broken.message}; {'what runs goes on' if runs else 'it runs again when this is mended'}"
    if status.held:
        return f"{_names(status.held)} changed meanwhile"
    if status.waits_for and status.state is not State.WAITING:
        return f"restarts as soon as {status.waits_for} is imported ahead"
    if status.looping:
        most = duration(PAUSE_MAX)
        return f"{_names(status.looping)} changes right after every start: the next waits, for {most} at most"
    if status.alike:
        return f"only comments or layout changed in {_names(status.alike)}: not restarted"
    if status.written:
        return f"{_names(status.written)} is written by the run itself: not restarted"
    if status.unused:
        # Of a kernel is known which compiled code it has loaded, and nothing else.
        why = "was not loaded before" if status.warm is None else "this run did not use it"
        return f"{_names(status.unused)} changed, but {why}: not restarted"
    if status.left:
        return "processes that it started go on until the next restart"
    return ""


def _names(files: Files) -> str:
    first, *others = files.paths
    count = len(others) + files.more
    return f"{first} and {count} more" if count else first


def excerpt(status: Status) -> str:
    """Return the line of a syntax error with a caret below the place, or nothing."""
    broken = status.broken
    if not broken or not broken.text.strip():
        return ""
    before = "".join("\t" if sign == "\t" else " " for sign in broken.text[: max(broken.column - 1, 0)])
    return f"{broken.text}\n{before}^" if broken.column else broken.text


def parts(status: Status) -> list[str]:
    """Return the parts of a status line: state, cause and how the start for it went, number of runs, message."""
    found = [state(status)]
    if status.polling:
        found.append("polling")
    if status.cluster:
        found.append(status.cluster)
    if status.cause:
        found.append(cause(status.cause))
        if status.took is not None:
            found.append(f"restarted in {duration(status.took)}")
        if status.warm:
            found.append("warm")
    if status.runs:
        what = "restart" if status.warm is None else "run"
        found.append(f"{status.runs} {what}{'' if status.runs == 1 else 's'}")
    return [*found, *filter(None, [message(status)])]


def is_later(status: Status, before: Status) -> bool:
    """Whether nothing but time has passed: the target runs as it ran before, for longer."""
    return status.state is State.RUNNING and replace(status, running_for=before.running_for) == before


def status_line(name: str, status: Status) -> str:
    """Return the status of a target in one line of text, and below it the line of a syntax error."""
    line = f"⟳ {name} · " + " · ".join(parts(status))
    return "\n    ".join([line, *excerpt(status).split("\n")]) if excerpt(status) else line


def as_html(name: str, status: Status) -> str:
    """Return the same as HTML, in the colours of the page around it."""
    where, *rest = map(html.escape, parts(status))
    dot = f'<span style="color: {COLOURS[status.state]}">●</span>'
    tail = "".join(f" · {part}" for part in rest)
    error = f'<pre style="{EXCERPT}">{html.escape(excerpt(status))}</pre>' if excerpt(status) else ""
    line = f'{dot} <b>{html.escape(name)}</b> · {where}<span style="opacity: 0.7">{tail}</span>'
    return f'<div style="{LINE}">{line}</div>{error}'


# A page's own font where it names one.
LINE = "font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: 0.93em; line-height: 1.6"
EXCERPT = "margin: 0 0 0 1.2em; padding-left: 0.8em; border-left: 2px solid #e0423f; background: none"


def bundle(name: str, status: Status) -> dict[str, str]:
    """Return the status line as a MIME bundle."""
    return {"text/plain": status_line(name, status), "text/html": as_html(name, status)}
