"""A Jupyter server and a headless browser that looks at it."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from waiting import eventually

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NO_BROWSER = f"none of {', '.join(BROWSERS)} is installed; apt-get install chromium"

#: Nothing that looks for servers elsewhere.
CHROMIUM = ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]

#: What would ask a question or look for news.
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
}

#: At each look at a page, JupyterLab would ask a program of its own, Yarn, what extensions may have to be built with.
PAGE = {"buildAvailable": False, "buildCheck": False}


def find_browser():
    """Return the path of an installed Chromium, None if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


#: What the page takes its kernel indicator from.
IDLE = "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"


class Server:
    """JupyterLab and Notebook on a folder."""

    def __init__(self, folder):
        self.folder = folder
        own = folder.parent / f"{folder.name}-jupyter"
        for name, settings in SETTINGS.items():
            file = own / f"settings/@jupyterlab/{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps(settings))
        (own / "config/labconfig").mkdir(parents=True)
        (own / "config/labconfig/page_config.json").write_text(json.dumps(PAGE))
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"} | {
            "JUPYTER_RUNTIME_DIR": str(own / "runtime"),
            "JUPYTER_CONFIG_DIR": str(own / "config"),
            "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
            "IPYTHONDIR": str(own / "ipython"),
        }
        options = ["--no-browser", "--allow-root", "--expose-app-in-browser", "--ServerApp.token=t"]
        options += ["--JupyterNotebookApp.expose_app_in_browser=True"]
        options += ["--ServerApp.port=0", f"--ServerApp.root_dir={folder}", "--ServerApp.log_level=ERROR"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", *options],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._runtime = own / "runtime"
        eventually(lambda: list(self._runtime.glob("jpserver-*.json")), timeout=60)
        eventually(lambda: self._asks_well("api/status"), timeout=60)

    @property
    def url(self):
        (file,) = self._runtime.glob("jpserver-*.json")
        return json.loads(file.read_text())["url"]

    def ask(self, path, method="GET"):
        request = urllib.request.Request(self.url + path, method=method, headers={"Authorization": "token t"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def _asks_well(self, path):
        with contextlib.suppress(OSError, ValueError):
            return self.ask(path) is not None
        return False

    def pid(self, path):
        """Return the process id of the kernel of a notebook that the server knows: of the child of its own."""
        (kernel,) = [one["kernel"]["id"] for one in self.ask("api/sessions") if one["path"] == path]
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                parent = int((process.parent / "stat").read_text().rpartition(")")[2].split()[1])
                if f"kernel-{kernel}.json".encode() in process.read_bytes() and parent == self.process.pid:
                    return int(process.parent.name)
        return None

    def end_kernels(self):
        for session in self.ask("api/sessions"):
            self.ask(f"api/sessions/{session['id']}", "DELETE")

    def close(self):
        self.end_kernels()
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:  # its kernels have ended: a server that hangs on its own way out
            self.process.kill()
            self.process.wait()


class Page:
    """A notebook in a page of the browser."""

    def __init__(self, page, url):
        self.page = page
        page.goto(url)
        self.settle()

    def settle(self):
        """Wait until the notebook is there and its kernel answers."""
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
        self.page.wait_for_function("window.jupyterapp !== undefined", timeout=60_000)
        self.until_idle()

    def until_idle(self):
        self.page.wait_for_function(IDLE, timeout=60_000)

    def execute(self, command):
        """Execute a command of the application."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name); }", command)

    def run_all(self):
        self.execute("notebook:run-all-cells")

    def save_document(self, file, words):
        """Save the notebook and wait until the file holds some words."""
        self.execute("docmanager:save")
        eventually(lambda: words in file.read_text())

    def cell(self, place):
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(place)

    def text(self, place):
        return self.cell(place).locator(".jp-Cell-outputArea").inner_text()

    def prompts(self):
        return [re.sub(r"\s", "", one) for one in self.page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()]

    def wait(self, place, words, timeout=30.0):
        """Wait until a cell shows some words."""
        eventually(
            lambda: re.search(words, self.text(place)),
            timeout=timeout,
            what=lambda: f"cell {place} to show {words}; it shows {self.text(place)!r}",
        )

    @property
    def dialogs(self):
        return self.page.locator(".jp-Dialog").all_inner_texts()


@contextlib.contextmanager
def opened_browser():
    """Open the installed browser for a program; ends it with one line where there is none."""
    from playwright.sync_api import sync_playwright

    path = find_browser()
    if path is None:
        sys.exit(NO_BROWSER)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=CHROMIUM, chromium_sandbox=False)
        yield browser
        browser.close()


@contextlib.contextmanager
def served_project(prepare):
    """Serve a project in a folder of its own, which ``prepare`` fills; yields the folder and the server."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root, "project")
        folder.mkdir()
        prepare(folder)
        server = Server(folder)
        try:
            yield folder, server
        finally:
            server.close()
