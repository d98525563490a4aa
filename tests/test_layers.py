"""Imports go one way: front → wiring → effects → core."""

import ast
import itertools
import re
from pathlib import Path

import ipy_autorestart

ROOT = Path(ipy_autorestart.__file__).parent

# What each module or room may import of ours, besides what lies in the same room.
MAY_IMPORT = {
    "decide": set(),
    "options": set(),
    "record": set(),
    "link": {"record"},
    "watch": {"decide"},
    "script": {"decide", "record", "ready"},
    "request": {"options"},
    "parse": {"decide", "options", "request"},
    "wakeups": {"decide"},
    "guardian": set(),
    "kernel": {"decide", "record"},
    "line": {"decide", "record"},
    "buttons": set(),
    "tracebacks": set(),
    "display": {"buttons", "line", "record", "tracebacks"},
    "parent": set(),
    "compiled": set(),
    "ready": set(),
    "target": {"decide", "record", "ready"},
    "front": set(),
    "teller": {"decide", "record", "target"},
    "engine": {"compiled", "decide", "record", "parent", "ready", "target", "teller", "wakeups"},
    "command": {
        "decide",
        "engine",
        "front",
        "kernel",
        "link",
        "record",
        "options",
        "parent",
        "parse",
        "request",
        "script",
        "target",
        "wakeups",
        "watch",
    },
    "console": {"decide", "guardian", "kernel", "line", "record", "request"},
    "cli": {"command", "console", "front", "guardian", "kernel", "options", "parse", "request"},
    "__main__": {"cli"},
    "listener": {"link", "record"},
    "history": {"record"},
    "screen": {"record"},
    "spawn": set(),
    "supervisor": {
        "decide",
        "front",
        "history",
        "kernel",
        "link",
        "record",
        "listener",
        "options",
        "parse",
        "request",
        "screen",
        "spawn",
    },
    "process": {"decide", "kernel", "line", "record", "options", "request", "supervisor"},
    "itself": {"options", "process"},
    "tables": {"decide", "history", "record"},
    "completion": {"options", "request"},
    "magics": {"completion", "display", "kernel", "options", "parse", "request", "screen", "supervisor", "tables"},
    "resume": {"decide", "display", "kernel", "record", "request", "screen", "supervisor"},
    "__init__": {"history", "itself", "record", "magics", "options", "request", "screen", "supervisor"},
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


def test_no_permission_is_unused():
    used = set(imports())
    for room, below in MAY_IMPORT.items():
        unused = {imported for imported in below if (room, imported) not in used}
        assert not unused, f"{room} doesn't import {unused}"


def test_there_is_no_cycle():
    order = []
    left = dict(MAY_IMPORT)
    while left:
        free = [room for room, below in left.items() if below <= set(order)]
        assert free, f"a cycle among {sorted(left)}"
        order += free
        left = {room: below for room, below in left.items() if room not in free}


def test_the_readmes_arrows_are_imports():
    text = (ROOT.parent / "README.md").read_text().partition("imports:")[2].partition("```")[0]
    chains = [re.split(" *─▶ *", chain) for line in text.splitlines() for chain in re.split("   +", line.strip())]
    assert len(chains) >= 3
    for chain in chains:
        groups = [part.split(", ") for part in chain]
        for left, right in itertools.pairwise(groups):
            for room in left:
                assert set(right) <= MAY_IMPORT[room], f"{room} doesn't import all of {right}"


def test_every_module_has_its_place():
    rooms = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")}
    assert rooms == set(MAY_IMPORT)


def test_modules_and_functions_are_short_enough_to_read():
    for path in ROOT.rglob("*.py"):
        source = path.read_text()
        assert source.count("\n") <= 305, f"{path}: about 300 lines are enough"
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node, clean=False)
                lines = node.end_lineno - node.lineno + 1 - (text.count("\n") + 1 if text else 0)
                assert lines < 40, f"{path}: {node.name} has {lines} lines"


def test_every_public_name_is_there():
    for name in ipy_autorestart.__all__:
        assert getattr(ipy_autorestart, name).__name__ == name
