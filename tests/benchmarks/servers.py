"""How long a server is away when its code is saved: this project's command line beside others' and the servers' own.

    python tests/benchmarks/servers.py [--rounds 5] [--kinds ASGI,Uvloop,HTTP,Waitress,Flask,Django]
        [--import bare,pandas] [--nodemon PATH]

Rounds, order and clock are those of ``terminal.py``. A small app is served by uvicorn, with asyncio's loop and with
uvloop's, by http.server, by waitress, by ``flask run`` or by Django's ``runserver``, and is asked all the time: a new
connection for each request, one after the other, 2 ms between them. It is away from its last good response of the old
code to the first of the new one. A request has failed that is refused, or cut off: reset, without answer, or not
answered in 5 s; as the refused ones come back at once, their number is about that of the pauses that the app is away
for. The longest wait is that of a request which was answered. "Keeps its socket" is an app that restarts itself by
``restart_on_change(keep=[socket])``. Flask and Django stand beside the restarts that they have themselves, uvicorn
beside everything. Flask runs as where there is no watchdog: with watchdog 7 it restarts for nothing, since its patterns
(``*.py``, Werkzeug 3.1) match no path with a folder there.

nodemon goes by the end of the shell that it starts commands in: it starts the new app while the old one still ends,
so its row is no like for like. With ``exec`` before the command it waits for the old one's end.
"""

import contextlib
import importlib.util
import random
import socket
import sys
import time
from collections.abc import Mapping
from types import MappingProxyType

import peers
import projects
import report

