"""Whether a kernel is a program of its own."""

import sys
import types

import pytest
from ipykernel.kernelapp import IPKernelApp

from ipy_autorestart.kernel.ipykernel import host_of


@pytest.fixture
def kernel(monkeypatch):
    """Make the kernel of an app that was initialized with some words, in a process that was started with others."""

    def make(line, words, **more):
        monkeypatch.setattr(sys, "orig_argv", ["python", *line.split()])
        app = IPKernelApp()
        app.argv = words.split()
        return types.SimpleNamespace(**{"parent": app, "user_module": None, "user_ns": None, **more})

    return make


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-Xdev -m ipykernel_launcher -f k.json", "-f k.json"),
        ("-m ipykernel_launcher", ""),
        ("-m my_kernel --mine k.json", "-f k.json"),
    ],
)
def test_a_kernel_that_the_process_was_started_for_is_its_own(kernel, line, words):
    assert host_of(kernel(line, words)) == ""


def test_so_is_one_that_ipython_was_told_to_be(kernel):
    own = kernel("-m IPython kernel", "")
    own.parent.parent = IPKernelApp()
    own.parent.parent.argv = ["kernel"]
    assert host_of(own) == ""


@pytest.mark.parametrize(("line", "words"), [("/srv/main.py worker", ""), ("/srv/main.py", "python --matplotlib=qt")])
def test_one_that_a_program_has_made_is_a_part_of_it(kernel, line, words):
    assert host_of(kernel(line, words)) == "main.py"


def test_so_is_one_whose_cells_run_in_the_programs_namespace(kernel):
    assert host_of(kernel("main.py", "", user_ns={})) == "main.py"
    assert host_of(kernel("main.py", "", user_module=sys)) == "main.py"


def test_so_is_one_of_another_app(kernel):
    assert host_of(types.SimpleNamespace(parent=types.SimpleNamespace())) == "SimpleNamespace"
