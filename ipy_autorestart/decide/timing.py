"""When to act."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When to act; all in seconds.

    Attributes
    ----------
    leading
        Act on the first finished change of a quiet time at once and let later ones supersede the start (a script's
        start is cheap), or wait until the burst is over (a kernel's is not).
    quiet
        Quiet that ends a burst of one or two paths. Editors write a file in one go and formatters follow within 20 ms.
    quiet_many
        Quiet that ends a larger burst, and the time after a change in which the next belongs to the same burst. The
        largest gap inside a ``git checkout`` or a formatter's round was 18 ms on an idle machine, more on a loaded one.
    max_wait
        A burst is served after this long even if it goes on.
    writing
        A file that was modified and is not closed yet is waited for this long.
    scan
        Until the first slow scan for what no hint announced; each look says when the next is due.
    stop_timeout
        From the stop signal to SIGKILL; None where the target stops by itself.
    restart_on_exit
        Start again, after a pause, what ended by itself.
    """

    leading: bool = True
    quiet: float = 0.05
    quiet_many: float = 0.15
    max_wait: float = 2.0
    writing: float = 1.0
    scan: float = 1.0
    stop_timeout: float | None = 5.0
    restart_on_exit: bool = False


def polled(timing: Timing, poll: float) -> Timing:
    """Return the timing where only scans, ``poll`` seconds apart, find changes.

    A burst ends later than the next scan, which may find more of it, or it would depend on the moment of a scan whether
    it is one. Where scans are far apart, the look that ends a burst finds the rest of it.
    """
    quiet, many = max(timing.quiet, min(1.5 * poll, 0.2)), max(timing.quiet_many, min(2.5 * poll, 0.5))
    return replace(timing, scan=poll, quiet=quiet, quiet_many=many)