ASGI_APP = """{imports}
from src import mod
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"value %d." % mod.V}})
"""
KEEPING = """import socket
import uvicorn
from ipy_autorestart import kept_sockets, restart_on_change
[server] = kept_sockets() or [socket.create_server(("127.0.0.1", {port}))]
restart_on_change("src", keep=[server], enabled=True)
uvicorn.Server(uvicorn.Config("app:app", log_level="error")).run(sockets=[server])
"""
HTTP_APP = """{imports}
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from src import mod
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"value %d." % mod.V)
    def log_message(self, *_): pass
ThreadingHTTPServer(("127.0.0.1", {port}), Handler).serve_forever()
"""
WSGI_APP = """{imports}
from src import mod
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"value %d." % mod.V]
"""
FLASK_APP = """{imports}
from flask import Flask
from src import mod
app = Flask(__name__)
@app.get("/")
def index():
    return f"value {{mod.V}}."
"""
FLASK_ITSELF = "import sys; sys.modules['watchdog.observers'] = None; from flask.cli import main; main()"
MANAGE = """import os, sys
from django.core.management import execute_from_command_line
if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    execute_from_command_line(sys.argv)
"""
SETTINGS = 'SECRET_KEY, DEBUG, ROOT_URLCONF, INSTALLED_APPS, USE_TZ = "of a benchmark", True, "urls", [], True\n'
URLS = """{imports}
from django.http import HttpResponse
from django.urls import path
from src import mod
urlpatterns = [path("", lambda request: HttpResponse(f"value {{mod.V}}."))]
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
PAUSE, CONNECT, ANSWER = 0.002, 0.25, 5.0
KEEPS = "restarts itself, keeps its socket"
OVERLAP, PASSED = "ipy-autorestart --overlap", "ipy-autorestart --socket"


class Server(projects.Project):
    """An app that is asked all the time."""

    columns = ("first new response", "away", "longest wait", "failed requests", "of them cut off")
    ratio = "away"
    files: Mapping[str, str]  # what is in the folder besides

    def __init__(self, root, name, library="bare"):
        super().__init__(root, name)
        self.port = str(free_port())
        imports = projects.IMPORTS.get(library, f"import {library}")
        for file, text in self.files.items():
            (self.folder / file).write_text(text.format(imports=imports, port=self.port))
        self.write_commands()

    def write_commands(self):
        """Set the words of which the commands are made."""
        raise NotImplementedError

    def ask(self):
        try:
            with socket.create_connection(("127.0.0.1", int(self.port)), timeout=CONNECT) as client:
                client.settimeout(ANSWER)
                client.sendall(REQUEST)
                answer = b"".join(iter(lambda: client.recv(4096), b""))
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "cut off"
        value, end, _ = answer.partition(b"value ")[2].partition(b".")
        return int(value) if end else "cut off"

    def answers(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begun = time.monotonic_ns()
            answer = self.ask()
            now = time.monotonic_ns()
            yield answer, now, now - begun
            time.sleep(PAUSE)

    def wait(self):
        return any(answer == self.value for answer, *_ in self.answers(projects.RESTART))

    def restart(self):
        """Save while it is asked, and return the figure of each column, None if nothing comes of it."""
        good = [moment for answer, moment, _ in self.answers(0.7 + 0.3 * random.random()) if answer == self.value]
        begun, failed, longest = self.save(), [], 0
        for answer, moment, took in self.answers(projects.RESTART):
            if isinstance(answer, str):
                failed.append(answer)
            else:
                good.append(moment)
                longest = max(longest, took)
            if answer == self.value:
                break
        else:
            return None
        failed += [answer for answer, *_ in self.answers(0.3) if isinstance(answer, str)]
        away = good[-1] - (good[-2] if good[1:] else begun)
        return [(good[-1] - begun) / 1e6, away / 1e6, longest / 1e6, len(failed), failed.count("cut off")]


class ASGI(Server):
    """An app under uvicorn, beside everything that restarts it."""

    title = "ASGI app under uvicorn"
    needs, tools = "uvicorn", ("uvicorn", "watchfiles", "watchmedo", "nodemon", "entr", "hupper")
    others = ("watchfiles", "watchmedo", "nodemon", "nodemon, exec", "entr", "hupper", "uvicorn --reload")
    rows: tuple[str, ...] = (peers.OURS, peers.COLD, OVERLAP, KEEPS, *others)
    loop = "asyncio"
    files = MappingProxyType({"app.py": ASGI_APP, "serve.py": KEEPING})

    def write_commands(self):
        self.options = ["--port", self.port, "--log-level", "error", "--loop", self.loop]
        self.argv = ["uvicorn", "app:app", *self.options]
        self.run, self.ours = ["-m", *self.argv], ["-m", "uvicorn", "app:app", "--", *self.options]

    @staticmethod
    def commands(project, paths):
        reload = ["--reload", "--reload-dir", "src", "--reload-delay", "0.01"]
        own = {"uvicorn --reload": [paths["uvicorn"], *project.argv[1:], *reload]}
        ours = [sys.executable, "-m", "ipy_autorestart", "src/"]
        more = {OVERLAP: [*ours, "--overlap", *project.ours], KEEPS: [sys.executable, "serve.py"]}
        return peers.restarters(project, paths) | more | own


class Uvloop(ASGI):
    """The same with uvloop, whose port is passed to it."""

    title, needs, loop = "ASGI app under uvicorn with uvloop", "uvloop", "uvloop"
    rows = (PASSED, peers.OURS, "nodemon", "uvicorn --reload")

    @staticmethod
    def commands(project, paths):
        passed = [sys.executable, "-m", "ipy_autorestart", "src/", "--socket", project.port]
        run = ["-m", "uvicorn", "app:app", "--", "--fd", "3", "--log-level", "error", "--loop", "uvloop"]
        return ASGI.commands(project, paths) | {PASSED: [*passed, *run]}


class HTTP(Server):
    """http.server, beside everything that restarts it."""

    title = needs = "http.server"
    tools: tuple[str, ...] = ("watchfiles", "watchmedo", "nodemon", "entr", "hupper")
    others = ("watchfiles", "watchmedo", "nodemon", "nodemon, exec", "entr", "hupper")
    rows: tuple[str, ...] = (peers.OURS, peers.COLD, OVERLAP, *others)
    files = MappingProxyType({"serve.py": HTTP_APP})

    def write_commands(self):
        self.argv = ["serve"]
        self.run, self.ours = ["-m", "serve"], ["serve.py"]

    @staticmethod
    def commands(project, paths):
        overlap = [sys.executable, "-m", "ipy_autorestart", "src/", "--overlap", *project.ours]
        return peers.restarters(project, paths) | {OVERLAP: overlap}


class Waitress(HTTP):
    """A WSGI app under waitress, which has no reloader."""

    title, needs = "WSGI app under waitress", "waitress"
    tools = ("waitress-serve", "watchfiles", "watchmedo", "nodemon", "entr", "hupper")
    files = MappingProxyType({"app.py": WSGI_APP})

    def write_commands(self):
        words = [f"--listen=127.0.0.1:{self.port}", "app:app"]
        self.argv = ["waitress", *words]
        self.run, self.ours = ["-m", *self.argv], ["-m", "waitress", "--", *words]


class Flask(Server):
    """An app under Flask's own server, beside Flask's own reloader."""

    title = "app under flask run"
    needs, tools = "flask", ("flask", "nodemon")
    rows = (peers.OURS, peers.COLD, "nodemon", "nodemon, exec", "flask run --debug")
    files = MappingProxyType({"app.py": FLASK_APP})

    def write_commands(self):
        self.options = ["--app", "app", "run", "--port", self.port]
        words = [*self.options, "--no-reload"]
        self.argv = ["flask", *words]
        self.run, self.ours = ["-m", *self.argv], ["-m", "flask", "--", *words]

    @staticmethod
    def commands(project, paths):
        own = [sys.executable, "-c", FLASK_ITSELF, *project.options, "--debug"]
        return peers.restarters(project, paths) | {"flask run --debug": own}


class Django(Server):
    """An app under Django's own server, beside Django's own reloader."""

    title = "app under manage.py runserver"
    needs, tools = "django", ("django-admin", "nodemon")
    rows = (peers.OURS, peers.COLD, "nodemon", "nodemon, exec", "manage.py runserver")
    files = MappingProxyType({"manage.py": MANAGE, "settings.py": SETTINGS, "urls.py": URLS})

    def write_commands(self):
        self.options = ["runserver", self.port]
        words = [*self.options, "--noreload"]
        self.argv = ["manage", *words]
        self.run, self.ours = ["manage.py", *words], ["manage.py", "--", *words]

    @staticmethod
    def commands(project, paths):
        own = [sys.executable, "manage.py", *project.options]
        return peers.restarters(project, paths) | {"manage.py runserver": own}


def free_port():
    """Return one below those that clients get: there one that asks a closed port might be connected to itself."""
    while True:
        port = random.randrange(20_000, 30_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def main():
    kinds = {kind.__name__: kind for kind in (ASGI, Uvloop, HTTP, Waitress, Flask, Django)}
    parser = report.options(__doc__, rounds=5)
    parser.add_argument("--kinds", default=",".join(kinds))
    parser.add_argument("--import", dest="libraries", default="bare")
    parser.add_argument("--nodemon", default="")
    options = parser.parse_args()
    peers.heed_signals()
    paths = peers.find(options.nodemon)
    for kind in (kinds[name] for name in options.kinds.split(",")):
        if importlib.util.find_spec(kind.needs):
            for library in options.libraries.split(","):
                peers.show(kind, library, options.rounds, peers.measure(kind, library, options.rounds, paths))
        peers.measured_with(paths, kind.tools, options.rounds)


if __name__ == "__main__":
    main()
