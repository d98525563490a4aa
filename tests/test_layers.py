"""A room is one process or one law, and imports point down: the table says what each room may import."""

import ast
import functools
import graphlib
import itertools
import re
from pathlib import Path

import pytest

import ipy_autorestart

ROOT = Path(ipy_autorestart.__file__).parent

# What a room may import of ours, besides what lies in the same room; files at the top are doors and may import all.
BELOW = {
    "catalogue": set(),
    "text": set(),
    "decide": {"catalogue", "text"},
    "pristine": set(),
    "memory": {"pristine"},
    "protocol": {"catalogue", "text", "decide", "pristine"},
    "watch": {"catalogue", "decide"},
    "cluster": {"catalogue", "decide", "protocol", "watch"},
    "reexec": {"catalogue", "text", "decide", "pristine", "protocol"},
    "script": {"catalogue", "decide", "protocol"},
    "client": {"catalogue", "text", "pristine", "protocol", "reexec"},
    "ipython": {"catalogue", "text", "decide", "pristine", "protocol", "reexec"},
    "wire": {"catalogue", "pristine", "protocol"},
    "kernel": {"catalogue", "pristine", "memory", "protocol", "reexec", "ipython", "wire"},
    "proxy": {"catalogue", "memory", "reexec", "script", "wire"},
    "show": {"catalogue", "text", "decide", "pristine", "protocol", "client"},
    "program": {"catalogue", "pristine", "protocol", "cluster", "reexec", "client", "show"},
    "engine": {"catalogue", "text", "decide", "protocol", "watch", "script", "cluster"},
}

DOORS = {"__init__", "__main__", "magics", "completion", "extension", "cli", "console"}

# What decisions are made of: nothing that has a clock, thread, signal or file. `types` names code objects, and
# `warnings` silences the compiler's.
PURE = {"__future__", "collections", "dataclasses", "enum", "functools", "html", "math", "re", "typing"}
NAMING = {"types", "warnings"}


def path_of(module):
    """Return the file of a module of ours, by its dotted name; None if it is none."""
    place = ROOT.joinpath(*module.split(".")[1:])
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.exists():
            return path
    return None


def name_of(path):
    return path.relative_to(ROOT).with_suffix("").as_posix().removesuffix("/__init__")


def files():
    return [path for path in ROOT.rglob("*.py") if "shim" not in path.parts]


@functools.cache
def imports_of(path):
    """Return the files of ours that a file imports, inside functions and for type checkers too."""
    return list(_imports_of(path))


def _imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ImportFrom(module, names, 0):
                found = [(f"{module}.{alias.name}", module) for alias in names]
            case ast.Import(names):
                found = [(alias.name, alias.name) for alias in names]
            case _:
                assert not isinstance(node, ast.ImportFrom), f"{path}: relative import"
                continue
        for module, parent in found:
            if parent.split(".")[0] == "ipy_autorestart":
                yield path_of(module) or path_of(parent)


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def used():
    """Return which room imports which."""
    pairs = {(room_of(path), room_of(one)) for path in files() for one in imports_of(path)}
    return {(room, below) for room, below in pairs if room != below}


def test_each_room_imports_only_what_lies_below_it():
    for path in files():
        room = room_of(path)
        for one in imports_of(path):
            below = room_of(one)
            assert room in DOORS or room == below or below in BELOW[room], f"{name_of(path)} imports {name_of(one)}"


def test_no_permission_is_unused():
    pairs = used()
    for room, below in BELOW.items():
        assert not {one for one in below if (room, one) not in pairs}, f"{room} may import what it doesn't"


def test_no_files_import_each_other_in_a_circle():
    graphlib.TopologicalSorter({name_of(path): set(map(name_of, imports_of(path))) for path in files()}).prepare()


def test_rooms_point_down():
    order = list(graphlib.TopologicalSorter(BELOW).static_order())
    assert set(order) == set(BELOW)
    assert [room for room in BELOW if room in order] == list(BELOW)
    for place, (_, below) in enumerate(BELOW.items()):
        assert below <= set(list(BELOW)[:place])


def test_every_file_has_its_room():
    assert {room_of(path) for path in files()} == {*BELOW, *DOORS}


@pytest.mark.parametrize(
    "path",
    [
        *ROOT.glob("decide/*.py"),
        *ROOT.glob("*/*policy.py"),
        ROOT / "ipython/ledger.py",
        ROOT / "proxy/book.py",
        ROOT / "proxy/events.py",
    ],
    ids=name_of,
)
def test_decisions_are_made_of_values_alone(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [f"{node.module}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            top, *_ = name.split(".")
            ours = top == "ipy_autorestart" and name.split(".")[1] in ("catalogue", "decide", "text", room_of(path))
            assert ours or top in PURE | NAMING, f"{name_of(path)} imports {name}"


def test_the_arrows_of_the_architecture_are_imports():
    text = (ROOT.parent / "docs/architecture.md").read_text().partition("imports:")[2].partition("```")[0]
    chains = [re.split(" *─▶ *", chain) for line in text.splitlines() for chain in re.split("   +", line.strip())]
    assert len(chains) >= 2
    pairs = used()
    for chain in chains:
        for left, right in itertools.pairwise([part.split(", ") for part in chain]):
            for room, below in itertools.product(left, right):
                assert (room, below) in pairs, f"{room} doesn't import {below}"


def test_the_architecture_draws_the_same_table():
    text = (ROOT.parent / "docs/architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\w, ]*) ?\|$", text, re.MULTILINE)
    assert [(room, set(filter(None, re.split(", ?", below.strip())))) for room, below in rows] == list(BELOW.items())


def test_the_architecture_names_what_is_there():
    text = (ROOT.parent / "docs/architecture.md").read_text()
    rooms = "|".join([*BELOW, *DOORS])
    for module, names in re.findall(rf"`((?:{rooms})\.\w+)((?:\.\w+)*)`", text):
        path = ROOT / f"{module.replace('.', '/')}.py"
        if not path.exists():  # a name in a door
            door, _, name = module.partition(".")
            path, names = ROOT / f"{door}.py", f".{name}"
        code = path.read_text()
        for name in filter(None, names.split(".")):
            assert re.search(rf"\b(?:def|class) {name}\b", code), f"{module}{names}"


def test_every_public_name_is_there():
    for name in ipy_autorestart.__all__:
        assert getattr(ipy_autorestart, name).__name__ == name
