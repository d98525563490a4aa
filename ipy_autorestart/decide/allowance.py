"""How much output may be shown: so that a notebook's server, which drops what is too much, is never tempted to."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Bytes each second, and at once after a quiet time. jupyter_server drops what goes beyond a million bytes a second, as
#: a mean of three seconds (``ZMQChannelsWebsocketConnection.iopub_data_rate_limit``), of all that a kernel shows.
RATE, BURST = 1 << 18, 1 << 20

#: With less left it isn't worth a message.
WORTHWHILE = 1 << 12


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
