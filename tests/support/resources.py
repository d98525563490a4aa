"""What a process holds of what must not grow from restart to restart."""

import contextlib
import os

import psutil
from waiting import eventually


def held(process):
    """Count what a process holds, by kind."""
    folder = f"/proc/{process.pid}"
    links, watches = [], 0
    for number in os.listdir(f"{folder}/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"{folder}/fd/{number}"))
            with open(f"{folder}/fdinfo/{number}") as lines:
                watches += sum(text.startswith("inotify ") for text in lines)
    return {
        "files": len(links),
        "inotify": sum("inotify" in link for link in links),
        "watches": watches,
        "memfds": sum("memfd" in link for link in links),
        "threads": process.num_threads(),
        "children": len(process.children(recursive=True)),
    }


class Plateau:
    """What some processes held when a fifth of the restarts was over, which is what they may hold at the end.

    Parameters
    ----------
    processes
        Returns them by their names.
    besides
        Whatever of it may become more.
    """

    def __init__(self, processes, *, besides=()):
        self._processes, self._besides = processes, besides
        looks = [self._held()]  # what is replaced during one is missed by that
        eventually(lambda: looks.append(self._held()) or looks[-1] == looks[-2], what=looks)
        self.held, self.memory = looks[-1], self._memory()

    def _held(self):
        found = {}
        for name, process in self._processes().items():
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
                found |= {f"{name}'s {kind}": count for kind, count in held(process).items()}
        return {kind: count for kind, count in found.items() if kind not in self._besides}

    def _memory(self):
        found = {}
        for name, process in self._processes().items():
            with contextlib.suppress(psutil.NoSuchProcess):
                found[name] = process.memory_info().rss
        return found

    def more(self):
        """Return what is more than it was; what has just been done may take a moment to go."""
        now = self._held()
        return {kind: (count, now.get(kind)) for kind, count in self.held.items() if now.get(kind, 1e9) > count}

    def growth(self):
        """Return how much memory each process has grown, as a factor."""
        now = self._memory()
        return {name: round(now[name] / size, 3) for name, size in self.memory.items()}
