"""How often each act of an editor or a person restarts a script: this project's command line beside others'.

    python tests/benchmarks/counts.py [--rounds 3] [--only "plain write" --only comment]

The acts are those of ``tests/support/acts.py``, which the tests do too, and a saved syntax error, mended or not. For
each act every tool watches a copy of a project of its own, whose script goes on until it is stopped and writes down
each start, and then the values that it has imported. A restart is a start after the first one, of a process that got as
far as the script's first line, whether or not a person saw anything of it. Figures are medians of the rounds; "old
code" stands where, when all was quiet, what had started last did not have the final content in most rounds, and
"crashed" where it had not even come to its imports. Each tool has the options that spare it restarts and cost it none
that are due: Python files only, and no restart for a script that ends by itself.

After "same size and mtime" a plain ``python main.py`` runs the old code too, since Python trusts its compiled form.
"""

import os
import random
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path

import peers
import report

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import acts
from waiting import pass_time

MAIN = """import os, sys, time
log = os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(log, b"start\\n")
sys.path.insert(0, "src")
import a, pkg.m
os.write(log, b"%d %d\\n" % (a.V, pkg.m.V))
time.sleep(600)
"""
TOOLS = ("ipy-autorestart", "watchfiles", "watchmedo")
AT_A_TIME = 16  # acts whose projects run side by side: each tool is one watcher of inotify, of which 128 are allowed
QUIET, PATIENCE = 2.5, 20.0  # scans for what no event told are a second apart; some never come to rest


def mend():
    acts.write("src/a.py", "V = (\n")
    pass_time(0.7)
    acts.write("src/a.py")


ONCE = acts.ONCE | {"syntax error, mended after 0.7 s": mend}
NEVER = acts.NEVER | {"syntax error": lambda: acts.write("src/a.py", "V = (\n")}


class Counted:
    """A project whose script writes down its starts."""

    def __init__(self, root, name):
        self.folder, self.log = Path(root, name), Path(root, f"{name}.starts")
        (self.folder / "src/pkg").mkdir(parents=True)
        for file, text in {**acts.FILES, "main.py": MAIN.format(log=str(self.log))}.items():
            (self.folder / file).write_text(text)

    @property
    def starts(self):
        """What each start has come to: the values imported, "" if it has not come to that."""
        return self.log.read_text().split("start\n")[1:] if self.log.exists() else []

    def wanted(self):
        """Return what a start with the present content comes to; "" if it can't."""
        values = []
        for module in ("src/a.py", "src/pkg/m.py"):
            names = {}
            try:
                exec((self.folder / module).read_text(), names)
            except SyntaxError:
                return ""
            values.append(str(names["V"]))
        return f"{' '.join(values)}\n"


def command(tool, paths):
    run = [sys.executable, "main.py"]
    watchmedo = ["-d", "src", "-R", "-p", "**/*.py", "--no-restart-on-command-exit"]
    return {
        "ipy-autorestart": [sys.executable, "-m", "ipy_autorestart", "src/", "main.py"],
        "watchfiles": [paths["watchfiles"], "--filter", "python", shlex.join(run), "src"],
        "watchmedo": [paths["watchmedo"], "auto-restart", *watchmedo, "--", *run],
    }[tool]


def settle(projects, programs):
    """Wait until no script has started, and no process come or gone, for a while."""
    end, before, since, known = time.monotonic() + PATIENCE, None, time.monotonic(), {}
    while time.monotonic() < min(end, since + QUIET):
        now = [len(project.starts) for project in projects], peers.alive(programs, known)
        if now != before or 0 in now[0]:
            before, since = now, time.monotonic()
        time.sleep(0.1)


def count(names, tools, paths):
    """Do some acts to each tool; return {(act, tool): (restarts, what the last start came to)}."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root, peers.ending([]) as programs:
        projects = {
            (name, tool): Counted(root, f"{number}-{tool}") for number, name in enumerate(names) for tool in tools
        }
        for (_, tool), project in projects.items():
            programs.append(peers.Program(tool, command(tool, paths), project))
        settle(projects.values(), programs)
        before = {key: len(project.starts) for key, project in projects.items()}
        for name in names:
            for tool in random.sample(tools, len(tools)):
                os.chdir(projects[name, tool].folder)
                (ONCE | NEVER)[name]()
                pass_time(0.3)
        os.chdir("/")
        settle(projects.values(), programs)
        return {key: outcome(project, before[key]) for key, project in projects.items()}


def outcome(project, before):
    wanted, last = project.wanted(), project.starts[-1]
    # What goes on while the content is broken is what it should be.
    content = "" if last == wanted or (not wanted and last) else "old code" if last else "crashed"
    return len(project.starts) - before, content


def cell(outcomes):
    """Return the median of the restarts, and what the last start came to if not what it should in most rounds."""
    contents = [content for _, content in outcomes]
    content = max(set(contents), key=contents.count)
    return f"{median(outcomes):g}" + (f", {content}" if content else "")


def median(outcomes):
    return statistics.median(restarts for restarts, _ in outcomes)


def main():
    parser = report.options(__doc__, rounds=3)
    parser.add_argument("--only", action="append", choices=[*ONCE, *NEVER], metavar="ACT", help="may be given again")
    options = parser.parse_args()
    peers.heed_signals()
    paths = peers.find()
    tools = [tool for tool in TOOLS if tool == peers.OURS or paths[tool]]
    found = {}
    names = options.only or [*ONCE, *NEVER]
    for number in range(options.rounds):
        shuffled = random.sample(names, len(names))
        for place in range(0, len(names), AT_A_TIME):
            report.progress(f"counts, round {number + 1} of {options.rounds}: {place} of {len(names)} acts")
            for key, seen in count(shuffled[place : place + AT_A_TIME], tools, paths).items():
                found.setdefault(key, []).append(seen)
    show(names, tools, found, options.rounds)
    peers.measured_with(paths, TOOLS[1:], options.rounds)


def show(names, tools, found, rounds):
    for title, group in (("new code has to run once", ONCE), ("nothing has to run anew", NEVER)):
        done = [name for name in group if name in names]
        rows = [(name, *(cell(found[name, tool]) for tool in tools)) for name in done]
        rows.append((f"all {len(done)}", *(f"{sum(median(found[name, tool]) for name in done):g}" for tool in tools)))
        if done:
            report.table(f"restarts where {title}, medians of {rounds} rounds", ("", *tools), rows)


if __name__ == "__main__":
    main()
