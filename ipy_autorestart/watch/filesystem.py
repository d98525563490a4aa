"""Ask the system: which file systems send events, what limits inotify, and where git keeps its lock."""

from __future__ import annotations

import contextlib
import errno
import os
import sys

from ipy_autorestart import catalogue

# From statfs(2), <linux/magic.h> and the sources of those out of the tree. A write by another machine, the host or a
# server sends no event here. Overlays are not listed: edits through the mount are seen.
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
    """Return the name of the file system that holds ``path`` if its events can't be trusted to come, else None.

    Only Linux can be asked; elsewhere a change that no event announced tells.
    """
    kind = _magic(path)
    if kind is None or (kind == _FUSE and _mounted_as(path) == "fuseblk"):
        return None  # a local disk through FUSE (ntfs-3g): only this machine writes to it
    return _SILENT.get(kind)


def _magic(path: str) -> int | None:
    """Return ``f_type`` of statfs(2), the first word of its structure; ``os.statvfs`` leaves it out."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    libc = ctypes.CDLL(None)
    buffer = ctypes.create_string_buffer(512)  # struct statfs takes 120 bytes
    if not hasattr(libc, "statfs") or libc.statfs(os.fsencode(path), buffer) != 0:
        return None
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF


def _mounted_as(path: str) -> str | None:
    """Return the type of the mount that holds ``path``, by proc(5)."""
    real = os.path.realpath(path)
    found: tuple[int, str | None] = (0, None)
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                left, _, right = line.partition(" - ")
                point = left.split()[4].replace("\\040", " ")
                inside = real == point or real.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= found[0]:
                    found = len(point), right.split()[0]
    except (OSError, IndexError):
        return None
    return found[1]


def repository(folder: str) -> str | None:
    """Return the nearest folder at or above ``folder`` with a ``.git``, None if there is none."""
    while not os.path.lexists(os.path.join(folder, ".git")):
        folder, below = os.path.dirname(folder), folder
        if folder == below:
            return None
    return folder


def lock_of(folder: str) -> str | None:
    """Return the path of ``index.lock`` of the repository that holds ``folder``, None if none does.

    The file exists during the whole of a checkout, stash or merge and during each step of a rebase;
    ``rebase-merge`` would not do, as it outlives a conflict.
    """
    top = repository(os.path.realpath(folder))
    if top is None:
        return None
    git = os.path.join(top, ".git")
    if not os.path.isdir(git):  # of a worktree or a submodule: a file with a `gitdir:` line, gitrepository-layout(5)
        with contextlib.suppress(OSError), open(git, encoding="utf-8", errors="surrogateescape") as file:
            git = os.path.join(top, file.readline().strip().removeprefix("gitdir:").strip())
    return os.path.join(git, "index.lock")


def explain_limit(error: Exception, *, watched: int, wanted: int) -> str:
    """Return a sentence for the status on why some folders send no events."""
    rest = catalogue.PART_POLLED(watched=watched, wanted=wanted)
    match error.errno if isinstance(error, OSError) else None:
        case errno.ENOSPC:
            return catalogue.WATCH_LIMIT(advice=_advice("max_user_watches", 524288), rest=rest)
        case errno.EMFILE if _fds_left():
            return catalogue.INSTANCE_LIMIT(advice=_advice("max_user_instances", 512), rest=rest)
        case errno.EMFILE | errno.ENFILE:
            return catalogue.FILE_LIMIT(rest=rest)
        case _:
            return catalogue.WATCHING_FAILED(error=error, rest=rest)


def _advice(name: str, enough: int) -> str:
    try:
        with open(f"/proc/sys/fs/inotify/{name}", encoding="ascii") as file:
            now = int(file.read())
    except (OSError, ValueError):
        return catalogue.RAISE_UNKNOWN(name=name, enough=enough)
    return catalogue.RAISE_LIMIT(name=name, now=now, enough=max(enough, 2 * now))


def _fds_left() -> bool:
    """Whether a file can be opened: of the two causes of EMFILE in inotify_init(2), one forbids that too."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def inotify_fds() -> set[int]:
    """Return the descriptors of this process's inotify instances; none where the system doesn't say."""
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:inotify":
                    found.add(int(name))
    return found


def watched_inodes() -> set[int]:
    """Return the inodes that this process watches, by proc_pid_fdinfo(5)."""
    found: set[int] = set()
    for fd in inotify_fds():
        with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as lines:
            found.update(int(line.split()[2][4:], 16) for line in lines if line.startswith("inotify "))
    return found
