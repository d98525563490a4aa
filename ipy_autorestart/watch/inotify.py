"""Hear of changes on Linux, by inotify(7): one watch for each folder, added before the folder is listed.

So nothing falls between the listing and the watch, one walk serves both, and what a folder costs is one number. The
kernel's events are read in one thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import select
import struct
import threading
from collections.abc import Iterable

from ipy_autorestart.decide.change import Progress
from ipy_autorestart.watch.filesystem import explain_limit
from ipy_autorestart.watch.plan import Anchor, Notice
from ipy_autorestart.watch.tree import GONE, Tree

_log = logging.getLogger(__name__)

# From <sys/inotify.h>.
_MODIFY, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO = 0x2, 0x8, 0x40, 0x80
_CREATE, _DELETE, _DELETE_SELF = 0x100, 0x200, 0x400
_OVERFLOW, _IGNORED, _ISDIR = 0x4000, 0x8000, 0x40000000
_ONLYDIR, _DONT_FOLLOW = 0x01000000, 0x02000000

# Opening, reading and changes of attributes alone are left out, so that the kernel never queues them.
_MASK = _MODIFY | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _ONLYDIR | _DONT_FOLLOW

#: ``wd``, ``mask``, ``cookie`` and ``len`` of struct inotify_event.
_HEAD = struct.Struct("iIII")
_BUFFER_BYTES = 1 << 16

# An observer whose thread keeps dying is started again after so long; until then there are scans.
_APART_SECONDS = 1.0


class Observer:
    """A thread that reads the events of the folders that it is told to enter.

    Attributes
    ----------
    notes
        Sentences on the limits that were met.
    """

    def __init__(self, notice: Notice) -> None:
        self.notes: list[str] = []
        self._notice = notice
        self._lock = threading.Lock()
        self._shown: dict[int, str] = {}  # by number of the watch, the folder that it is on; "" if only names count
        self._names: dict[int, dict[str, tuple[str, ...]]] = {}  # and single names in it, as the user knows them
        self._anchors: tuple[Anchor, ...] = ()
        self._thread: threading.Thread | None = None
        self._fd = -1
        self._end = -1  # wakes the thread
        self._limit: OSError | RuntimeError | None = None
        self._start_at = self._again_at = float("-inf")

    @property
    def complete(self) -> bool:
        """Whether every folder sends events."""
        return self._is_alive and self._limit is None

    @property
    def _is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> bool:
        """Start the thread; return whether it runs, and keep the limit that forbids it."""
        self._limit = None
        try:
            self._fd = _checked(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
            self._end = os.eventfd(0)
            os.close(os.dup(self._end))  # one must be left to read files with
            thread = threading.Thread(target=self._read, name="ipy-autorestart-observer", daemon=True)
            thread.start()
        except (OSError, RuntimeError) as error:  # no descriptors, no threads
            self.stop()
            self._limit = error
            return False
        self._thread = thread
        return True

    def stop(self) -> None:
        """End the thread and close all descriptors."""
        thread, self._thread = self._thread, None
        if thread is not None:
            os.eventfd_write(self._end, 1)
            thread.join()
        for fd in (self._fd, self._end):
            if fd >= 0:
                os.close(fd)
        self._fd = self._end = -1
        self._anchors = ()
        self._shown.clear()
        self._names.clear()

    def enter(self, path: str, real: str) -> None:
        """Watch a folder that is about to be listed; one that is watched already may have another path now."""
        self._add(real, path)

    def keep_up(self, tree: Tree, anchors: tuple[Anchor, ...], now: float) -> bool:
        """Follow a tree after a walk, and start again what has died.

        Returns whether a watch was added on what the walk had seen before, so that a change may have come between.
        """
        again = False
        if not self._is_alive:
            if now < self._start_at:
                return False
            if self._thread is not None:
                self.stop()
                # At once the first time, and then never sooner than so long after the time before.
                self._start_at, self._again_at = self._again_at, max(now, self._again_at) + _APART_SECONDS
                if now < self._start_at:
                    return False
            again = self.start()
        elif self._limit is not None and (tree.moved or anchors != self._anchors):
            self._limit, again = None, True  # what a limit forbids is tried again for another tree only
        if again:
            for folder in tree.folders.values():
                if not folder.environment and folder.readable:
                    self.enter(folder.path, folder.real)
        if tree.gone:
            self._leave(tree)
        again |= self._anchor(anchors)
        self._explain(tree)
        return again

    def _anchor(self, anchors: tuple[Anchor, ...]) -> bool:
        """Watch single names; return whether they are others than before."""
        if anchors == self._anchors:
            return False
        self._anchors = anchors
        names: dict[int, dict[str, tuple[str, ...]]] = {}
        for anchor in anchors:
            folder, name = os.path.split(anchor.real)
            if (number := self._add(folder)) >= 0:
                shown = names.setdefault(number, {})
                shown[name] = (*shown.get(name, ()), anchor.shown)
        with self._lock:
            over = [number for number in self._names if number not in names and not self._shown.get(number)]
            self._names = names
        self._remove(over)
        return True

    def _add(self, real: str, shown: str = "") -> int:
        """Add a watch, or find the one that is there; return its number, -1 if there can be none."""
        if self._fd < 0 or self._limit is not None:
            return -1
        with self._lock:  # an event that comes at once must find its folder
            try:
                number = _checked(_libc.inotify_add_watch(self._fd, os.fsencode(real), _MASK))
            except OSError as error:
                if error.errno not in GONE and error.errno != errno.EACCES:
                    self._limit = error
                return -1
            if shown or number not in self._shown:
                self._shown[number] = shown
            return number

    def _leave(self, tree: Tree) -> None:
        """Watch no longer what a path was, unless it is in the tree by another path."""
        paths = {folder.path for folder in tree.gone}
        tree.gone.clear()
        here = [folder for folder in map(tree.folders.get, paths) if folder is not None and not folder.environment]
        kept = {self._add(folder.real, folder.path) for folder in here}
        with self._lock:
            gone = [number for number, shown in self._shown.items() if shown in paths and number not in kept]
            for number in gone:
                if number in self._names:
                    self._shown[number] = ""
        self._remove(number for number in gone if number not in self._names)

    def _remove(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            with self._lock:
                self._shown.pop(number, None)
            with contextlib.suppress(OSError):  # the folder is gone, and its watch with it
                _checked(_libc.inotify_rm_watch(self._fd, number))

    def _explain(self, tree: Tree) -> None:
        self.notes = []
        if self._limit is not None:
            wanted = {folder.identity for folder in tree.folders.values() if not folder.environment}
            wanted |= {anchor.folder for anchor in self._anchors}
            self.notes = [explain_limit(self._limit, watched=len(self._shown), wanted=len(wanted))]

    def _read(self) -> None:
        """Read events until told to end; whatever ends this otherwise asks for a look at everything."""
        ended = False
        try:
            poll = select.poll()
            for fd in (self._fd, self._end):
                poll.register(fd, select.POLLIN)
            while not ended:
                ready = {fd for fd, _ in poll.poll()}
                ended = self._end in ready
                if not ended:
                    self._take(os.read(self._fd, _BUFFER_BYTES))
        except BaseException:  # noqa: BLE001 - what raises in any thread, as SystemExit does, is of no use here
            _log.exception("the observer's thread died, and is started again")
            self._notice("", Progress.UNKNOWN, folder=True)

    def _take(self, events: bytes) -> None:
        at = 0
        while at < len(events):
            number, mask, _, size = _HEAD.unpack_from(events, at)
            at += _HEAD.size
            name = os.fsdecode(events[at : at + size].rstrip(b"\0"))
            at += size
            try:
                self._pass_on(number, mask, name)
            except Exception:  # noqa: BLE001 - it would end the thread, and all watching with it
                _log.exception("an event was lost: %r", (number, mask, name))
                with contextlib.suppress(Exception):
                    self._notice("", Progress.UNKNOWN, folder=True)

    def _pass_on(self, number: int, mask: int, name: str) -> None:
        if mask & _OVERFLOW:
            self._notice("", Progress.UNKNOWN, folder=True)
            return
        with self._lock:
            shown = self._shown.get(number)
            names = self._names.get(number, {}).get(name, ())
            if mask & _IGNORED:
                self._shown.pop(number, None)
                self._names.pop(number, None)
        if shown is None or mask & _IGNORED:
            return
        folder, progress = bool(mask & _ISDIR), Progress.DONE
        if mask & _DELETE_SELF:
            folder = True
        elif mask & (_CREATE | _MODIFY):
            progress = Progress.WRITING
        if folder:
            progress = Progress.UNKNOWN
        elif mask & (_CREATE | _MOVED_TO):
            folder = "." not in name  # a symlink to a folder comes as a file
        for path in names:
            self._notice(path, progress, folder=folder)
        if shown:
            self._notice(f"{shown.rstrip('/')}/{name}" if name else shown, progress, folder=folder)


_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)


def _checked(result: int) -> int:
    """Return what a function of the C library has returned, unless that was an error."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
