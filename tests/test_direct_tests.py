"""Each module has a test of its own: one in the room of the same name that imports it."""

import ast
import functools
import re
from collections import Counter
from pathlib import Path

import ipy_autorestart

ROOT = Path(ipy_autorestart.__file__).parent
TESTS = Path(__file__).parent

#: Modules that no such test imports, and the reason; a line goes as soon as it has become untrue.
EXCEPT = {
    "ipy_autorestart.cli": "the tests of the command line run it as a program",
    "ipy_autorestart.engine.target": "mypy compares its protocols with each target",
    "ipy_autorestart.magics": "the tests in magics/ run its magics in kernels",
    "ipy_autorestart.program.waiting": "the tests of programs that fail have their processes run it",
    "ipy_autorestart.protocol.checkpoint": "a value alone, which the tests of tables show",
    "ipy_autorestart.proxy.__main__": "the tests of proxies run it as a program",
    "ipy_autorestart.reexec.bootstrap": "its tests have new images run it",
    "ipy_autorestart.script.program": "values alone",
}


def modules():
    """Yield the names of all modules with a function or class in them."""
    for path in ROOT.rglob("*.py"):
        defined = any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.parse(path.read_text()).body)
        if defined and "shim" not in path.parts:
            yield ".".join(("ipy_autorestart", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


@functools.cache
def imported(test):
    """Return what a test imports, in the code of its processes too; a public name as the module it comes from."""
    found = set()
    for module, names in re.findall(r"from (ipy_autorestart[\w.]*) import (\([^)]*\)|.*)", test.read_text()):
        found.add(module)
        for name in re.findall(r"\w+", names):
            public = getattr(ipy_autorestart, name) if name in ipy_autorestart.__all__ else None
            found.add(getattr(public, "__module__", f"{module}.{name}"))
    return found


def test_each_module_is_imported_by_a_test_in_its_room():
    tests = {module: TESTS.joinpath(*module.split(".")[1:-1]).glob("test_*.py") for module in modules()}
    untested = {module for module, beside in tests.items() if not any(module in imported(test) for test in beside)}
    assert untested == EXCEPT.keys()


def test_no_two_modules_beside_the_tests_have_the_same_name():
    # They are imported by name alone, and which folder comes first depends on the order of collection.
    names = Counter(path.name for path in TESTS.rglob("*.py"))
    assert {name for name, count in names.items() if count > 1} <= {"conftest.py", "__init__.py"}
