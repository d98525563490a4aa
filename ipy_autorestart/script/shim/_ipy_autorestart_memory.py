"""What a fork server does that a run's memory is quick to copy, and quick to be rid of.

A fork and a process's end go through its memory page by page and mapping by mapping, and a restart waits for both.
Both parts call the C library, by the ctypes that what is large has imported; of its own the script does without.
"""

import _signal  # type: ignore[import-not-found]  # it has no stub
import os
import sys

if False:  # for type checkers only
    from typing import Any

#: From ``linux/mman.h``, since Linux 6.1.
MADV_COLLAPSE = 25

#: From ``linux/sched.h``, ``linux/prctl.h`` and ``linux/futex.h``.
CLONE_VM, CLONE_PARENT, PR_GET_TID_ADDRESS, FUTEX_WAIT = 0x100, 0x8000, 40, 0

#: The number of futex(2), for which the C library has no function.
FUTEX = {"x86_64": 202, "aarch64": 98}

#: Bytes of a context, and of what it needs as a stack, with room to spare; glibc's are below 5,000.
CONTEXT, STACK = 1 << 13, 1 << 14

#: Microseconds for which the memory is kept when the run has ended: by then it has told of its end, and the next run,
#: which needs the processor more, has begun.
HEAD_START = 5_000


def collapse() -> None:
    """Put what is in memory into huge pages, where the system has them (madvise(2), ``MADV_COLLAPSE``).

    Measured with torch: a run's end is done in 4 ms instead of 15, and the fork in 3 instead of 12.
    """
    ctypes: Any = sys.modules.get("ctypes")
    try:
        advise = ctypes.CDLL(None).madvise
        with open("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size") as file:
            size = int(file.read())
        with open("/proc/self/maps") as file:
            mappings = [line.split() for line in file]
    except (AttributeError, OSError, ValueError):
        return
    for where, modes, _, _, _, *name in mappings:
        if modes == "rw-p" and name in ([], ["[heap]"]):
            first, end = (int(one, 16) for one in where.split("-"))
            for start in range(-(-first // size) * size, end - size + 1, size):
                advise(ctypes.c_void_p(start), ctypes.c_size_t(size), MADV_COLLAPSE)


def hold() -> int:
    """Have another process keep this one's memory until it has ended; return its pid, 0 if there can be none.

    The system gives memory back when its last user ends, and before it tells of that end. So the end of this process is
    told at once, and its memory is given back beside the start of the next. Measured, of scikit-learn: 0.2 ms for 5.

    The other is a child of this one's parent, has a session of its own and no descriptors, and shares the memory
    (``CLONE_VM``). So it can't run Python: all that it does is a chain of calls of the C library. It waits for the
    thread's number in memory to be cleared, which the system does when the thread ends or the process executes another
    program (set_tid_address(2)).
    """
    ctypes: Any = sys.modules.get("ctypes")
    try:
        library = ctypes.CDLL(None)
        clone, number = library.clone, FUTEX[os.uname().machine]
        tid = ctypes.c_void_p()
        if library.close_range(1 << 30, 1 << 30, 0) or library.prctl(PR_GET_TID_ADDRESS, ctypes.byref(tid)):
            return 0
        calls = (
            (library.setsid,),
            (library.close_range, 0, 1 << 30, 0),
            (library.syscall, number, tid.value or 0, FUTEX_WAIT, os.getpid(), 0),
            (library.usleep, HEAD_START),
            (library._exit, 0),  # noqa: SLF001  # its name in C
        )
        stack = ctypes.c_void_p(_memory(ctypes, library, STACK) + STACK)
        read, write = os.pipe()
        # The other takes over what is blocked: nothing interrupts it, as what handles a signal would run in it.
        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        try:
            pid: int = clone(library.setcontext, stack, CLONE_VM | CLONE_PARENT, _chain(ctypes, library, calls))
        finally:
            os.close(write)
            os.read(read, 1)  # to the end, which comes when the other has no descriptors any more
            os.close(read)
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    except (AttributeError, KeyError, OSError, MemoryError):
        return 0
    return max(pid, 0)


def _memory(ctypes: "Any", library: "Any", size: int) -> "Any":  # noqa: ANN401  # modules that can't be imported here
    """Return the address of memory that is never freed."""
    library.calloc.restype = ctypes.c_size_t
    address = library.calloc(ctypes.c_size_t(1), ctypes.c_size_t(size))
    if not address:
        raise MemoryError
    return address


def _chain(ctypes: "Any", library: "Any", calls: "tuple[tuple[Any, ...], ...]") -> "Any":  # noqa: ANN401
    """Return a context in which some functions are called one after another (makecontext(3)); the last ends it all."""
    following = 0
    for function, *args in reversed(calls):
        context = _memory(ctypes, library, CONTEXT)
        library.getcontext(ctypes.c_void_p(context))
        # struct ucontext_t: flags, the context that follows, and the stack's address, flags and size.
        words = (ctypes.c_size_t * 5).from_address(context)
        words[1], words[2], words[4] = following, _memory(ctypes, library, STACK), STACK
        library.makecontext(ctypes.c_void_p(context), function, len(args), *map(ctypes.c_long, args))
        following = context
    return ctypes.c_void_p(following)
