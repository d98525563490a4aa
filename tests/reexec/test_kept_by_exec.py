"""What an exec keeps is read, and put back."""

import json
import os
import resource
import signal

import pytest

from ipy_autorestart.reexec import surroundings
from ipy_autorestart.reexec.surroundings import (
    ATTRIBUTES,
    Attribute,
    ignore_only,
    ignored_signals,
    lower,
    put_back,
    put_limits_back,
    raise_limits,
    read_all,
)

NONE = resource.RLIM_INFINITY


def test_all_of_it_is_plain():
    found = read_all((1, 2))
    assert json.loads(json.dumps(found)) == found
    assert found["umask"] == os.umask(found["umask"])
    assert found.keys() - {"blocking", "limits"} <= ATTRIBUTES.keys()


def test_what_has_changed_is_put_back_and_nothing_else_is_touched(monkeypatch):
    values, written = {"changed": 2, "same": 1}, []

    def attribute(name):
        return Attribute(lambda: values[name], lambda value: written.append((name, value)))

    monkeypatch.setattr(surroundings, "ATTRIBUTES", {name: attribute(name) for name in values})
    put_back({"changed": 1, "same": 1})
    assert written == [("changed", 1)]


def test_what_can_not_be_read_or_written_is_left(monkeypatch):
    def fail(*_):
        raise OSError("forbidden")

    written = []
    attributes = {
        "unreadable": Attribute(fail, written.append),
        "fixed": Attribute(lambda: 2, fail),
        "last": Attribute(lambda: 2, written.append),
    }
    monkeypatch.setattr(surroundings, "ATTRIBUTES", attributes)
    assert read_all((1, 2)).keys() == {"blocking", "limits", "fixed", "last"}
    put_back({"unreadable": 1, "fixed": 1, "last": 1})
    assert written == [1]


def test_limits_can_be_put_back_alone():
    before = read_all((1, 2))
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 if soft != 1 else 0, hard))
    mask = os.umask(0o027)
    put_limits_back(before)
    assert os.umask(mask) == 0o027
    assert resource.getrlimit(resource.RLIMIT_CORE) == (soft, hard)


@pytest.mark.parametrize("now", [100, 200])
def test_limits_are_raised_first_and_not_lowered(now):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (now, hard))
    try:
        raise_limits({"limits": {"RLIMIT_NOFILE": [150, hard]}})
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (max(now, 150), hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("one", "other", "least"), [(3, 5, 3), (NONE, 5, 5), (5, NONE, 5), (NONE, NONE, NONE)])
def test_no_limit_is_the_highest(one, other, least):
    assert lower(one, other) == least


def test_a_hard_limit_that_stays_bounds_the_soft_one(monkeypatch):
    limits = {"RLIMIT_CORE": [3, 5]}

    def setrlimit(_, both):
        if both[1] > limits["RLIMIT_CORE"][1]:
            raise ValueError("not allowed to raise maximum limit")
        limits["RLIMIT_CORE"] = list(both)

    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits["RLIMIT_CORE"]))
    surroundings._set_limits({"RLIMIT_CORE": [8, 9]})
    assert limits == {"RLIMIT_CORE": [5, 5]}


def test_a_stream_that_was_made_non_blocking_blocks_again():
    reader, writer = os.pipe()
    keep = os.dup(0)
    os.dup2(reader, 0)
    try:
        before = {"blocking": read_all((1, 2))["blocking"]}
        assert before["blocking"][0] is True
        os.set_blocking(0, False)
        put_back(before)
        assert os.get_blocking(0)
    finally:
        os.dup2(keep, 0)
        for fd in (reader, writer, keep):
            os.close(fd)


def test_a_stream_that_was_closed_stays_so():
    keep = os.dup(0)
    os.close(0)
    try:
        put_back({"blocking": [True]})
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(0)
    finally:
        os.dup2(keep, 0)
        os.close(keep)


def test_the_same_signals_are_ignored_again():
    before = ignored_signals()
    assert not {signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE} & before
    kept = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    own = signal.signal(signal.SIGWINCH, signal.SIG_IGN)
    try:
        ignore_only(before | {signal.SIGUSR2}, besides={signal.SIGWINCH})
        assert ignored_signals() == before | {signal.SIGUSR2, signal.SIGWINCH}
    finally:
        signal.signal(signal.SIGUSR1, kept)
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        signal.signal(signal.SIGWINCH, own)
