"""Which file systems deliver events for everything that changes on them."""

from __future__ import annotations

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
