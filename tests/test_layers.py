"""Imports go one way: front → wiring → effects → core."""

import ast
from pathlib import Path

import ipy_autorestart

ROOT = Path(ipy_autorestart.__file__).parent

# What each module or room may import of ours, besides what lies in the same room.
MAY_IMPORT = {
    "decide": set(),
    "options": set(),
    "link": set(),
    "watch": {"decide"},
    "script": {"decide", "link", "ready"},
    "request": {"options"},
    "parse": {"decide", "options", "request"},
    "wakeups": {"decide"},
    "guardian": set(),
    "kernel": {"decide", "link"},
    "line": {"decide", "link"},
    "buttons": set(),
    "tracebacks": set(),
    "display": {"buttons", "line", "link", "tracebacks"},
    "parent": set(),
    "compiled": set(),
    "ready": set(),
    "target": {"decide", "link", "ready"},
    "front": set(),
    "teller": {"decide", "link", "target"},
    "engine": {"compiled", "decide", "link", "parent", "ready", "target", "teller", "wakeups"},
    "command": {
        "decide",
        "engine",
        "front",
        "kernel",
        "link",
        "options",
        "parent",
        "parse",
        "request",
        "script",
        "target",
        "wakeups",
        "watch",
    },
    "console": {"decide", "guardian", "kernel", "line", "link", "request"},
    "cli": {"command", "console", "front", "guardian", "kernel", "options", "parse", "request"},
    "__main__": {"cli"},
    "listener": {"link"},
    "history": {"link"},
    "screen": {"link"},
    "spawn": set(),
    "supervisor": {
        "decide",
        "front",
        "history",
        "kernel",
        "link",
        "listener",
        "options",
        "parse",
        "request",
        "screen",
        "spawn",
    },
    "process": {"decide", "kernel", "line", "link", "options", "request", "supervisor"},
    "itself": {"options", "process"},
    "tables": {"decide", "history", "link"},
    "completion": {"options", "request"},
    "magics": {"completion", "display", "kernel", "options", "parse", "request", "screen", "supervisor", "tables"},
    "resume": {"decide", "display", "kernel", "link", "request", "screen", "supervisor"},
    "__init__": {"history", "itself", "link", "magics", "options", "request", "screen", "supervisor"},
}


def imports():
    """Yield (room, room imported) for every import of ours, those inside functions too."""
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ipy_autorestart"):
                _, *rest = node.module.split(".")
                names = rest[:1] or [alias.name for alias in node.names]
                yield from ((room, name) for name in names)
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"


def test_each_room_imports_only_what_lies_below_it():
    for room, imported in imports():
        if room == imported or (room, imported) == ("kernel", "resume"):  # a new image begins anew, at the bottom
            continue
        assert imported in MAY_IMPORT[room], f"{room} imports {imported}"


def test_there_is_no_cycle():
    order = []
    left = dict(MAY_IMPORT)
    while left:
        free = [room for room, below in left.items() if below <= set(order)]
        assert free, f"a cycle among {sorted(left)}"
        order += free
        left = {room: below for room, below in left.items() if room not in free}


def test_every_module_has_its_place():
    rooms = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")}
    assert rooms == set(MAY_IMPORT)
