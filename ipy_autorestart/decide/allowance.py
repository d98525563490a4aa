"""How much output may be shown: so that a notebook's server, which drops what is too much, is never tempted to."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Bytes each second, and at once after a quiet time. jupyter_server drops what goes beyond a million bytes a second, as
#: a mean of three seconds (``ZMQChannelsWebsocketConnection.iopub_data_rate_limit``), of all that a kernel shows.
RATE, BURST = 1 << 18, 1 << 20

#: With less left it isn't worth a message.
WORTHWHILE = 1 << 12

#: What a display takes at least: a page has more to do with it than with text, and jupyter_server drops what goes
#: beyond a thousand messages a second (``iopub_msg_rate_limit``).
DISPLAY = 1 << 11


@dataclass(frozen=True, slots=True)
class Allowance:
    """Bytes that may be shown at a moment, a token bucket."""

    left: float = BURST
    at: float = 0.0


def refilled(allowance: Allowance, now: float) -> Allowance:
    """Return what may be shown by now."""
    return Allowance(min(BURST, allowance.left + RATE * max(0.0, now - allowance.at)), now)


def spent(allowance: Allowance, size_bytes: int) -> Allowance:
    """Return what may still be shown."""
    return replace(allowance, left=allowance.left - size_bytes)


def enough_at(allowance: Allowance, size_bytes: int) -> float:
    """Return when so much may be shown, or as much of it as is worthwhile."""
    return allowance.at + max(0.0, min(size_bytes, WORTHWHILE) - allowance.left) / RATE


def cost(size_bytes: int) -> int:
    """Return what is spent for a display, which the server counts as a message but not by its bytes."""
    return DISPLAY + size_bytes // 16
