"""Whether a program has failed, and whether its process can wait for the next change then."""

import subprocess
import sys

import pytest

from ipy_autorestart.program import failed

SHOWS = """
import atexit, sys
sys.path.append({package!r})
atexit.register(lambda: print("failure:", failed.failure()))
from ipy_autorestart.program import failed
{code}
"""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("None.x", "AttributeError: 'NoneType' object has no attribute 'x'"),
        ("def main():\n    raise OSError\nmain()", "OSError"),
        ("raise ValueError('one\\ntwo')", "ValueError: one"),
        ("raise ValueError('x' * 99)", f"ValueError: {'x' * 47}…"),
        ("sys.exit(3)", ""),
        ("raise KeyboardInterrupt", ""),
        ("import code\ncode.InteractiveInterpreter().runcode('1 / 0')", ""),
        ("try: None.x\nexcept AttributeError: pass", ""),
    ],
)
def test_it_has_failed_if_an_exception_has_ended_the_main_module(code, words):
    package = failed.SHIM.rpartition("/ipy_autorestart/")[0]
    done = subprocess.run(
        [sys.executable, "-c", SHOWS.format(package=package, code=code)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == [f"failure: {words}".rstrip() if words else "failure: "]


def test_what_notices_it_comes_first_on_the_path():
    assert failed.with_shim({"A": "1"}) == {"A": "1", "PYTHONPATH": failed.SHIM}
    assert failed.with_shim({"PYTHONPATH": "/x:/y"}) == {"PYTHONPATH": f"{failed.SHIM}:/x:/y"}


def test_it_cannot_be_noticed_where_the_path_is_not_taken_from_the_environment(monkeypatch):
    assert failed.can_wait({})
    assert failed.can_wait({"PYTHONPATH": "/x"})
    assert not failed.can_wait({"PYTHONPATH": ""}), "it could not be put back"
    for flag in ("-I", "-E", "-S"):
        code = f"import sys; sys.path.append({failed.SHIM.rpartition('/ipy_autorestart/')[0]!r})\n"
        code += "from ipy_autorestart.program.failed import can_wait\nprint(can_wait({}))"
        done = subprocess.run([sys.executable, flag, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.stdout == "False\n", done.stderr
