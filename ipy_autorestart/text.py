"""How durations and paths are told; apart from all that is decided, which a front has no need of."""

from __future__ import annotations

import os

#: Stands between the parts of a line.
SEPARATOR = " · "


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


def wrapped(line: str, columns: int) -> str:
    """Return a line of parts with `` · `` between them as lines of at most so many columns, broken between parts.

    A part that is too long is broken between words; what stands below the line stays as it is.
    """
    line, end, rest = line.partition("\n")
    lines = [""]
    for place, part in enumerate(line.split(SEPARATOR)):
        words = f"{SEPARATOR if place else ''}{part}"
        if len(lines[-1]) + len(words) <= columns:
            lines[-1] += words
            continue
        for number, word in enumerate(words.strip().split(" ")):
            if lines[-1] and (not number or len(lines[-1]) + 1 + len(word) > columns):
                lines.append(f"  {word}")
            else:
                lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(filter(None, lines)) + end + rest


def one_line(text: str) -> str:
    """Return text with what can't be seen, or can't be encoded, escaped: what was typed may hold anything."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
