"""A script that is watched in a folder of its own."""

import os

import pytest
from waiting import eventually
from watching import Watched, package

from ipy_autorestart import Options


@pytest.fixture
def watch(project, monkeypatch):
    """Start a script with a folder for installed packages of its own."""
    (project.parent / "lib/site-packages").mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(project.parent / "lib/site-packages"), str(project / "src")]))
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"):
        monkeypatch.delenv(name, raising=False)
    started = []

    def start(code, packages=(), paths=(), **options):
        for name, text in dict(packages).items():
            package(project, name, text)
        project.script(code)
        started.append(Watched(project, Options(**options), paths))
        eventually(lambda: started[-1].screen.status and started[-1].screen.status.exit_status is not None)
        return started[-1]

    yield start
    for watched in started:
        watched.supervisor.stop()
