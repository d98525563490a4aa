"""How durations and paths are told; apart from all that is decided, which a front has no need of."""

from __future__ import annotations

import os


def duration(seconds: float) -> str:
    """Say how long something took."""
    if 0.00005 <= seconds < 0.00095:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {seconds} s"


def relative(path: str, folder: str) -> str:
    """Return ``path`` as seen from ``folder`` if it lies below, else as it is."""
    inside = path.startswith(folder.rstrip(os.sep) + os.sep)
    return os.path.relpath(path, folder) if inside else path


def shortened(text: str, size: int) -> str:
    """Return text of at most ``size`` characters, without its end if need be."""
    return text if len(text) <= size else f"{text[: size - 1]}…"


def one_line(text: str) -> str:
    """Return text with what can't be seen, or can't be encoded, escaped: what was typed may hold anything."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
