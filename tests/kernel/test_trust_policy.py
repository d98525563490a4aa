"""What is said of what is seen, as values."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipy_autorestart.kernel.trust_policy import (
    Baseline,
    Child,
    Descriptor,
    Kind,
    Mapping,
    Owner,
    Sight,
    Thread,
    judge,
    library_of,
    threads,
)


def opened(kind, name="", **facts):
    return Sight(descriptors=(Descriptor(7, kind, name, **facts),))


def mapped(*names):
    return Sight(mappings=tuple(Mapping(place, 4096, name) for place, name in enumerate(names)))


SEEN = {
    "nothing": (Sight(), ()),
    "thread": (Sight(threads=(Thread("worker"),)), ("1 thread (worker)",)),
    "threads": (Sight(threads=tuple(map(Thread, "abcd"))), ("4 threads (a, b, c, …)",)),
    "threads of one name": (Sight(threads=(Thread("a"), Thread("a"))), ("2 threads (a)",)),
    "thread without a name": (Sight(threads=(Thread(""),)), ("1 thread",)),
    "threads of a library": (Sight(threads=(Thread("x", library="polars"),) * 5), ("5 threads of polars",)),
    "threads of two": (
        Sight(threads=(Thread("w"), Thread("x", library="libgomp"), Thread("y", library="duckdb"))),
        ("1 thread (w)", "1 thread of OpenMP", "1 thread of duckdb"),
    ),
    "threads that end at a fork": (Sight(threads=(Thread("x", library="libopenblas"),)), ()),
    "thread of the kernel": (Sight(threads=(Thread("IOPub", Owner.KERNEL),)), ()),
    "subshell that runs a cell": (
        Sight(threads=(Thread("subshell-1", Owner.KERNEL, at_rest=False),)),
        ("1 subshell at work",),
    ),
    "thread of ours": (Sight(threads=(Thread("", Owner.OURS),)), ()),
    "idle worker": (Sight(threads=(Thread("pool_0", Owner.MENDED),)), ()),
    "busy worker": (Sight(threads=(Thread("pool_0", Owner.MENDED, at_rest=False),)), ("1 thread (pool_0)",)),
    "child": (Sight(children=(Child("sleep"),)), ("1 child process (sleep)",)),
    "children": (Sight(children=(Child("a"), Child("b"))), ("2 child processes (a, b)",)),
    "child of ours": (Sight(children=(Child("python", Owner.OURS),)), ()),
    "ended child": (
        Sight(children=(Child("true", has_ended=True),)),
        ("1 ended child process not waited for (true)",),
    ),
    "library that refuses": (Sight(refusing=("numba's code",)), ("numba's code can't go on in a copy",)),
    "contexts of ZeroMQ": (Sight(contexts=2), ("2 contexts of ZeroMQ",)),
    "timer": (Sight(has_timer=True), ("a timer is set",)),
    "timers of two kinds": (dataclasses.replace(opened(Kind.OTHER, "timerfd"), has_timer=True), ("a timer is set",)),
    "signal": (Sight(has_signal=True), ("a blocked signal waits",)),
    "debugger": (
        Sight(threads=(Thread("Writer"),), children=(Child("python"),), is_debugged=True),
        ("the debugger has been attached",),
    ),
    "another program's debugger": (Sight(is_traced=True), ("another program traces this process",)),
    "nothing that could be read": (Sight(unread="/proc/self/task"), ("/proc/self/task can't be read",)),
    "file to read": (opened(Kind.FILE, "/data/a.csv"), ()),
    "file to write": (opened(Kind.FILE, "/data/d.db", writes=True), ("d.db is open for writing",)),
    "deleted file to write": (opened(Kind.FILE, "/tmp/x (deleted)", writes=True), ("x is open for writing",)),
    "locked folder": (opened(Kind.FOLDER, "/data/d", is_locked=True), ("d is locked",)),
    "locked file": (opened(Kind.FILE, "/data/d.lock", is_locked=True), ("d.lock is locked",)),
    "file in memory": (opened(Kind.FILE, "/memfd:a (deleted)", writes=True), ("memory shared with other processes",)),
    "folder": (opened(Kind.FOLDER, "/data"), ()),
    "device without state": (opened(Kind.DEVICE, "/dev/null"), ()),
    "GPU": (opened(Kind.DEVICE, "/dev/nvidia0"), ("a CUDA device is open",)),
    "devices of a GPU": (
        Sight(descriptors=tuple(Descriptor(n, Kind.DEVICE, f"/dev/nvidia{n}") for n in range(3))),
        ("a CUDA device is open",),
    ),
    "other GPU": (opened(Kind.DEVICE, "/dev/dri/renderD128"), ("/dev/dri/renderD128 is open",)),
    "terminal": (opened(Kind.DEVICE, "/dev/pts/3"), ("/dev/pts/3 is open",)),
    "connection": (opened(Kind.CONNECTION, "127.0.0.1:5432"), ("a connection to 127.0.0.1:5432",)),
    "unnamed connection": (opened(Kind.CONNECTION), ("a connection to another process",)),
    "ended connection": (opened(Kind.CONNECTION, "127.0.0.1:80", is_dead=True), ()),
    "ended connection with data": (
        opened(Kind.CONNECTION, "127.0.0.1:80", is_dead=True, is_kept=False),
        ("a connection to 127.0.0.1:80",),
    ),
    "pair of sockets": (opened(Kind.CONNECTION, is_inner=True), ()),
    "server": (opened(Kind.LISTENER, "0.0.0.0:8000"), ("a socket at 0.0.0.0:8000",)),
    "pipe": (opened(Kind.PIPE), ("a pipe to another process",)),
    "pipe of its own": (opened(Kind.PIPE, is_inner=True), ()),
    "ended pipe": (opened(Kind.PIPE, is_dead=True), ()),
    "ended pipe with too much in it": (
        opened(Kind.PIPE, is_dead=True, is_kept=False),
        ("a pipe that was not read to its end",),
    ),
    "named pipe": (opened(Kind.PIPE, "/tmp/q"), ("the pipe q is open",)),
    "event loop": (opened(Kind.EPOLL), ("an event loop",)),
    "eventfd": (opened(Kind.EVENT), ("a descriptor of eventfd",)),
    "watch of files": (opened(Kind.OTHER, "inotify"), ("a descriptor of inotify",)),
    "what the caller has": (opened(Kind.FILE, "/x", writes=True, owner=Owner.OURS), ()),
    "shared memory": (mapped("/dev/shm/psm_1"), ("memory shared with other processes",)),
    "much shared memory": (
        mapped("/dev/zero (deleted)", "/SYSV00", "/[aio]", ""),
        ("memory shared with other processes",),
    ),
    "mapped file": (mapped("/data/m.bin"), ("m.bin is open for writing",)),
    "mapped device": (mapped("/dev/nvidia-uvm", "/dev/nvidiactl"), ("a CUDA device is open",)),
}


@pytest.mark.parametrize("name", SEEN)
def test_each_thing_has_its_words(name):
    sight, reasons = SEEN[name]
    assert judge(sight) == reasons


def test_things_of_one_kind_are_counted():
    sight = Sight(descriptors=tuple(Descriptor(n, Kind.CONNECTION, "10.0.0.1:5432") for n in range(3)))
    assert judge(sight) == ("3 connections to 10.0.0.1:5432",)


def test_the_loops_of_a_library_are_not_named_beside_its_threads():
    loops = opened(Kind.EPOLL).descriptors + opened(Kind.EVENT).descriptors
    assert judge(Sight(descriptors=loops)) == ("an event loop", "a descriptor of eventfd")
    assert judge(Sight((Thread("x", library="polars"),), loops)) == ("1 thread of polars",)
    assert judge(Sight((), loops, contexts=1)) == ("a context of ZeroMQ",)


def test_all_reasons_are_told_threads_first():
    sights = [SEEN[name][0] for name in ("file to write", "mapped device", "thread")]
    sight = Sight(
        *(
            tuple(one for each in sights for one in getattr(each, field))
            for field in ("threads", "descriptors", "mappings")
        )
    )
    assert judge(sight) == ("1 thread (worker)", "a CUDA device is open", "d.db is open for writing")


def test_a_baseline_excuses_what_was_there_and_nothing_else():
    log = opened(Kind.FILE, "/log", inode=5, writes=True)
    assert judge(log, Baseline.of(log)) == ()
    assert judge(opened(Kind.FILE, "/log", inode=6, writes=True), Baseline.of(log))
    assert judge(log, Baseline.of(opened(Kind.FILE, "/log", inode=5)))
    assert judge(mapped("/m"), Baseline.of(mapped("/m"))) == ()
    assert judge(mapped("", "/m"), Baseline.of(mapped("/m")))


def test_a_baseline_excuses_neither_threads_nor_children():
    sight = Sight(threads=(Thread("a"),), children=(Child("b"),))
    assert judge(sight, Baseline.of(sight)) == judge(sight) != ()


OTHERS = st.sampled_from([Owner.KERNEL, Owner.OURS, Owner.MENDED])
TEXT = st.sampled_from(["", "a", "/dev/nvidia0", "/data/b"])


@given(
    st.builds(
        Sight,
        threads=st.lists(st.builds(Thread, TEXT, OTHERS, library=TEXT)).map(tuple),
        descriptors=st.lists(
            st.builds(Descriptor, st.integers(0, 9), st.sampled_from(Kind), TEXT, owner=OTHERS, writes=st.booleans())
        ).map(tuple),
        mappings=st.lists(st.builds(Mapping, st.integers(0, 9), st.just(4096), TEXT, OTHERS)).map(tuple),
        children=st.lists(st.builds(Child, TEXT, OTHERS, st.booleans())).map(tuple),
    )
)
def test_what_is_somebody_elses_is_never_told(sight):
    assert judge(sight) == ()


def test_only_threads_that_stay_are_told():
    assert threads([Thread("x", library="libarrow"), Thread("y", library="torch")]) == ("1 thread of torch",)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/venv/lib/python3.11/site-packages/polars/polars.abi3.so", "polars"),
        ("/venv/lib/python3.11/site-packages/_polars_runtime_32/_polars_runtime.abi3.so", "polars"),
        ("/venv/lib/python3.11/site-packages/torch/lib/libtorch_cpu.so", "torch"),
        ("/venv/lib/python3.11/site-packages/torch/lib/libgomp-a34b3233.so.1", "libgomp"),
        ("/venv/lib/python3.11/site-packages/numpy.libs/libscipy_openblas64_-2f3.so", "libscipy_openblas64_"),
        ("/venv/lib/python3.11/site-packages/pyarrow/libarrow.so.2600", "libarrow"),
        ("/venv/lib/python3.11/site-packages/_duckdb.cpython-311-x86_64-linux-gnu.so", "duckdb"),
        ("/usr/lib/python3/dist-packages/cv2.abi3.so", "cv2"),
        ("/usr/lib/x86_64-linux-gnu/libgomp.so.1.0.0", "libgomp"),
        ("/usr/lib/x86_64-linux-gnu/libuv.so.1", "libuv"),
        ("", ""),
    ],
)
def test_a_library_has_the_name_of_its_package(path, name):
    assert library_of(path) == name
