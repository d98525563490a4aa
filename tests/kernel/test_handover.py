"""The end of a kernel's life, as far as there is no kernel in it."""

import os
import types

import pytest

from ipy_autorestart.kernel.handover import KernelEnd, _Registered


def test_a_function_is_found_by_being_compared():
    met, missed = _Registered(print), _Registered(repr)
    assert print == met
    assert not print == missed  # noqa: SIM201  # as atexit compares
    assert (met.was_found, missed.was_found) == (True, False)


def test_what_a_kernel_lacks_is_found_while_there_is_a_way_back():
    app = types.SimpleNamespace(cleanup_connection_file=print, close=print)  # an engine's has no connection file
    kernel = types.SimpleNamespace(parent=app, iopub_thread=types.SimpleNamespace(stop=print))
    start = types.SimpleNamespace(check=lambda: None, first=types.SimpleNamespace(folder="/"))
    shell, before = types.SimpleNamespace(kernel=kernel), os.listdir("/proc/self/fd")
    with pytest.raises(AttributeError, match="abs_connection_file"):
        KernelEnd(shell, start, None, connection={}, cells=None)
    assert os.listdir("/proc/self/fd") == before
