"""A notebook of marimo's, driven as a page in a browser drives it: which cells run again is marimo's own affair."""

import contextlib
import importlib
import json
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
import uuid

PATIENCE = 60.0  # seconds in which what is waited for must have come
#: Cells run again as soon as a module that they use has been saved; by default they are only marked.
SETTINGS = '[tool.marimo.runtime]\nauto_reload = "autorun"\non_cell_change = "autorun"\n'
HEAD = "import marimo\n\napp = marimo.App()\n"
#: A browser has a token of its own; nobody else is asked for one.
OPTIONS = ("--headless", "--no-token", "--no-skew-protection", "--skip-update-check")


def source(cells):
    """Return a file of marimo's with these cells."""
    return HEAD + "".join(f"\n\n@app.cell\ndef _():\n{textwrap.indent(cell, '    ')}\n    return\n" for cell in cells)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Page:
    """A page with a notebook in a folder, all of whose cells are run as it is opened.

    Attributes
    ----------
    shown
        What each cell has printed since it ran last, in the order of the cells.
    """

    def __init__(self, folder, cells):
        (folder / "pyproject.toml").write_text(SETTINGS)
        (folder / "notebook.py").write_text(source(cells))
        self._at, self._session = f"127.0.0.1:{free_port()}", f"s_{uuid.uuid4().hex[:6]}"
        command = [
            sys.executable,
            "-m",
            "marimo",
            "edit",
            "notebook.py",
            *OPTIONS,
            "--port",
            self._at.rpartition(":")[2],
        ]
        self._places = {}
        self.shown = [""] * len(cells)
        self._process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._stack = contextlib.ExitStack()
        try:
            self._socket = self._stack.enter_context(self._connected())
            self.wait(lambda: self._places)
            self._post("instantiate", {"objectIds": [], "values": [], "autoRun": True})
        except BaseException:
            self.close()
            raise

    def _connected(self):
        # Found here, for it is installed with marimo.
        connect = importlib.import_module("websockets.sync.client").connect
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return connect(f"ws://{self._at}/ws?session_id={self._session}", max_size=None)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _post(self, what, content):
        headers = {"Marimo-Session-Id": self._session, "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://{self._at}/api/kernel/{what}", json.dumps(content).encode(), headers)
        urllib.request.urlopen(request, timeout=PATIENCE).close()

    def wait(self, condition):
        """Take messages until a condition holds; return when it did, in seconds since 1970."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {PATIENCE} s; marimo's cells show {self.shown}")
            with contextlib.suppress(TimeoutError):
                self._take(json.loads(self._socket.recv(timeout=1)))
        return time.time()

    def _take(self, message):
        data = message.get("data", {})
        match message["op"]:
            case "kernel-ready":
                self._places = {name: place for place, name in enumerate(data["cell_ids"])}
            case "cell-op" if data["cell_id"] in self._places:
                place, console = self._places[data["cell_id"]], data.get("console")
                if console == [] or data.get("status") == "queued":
                    self.shown[place] = ""
                for one in console if isinstance(console, list) else [console] if console else []:
                    if one["channel"] == "stdout":
                        self.shown[place] += one["data"]

    def look_on(self, seconds):
        """Take messages for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                self._take(json.loads(self._socket.recv(timeout=left)))

    @property
    def pid(self):
        """The server's process id; the kernel is its child."""
        return self._process.pid

    def close(self):
        """End the server with all that it has started."""
        self._stack.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
