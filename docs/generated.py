"""What the pages take from the code: options, states, messages, names that never count.

    python docs/generated.py

writes them anew, between two comments of a page each. They stand in the pages, and not in the built site alone, so that
who reads the source has them too; a test holds them to the code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ipy_autorestart import catalogue
from ipy_autorestart.decide.facts import State
from ipy_autorestart.decide.filters import DROPPINGS, HEAVY, LIGHT
from ipy_autorestart.protocol.options import Option, each
from ipy_autorestart.protocol.request import Script
from ipy_autorestart.show.status import COLOURS

#: What an option is about, in the order of the page; the others are for any target.
GROUPS = {
    "Which changes count": ("pattern", "ignore", "gitignore", "all", "strict", "poll", "debounce"),
    "How a script runs": ("cwd", "env", "python", "keep", "preload", "warm"),
    "How a script ends and starts": (
        *("stop_signal", "stop_timeout", "overlap", "leave_daemons", "socket", "restart_on_exit"),
    ),
    "How a kernel restarts": ("on_busy", "busy_timeout", "rerun", "checkpoints"),
    "Clusters": ("cluster", "cluster_timeout", "lose_data"),
}

#: What the first words of a status line mean.
MEANINGS = {
    State.STARTING: "The supervisor starts the target for the first time.",
    State.RUNNING: "It runs. For a script that takes longer, the line says for how long: `running for 12.0 s`.",
    State.WAITING: "A restart is due, and the kernel is busy: `waiting for cell 7`.",
    State.STOPPING: "The old run has been asked to end, and has not ended yet.",
    State.RESTARTING: "The kernel restarts at this moment.",
    State.FINISHED: "The script has ended without an error: `finished in 1.2 s`. It runs again at the next change.",
    State.CRASHED: (
        "The script has ended with an error: `crashed after 0.3 s`, `killed by SIGSEGV (segmentation fault)`. "
        "It runs again at the next change."
    ),
    State.BROKEN: (
        "A saved file has a syntax error: `syntax error at src/a.py:3`. The old code goes on until it is fixed."
    ),
    State.PAUSED: "You have said `%watch_restart --pause`. Changes wait for `--resume`.",
    State.IDLE: "The target could not be started. The line says why.",
    State.ENDED: "Nothing is watched any more: `watch ended`.",
}


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield a table in Markdown."""
    heads = list(heads)
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def options() -> Iterator[str]:
    """Yield the tables of all options."""
    every = {option.name: option for option in (*each(), *each(Script))}
    assert sorted(every) == sorted(name for names in GROUPS.values() for name in names), "each option has its group"
    for title, names in GROUPS.items():
        yield from (f"## {title}", "")
        yield from table(("option", "default", "for", "meaning"), (_row(every[name]) for name in names))
        yield ""


def _row(option: Option) -> tuple[str, ...]:
    words = f"{option.flag} {option.metavar}".strip()
    default = "" if option.many or option.switch or option.default == "" else f"`{option.default}`"
    target = {"": "script, kernel", "script": "script", "kernel": "kernel"}[option.only]
    if option.name in {one.name for one in each(Script)}:
        target = "script"
    meaning = option.help[0].upper() + option.help[1:]
    return (f"`{words}`", default, target, f"{meaning}.".replace("#| rerun: true", "`#| rerun: true`"))


def states() -> Iterator[str]:
    """Yield the legend of the states, with the colours of their dots."""
    names = {"#2e9d55": "green", "#c27a00": "orange", "#e0423f": "red", "#808080": "grey"}
    rows = []
    for state in State:
        colour = COLOURS[state]
        dot = f'<span class="state"><span class="dot" style="color: {colour}">●</span>{names[colour]}</span>'
        rows.append((dot, f"`{state.value}`", MEANINGS[state]))
    yield from table(("dot", "state", "meaning"), rows)


def messages() -> Iterator[str]:
    """Yield each message that the program can show, with its cause and what to do, by the place where it is shown."""
    for shown in catalogue.Shown:
        yield from (f"## {shown.value}", "")
        if shown in catalogue.ADVICE:
            yield from (catalogue.ADVICE[shown], "")
        for message in catalogue.every().values():
            if message.shown is shown:
                yield from (" or ".join(map(_quoted, filter(None, (message.text, message.many)))), f": {message.cause}")
                if message.fix:
                    yield f": *What to do:* {message.fix}"
                yield ""


def _quoted(text: str) -> str:
    return f"``{FIELD.sub('…', text)}``"


def left_out() -> Iterator[str]:
    """Yield the names of what never counts."""
    yield f"- Folders: {_listed(sorted((*HEAVY, *LIGHT)))}, and virtual environments of any name."
    yield f"- Files: {_listed(DROPPINGS)}, `*.ipynb`."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "options": options,
    "states": states,
    "messages": messages,
    "left out": left_out,
}

#: What a message fills in when it is shown.
FIELD = re.compile(r"({[^}]*})+")

#: Such a part in a page.
PART = re.compile(r"(<!-- generated: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """Return a page with its generated parts as they have to be."""
    return PART.sub(lambda part: part[1] + "\n" + "\n".join(PARTS[part[2]]()).strip() + "\n\n" + part[3], text)


def main() -> None:
    """Write all pages anew that have such parts."""
    for page in sorted(Path(__file__).parent.rglob("*.md")):
        text = page.read_text()
        if filled(text) != text:
            page.write_text(filled(text))


if __name__ == "__main__":
    main()
