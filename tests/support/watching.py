"""A supervised script and its processes, and how the tests ask for its next run."""

import os

from processes import is_parked, runners, supervisors
from screens import Screen
from waiting import eventually

from ipy_autorestart import Script, Supervisor


class Watched:
    """A supervised script, with the words to ask for its next run."""

    def __init__(self, project, options, paths=()):
        self.project = project
        self.screen = Screen()
        self.supervisor = Supervisor(Script("main.py"), paths, screen=self.screen, options=options)
        self.supervisor.start()

    @property
    def processes(self):
        """The supervisor, and what serves, runs or waits."""
        (supervisor,) = supervisors(os.getpid())
        return [supervisor, *runners(supervisor)]

    @property
    def fork_server(self):
        """The one that serves: not the run, nor what is parked, which the supervisor has adopted."""
        return self.processes[1]

    def is_ready(self):
        status = self.screen.status
        return status and "imported ahead" in status.preloads and "being made" not in status.preloads

    def until_ready(self):
        eventually(self.is_ready, what="a fork server")
        eventually(lambda: any(map(is_parked, self.processes)), what="a parked run")

    def next(self, code=None):
        """Save and return what the next run printed."""
        runs = self.screen.status.runs
        if code is None:
            self.supervisor.restart()
        else:
            self.project.script(code)
        eventually(lambda: (now := self.screen.status).runs > runs and now.exit_status is not None)
        return self.screen.text


def package(project, name, text):
    """Install a module."""
    (project.parent / "lib/site-packages" / f"{name}.py").write_text(text)
