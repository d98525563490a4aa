"""Clusters of processes started by hand, which see nothing of the projects, and other users of them."""

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from waiting import eventually

BIN = Path(sys.executable).parent

#: Run by a colleague: each line is code, the last expression of which is answered.
LOOP = '''
import ast, json, sys
space = {}
exec("""
import os, time
def until_there(path):
    while not os.path.exists(path):
        time.sleep(0.02)
    return "done"
""", space)
for line in sys.stdin:
    tree = ast.parse(json.loads(line))
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
    try:
        exec(compile(tree, "colleague", "exec"), space)
        answer = repr(eval(compile(last, "colleague", "eval"), space)) if last else ""
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    print(json.dumps(answer), flush=True)
'''


@functools.cache
def can_hide():
    """Whether a process may have a view of the files of its own, in which a folder is empty."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", folder]
        with contextlib.suppress(FileNotFoundError):
            return subprocess.run(command, capture_output=True).returncode == 0
    return False


@functools.cache
def can_part():
    """Whether a process may have a network of its own, with a cable to another one."""
    command = ["unshare", "-rmn", "ip", "link", "add", "here", "type", "veth", "peer", "name", "there"]
    with contextlib.suppress(FileNotFoundError):
        return subprocess.run(command, capture_output=True).returncode == 0
    return False


class DaskProcesses:
    """A scheduler and its workers in a folder of their own, for which another folder is empty.

    A process that is started later sees the same.
    """

    def __init__(self, folder, *, hides="", workers=2, host="127.0.0.1"):
        self.folder, self.hides, self._host = folder, hides, host
        (folder / "tmp").mkdir()
        self.file = folder / "scheduler.json"
        self._started = []
        self.begin()
        if workers:
            self.work("--nworkers", workers)
            self.until_joined(workers)

    def begin(self):
        """Start a scheduler, which may take the place of one that has ended."""
        self.file.unlink(missing_ok=True)
        self.scheduler = self.start("scheduler", "--host", self._host, "--port", "0", "--scheduler-file", self.file)
        eventually(self._has_begun)

    def _has_begun(self):
        with contextlib.suppress(FileNotFoundError, ValueError):
            return json.loads(self.file.read_text())["address"]

    def has_joined(self, count, *, name=""):
        """Whether so many workers, or of this name, have joined since the beginning."""
        words = f"Register worker .* name: {name}\\b" if name else "Registered to:"
        return len(re.findall(words, (self.folder / "log").read_text())) >= count

    def until_joined(self, count, **which):
        """Wait until they have."""
        eventually(lambda: self.has_joined(count, **which))

    @property
    def address(self):
        return json.loads(self.file.read_text())["address"]

    def start(self, what, *words, before=(), apart="-rm"):
        """Start one of Dask's programs, after some others; with a view of its own of what unshare(1) is told."""
        command = f"exec {sys.executable} -m distributed.cli.dask_{what} {' '.join(map(str, words))} --no-dashboard"
        before = [*before, *([f"mount -t tmpfs none {self.hides}"] if self.hides else [])]
        shell = ["unshare", apart, "sh", "-c"] if before else ["sh", "-c"]
        with open(self.folder / "log", "a") as log:
            process = subprocess.Popen(
                [*shell, " && ".join([*before, command])],
                cwd=self.folder,
                env={**os.environ, "TMPDIR": str(self.folder / "tmp")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def work(self, *words, host="", **how):
        """Start workers, with two threads each, in one process of nannies."""
        words = ("--scheduler-file", self.file, "--host", host or self._host, "--nthreads", "2", *words)
        return self.start("worker", *words, **how)

    def end(self, process):
        """End what was started, with all that it has started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        process.wait()

    def close(self):
        for process in reversed(self._started):
            self.end(process)


class Colleague:
    """Somebody else who uses the cluster, in a process of their own."""

    def __init__(self, cluster):
        self._process = subprocess.Popen(
            [sys.executable, "-c", LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        lines, answers = self._process.stdin, self._process.stdout
        assert lines is not None
        assert answers is not None
        self._lines, self._answers = lines, answers
        self.ask(f"from distributed import Client; client = Client(scheduler_file={str(cluster.file)!r})")

    def ask(self, code):
        """Run code there, and return the representation of its last expression."""
        self._lines.write(json.dumps(code) + "\n")
        self._lines.flush()
        return json.loads(self._answers.readline())

    def close(self):
        self._process.kill()
        self._process.wait()
        self._lines.close()
        self._answers.close()


#: Run by whoever pushes: each line says what is pushed at once, and what became of each push is answered. In a process
#: of its own, as the imports of Dask would change a test's for the tests of what is imported.
PUSHES = """
import asyncio, contextlib, json, sys
from ipy_autorestart.cluster.dask import DaskCluster
from ipy_autorestart.cluster.policy import CantPush
from ipy_autorestart.cluster.tree import read_tree

async def push(stack, root, project, **how):
    try:
        cluster = await DaskCluster.connect(sys.argv[1], project)
        stack.push_async_callback(cluster.close)
        return await cluster.push(read_tree([root]), within=20, **how)
    except CantPush as error:
        return f"refused: {error}"

async def at_once(pushes):
    async with contextlib.AsyncExitStack() as stack:
        return await asyncio.gather(*(push(stack, **one) for one in pushes))

for line in sys.stdin:
    print(json.dumps(asyncio.run(at_once(json.loads(line)))), flush=True)
"""


class Pushing:
    """A process that pushes folders to a cluster, each time over another connection."""

    def __init__(self, cluster, src=""):
        self._src = src
        words = [sys.executable, "-c", PUSHES, cluster.file]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def push(self, **how):
        self.begin(**how)
        return self.end()

    def begin(self, **how):
        self._ask([{"root": str(self._src), "project": "p", **how}])

    def end(self):
        (said,) = self._answer()
        return said

    def at_once(self, **roots):
        """Push these folders, by the names of their projects; return what became of each."""
        self._ask([{"root": str(root), "project": name} for name, root in roots.items()])
        return dict(zip(roots, self._answer(), strict=True))

    def _ask(self, pushes):
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(pushes) + "\n")
        self._process.stdin.flush()

    def _answer(self):
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.kill()
        self._process.communicate()


class Watched:
    """The command line at work, and all that it has shown."""

    def __init__(self, project, cluster, *words, program=()):
        self.project = project
        watch = [sys.executable, "-m", "ipy_autorestart", "src/", "main.py", "--cluster", cluster.file, *words, "--"]
        self._process = subprocess.Popen(
            [*(program or [*watch, cluster.file])],
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        shown = self._process.stdout
        assert shown is not None
        os.set_blocking(shown.fileno(), False)
        self._shown, self._text = shown, ""

    @property
    def text(self):
        self._text += (self._shown.read() or b"").decode()
        return self._text

    def until(self, pattern, count=1):
        """Wait until something has been shown so many times; return what its group says at last."""
        found = eventually(
            lambda: (all_ := re.findall(pattern, self.text))[count - 1 :] and all_,
            what=lambda: f"{pattern}\n{self.text}",
        )
        return found[-1]

    def hang_up(self):
        """Restart by hand."""
        self._process.send_signal(signal.SIGHUP)

    def close(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        self._shown.close()
