"""Random state that modules draw at their import: each run has its own, as if it had imported them itself.

As in `sitecustomize`, only builtin and low-level modules may be imported here, and they are removed again.
"""

import os
import sys

_there = set(sys.modules)
import _weakref  # noqa: E402
import gc  # noqa: E402

from _ipy_autorestart_names import names_of  # type: ignore[import-not-found]  # noqa: E402  # it lies beside

for _name in {"_weakref", "gc"} - _there:
    del sys.modules[_name]

if False:  # for type checkers only
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

#: Packages that draw at their import what they don't keep, or what is drawn anew for each run.
HARMLESS = frozenset({"numpy", "scipy", "multiprocessing", "jupyter_client"})

#: Functions that draw names which must differ within a process alone: FastAPI has some by these at its import.
NAMING = frozenset({("opentelemetry.context", "create_key")})

urandom = os.urandom


class Urandom:
    """Stands in for ``os.urandom``; no function, which a class that keeps it would take for a method."""

    def __init__(self, hear: "Callable[[FrameType | None, bytes], None]") -> None:
        self._hear = hear

    def __call__(self, size: int, /) -> bytes:
        """Return so many random bytes."""
        drawn = urandom(size)
        self._hear(sys._getframe(1), drawn)  # noqa: SLF001  # public but for its name
        return drawn


class Chance:
    """Hears of what imports draw, from its making to `end`.

    Of generators that were not seeded on purpose, Python's and NumPy's, it remembers which they are, to seed them in
    each run. Nobody knows what has become of all else, which is a `fault`.
    """

    def __init__(self) -> None:
        self._drawn: list[int] = []
        self._numpy: list[Any] = []  # its generators' sources of bits
        self._generators: dict[int, tuple[Any, bool]] = {}  # by their ids: themselves, weakly, and whether they drew
        self._attends = False
        self._random: Any = None
        self._seed: Any = None
        self._stand_in: Any = Urandom(self._hear)
        os.urandom = self._stand_in

    def attend(self) -> None:
        """Hear of generators; to be called when `random` is about to be imported."""
        if self._attends:  # that import says so, too
            return
        self._attends = True
        self._random = random = __import__("random")  # its own generator is seeded anew at each fork, by itself
        self._seed = original = random.Random.seed
        generators = self._generators

        def seed(generator: "Any", a: "Any" = None, version: int = 2) -> None:  # noqa: ANN401
            generators[id(generator)] = _weakref.ref(generator), a is None
            original(generator, a, version)

        random.Random.seed = seed

    def _hear(self, frame: "FrameType | None", drawn: bytes) -> None:
        while frame is not None and frame.f_code.co_name != "<module>":
            if (frame.f_globals.get("__name__"), frame.f_code.co_name) in NAMING:
                return
            frame = frame.f_back
        if frame is None or frame.f_globals.get("__name__", "").partition(".")[0] not in HARMLESS:
            self._drawn.append(int.from_bytes(drawn, "big"))  # as `random.SystemRandom` does for NumPy

    def fault(self) -> str:
        """Return what was drawn that can't be drawn anew; empty if nothing was."""
        if not self._drawn:
            return ""
        kind: Any = getattr(sys.modules.get("numpy.random.bit_generator"), "BitGenerator", ())
        for one in gc.get_objects():
            entropy = one.seed_seq.entropy if issubclass(type(one), kind) else None
            if isinstance(entropy, int) and entropy in self._drawn:
                self._drawn.remove(entropy)
                self._numpy.append(one)
        return "it draws random numbers" if self._drawn else ""

    def end(self) -> None:
        """Put back what was replaced, wherever modules have it from there."""
        os.urandom = urandom
        if self._random is not None:
            self._random.Random.seed = self._seed
        for module in list(sys.modules.values()):
            names = names_of(module)
            for name in [name for name, value in list(names.items()) if value is self._stand_in]:
                names[name] = urandom

    def renew(self, get: "Callable[[str], Any]") -> None:
        """Draw anew, in a run, in which ``get`` returns modules that are there or were imported ahead."""
        for reference, drew in self._generators.values():
            generator = reference()
            if drew and generator is not None:
                self._seed(generator)
        for one in self._numpy:
            new = type(one)()
            try:
                one.__setstate__((new.state, new.seed_seq))
            except TypeError:  # before NumPy 1.25, which keeps the sequence
                one.state = new.state
        numpy: Any = get("numpy.random.mtrand") or get("numpy.random")
        if hasattr(numpy, "seed"):
            numpy.seed()
        torch: Any = get("torch")
        if hasattr(torch, "default_generator"):
            torch.default_generator.seed()
        process: Any = get("multiprocessing.process")
        if hasattr(process, "AuthenticationString"):
            process.current_process().authkey = urandom(32)
