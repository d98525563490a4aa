"""What is known of file systems: which deliver events, the limits of inotify, and where git has its lock."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

# statfs(2), <linux/magic.h> and the sources of the out-of-tree ones. What another machine, a host or a server
# writes there raises no event here. Overlays are not listed: edits through the mount are seen.
_SILENT = {
    0x6969: "nfs",
    0x517B: "smb",
    0xFF534D42: "cifs",
    0xFE534D42: "smb2",
    0x01021997: "9p",
    0x65735546: "fuse",
    0x786F4256: "vboxsf",
    0xBACBACBC: "vmhgfs",
    0x00C36400: "ceph",
    0x0BD00BD0: "lustre",
    0x47504653: "gpfs",
    0x5346414F: "afs",
    0x19830326: "beegfs",
}
_FUSE = 0x65735546


def silent_kind(path: str) -> str | None:
    """Name the file system below ``path`` if its events can't be trusted to come; None where they come.

    Nothing is known elsewhere than on Linux; there a change that no event announced tells.
    """
    kind = _magic(path)
    if kind is None or (kind == _FUSE and _mounted_as(path) == "fuseblk"):
        return None  # a local disk through FUSE (ntfs-3g): only this machine writes to it
    return _SILENT.get(kind)


def _magic(path: str) -> int | None:
    """``f_type`` of statfs(2), which ``os.statvfs`` leaves out; the first word of the structure."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    libc = ctypes.CDLL(None)
    if not hasattr(libc, "statfs"):
        return None
    buffer = ctypes.create_string_buffer(512)  # struct statfs takes 120 bytes
    if libc.statfs(os.fsencode(path), buffer) != 0:
        return None
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF


def _mounted_as(path: str) -> str | None:
    """Type of the mount that holds ``path``, by proc(5)."""
    real = os.path.realpath(path)
    found: tuple[int, str] | None = None
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                left, _, right = line.partition(" - ")
                point = left.split()[4].replace("\\040", " ")
                inside = real == point or real.startswith(point.rstrip("/") + "/")
                if inside and (found is None or len(point) >= found[0]):
                    found = len(point), right.split()[0]
    except (OSError, IndexError):
        return None
    return found[1] if found else None


def lock_of(folder: str) -> str | None:
    """Return where the repository that holds ``folder`` has its ``index.lock``, None if none does.

    It is there during the whole of a checkout, stash or merge and during each step of a rebase;
    ``rebase-merge`` would not do, as it outlives a conflict.
    """
    here = os.path.realpath(folder)
    while True:
        repository = os.path.join(here, ".git")
        if os.path.lexists(repository):
            return os.path.join(_resolved(repository), "index.lock")
        parent = os.path.dirname(here)
        if parent == here:
            return None
        here = parent


def _resolved(repository: str) -> str:
    """Follow the ``gitdir:`` line of a worktree or a submodule (gitrepository-layout(5))."""
    if os.path.isdir(repository):
        return repository
    try:
        with open(repository, encoding="utf-8", errors="surrogateescape") as file:
            line = file.readline().strip()
    except OSError:
        return repository
    return os.path.join(os.path.dirname(repository), line.removeprefix("gitdir:").strip())


_SYSCTL = "/proc/sys/fs/inotify/"


def sentence(error: Exception, *, watched: int, wanted: int) -> str:
    """Explain why events are missing, for the status line."""
    rest = f"{watched} of {wanted} folders send events, the rest is checked at intervals"
    match error.errno if isinstance(error, OSError) else None:
        case errno.ENOSPC:
            return f"inotify watch limit reached ({_advice('max_user_watches', 524288)}): {rest}"
        case errno.EMFILE if _descriptors_left():
            return f"inotify instance limit reached ({_advice('max_user_instances', 512)}): {rest}"
        case errno.EMFILE | errno.ENFILE:
            return f"too many open files (see: ulimit -n): {rest}"
        case _:
            return f"watching failed ({error}): {rest}"


def _advice(name: str, enough: int) -> str:
    try:
        with open(_SYSCTL + name, encoding="ascii") as file:
            now = int(file.read())
    except (OSError, ValueError):
        return f"fs.inotify.{name}; raise it with: sudo sysctl fs.inotify.{name}={enough}"
    return f"fs.inotify.{name} = {now}; raise it with: sudo sysctl fs.inotify.{name}={max(enough, 2 * now)}"


def _descriptors_left() -> bool:
    """Tell the two causes of EMFILE in inotify_init(2) apart: the process's own limit fails here too."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def inotify_descriptors() -> set[int]:
    """Descriptors of this process's inotify instances; empty where that can't be had."""
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:inotify":
                    found.add(int(name))
    return found


def watched_inodes() -> set[int]:
    """Inodes that this process watches, by proc_pid_fdinfo(5)."""
    found: set[int] = set()
    for descriptor in inotify_descriptors():
        with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as lines:
            found.update(int(line.split()[2][4:], 16) for line in lines if line.startswith("inotify "))
    return found
