"""What a process holds of what must not grow from restart to restart."""

import contextlib
import os

import psutil


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
    """

    def __init__(self, processes):
        self._processes = processes
        self.held, self.memory = self._held(), self._memory()

    def _held(self):
        found = {}
        for name, process in self._processes().items():
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
                found |= {f"{name}'s {kind}": count for kind, count in held(process).items()}
        return found

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
