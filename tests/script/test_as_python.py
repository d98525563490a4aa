"""Small scripts that tell what they find, and whether a forked run finds what `python main.py` does.

Each is run plain, cold, and warm: forked from one fork server that has imported far more than the script asks for.
"""

import contextlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from starting import Finished, adopted, finish, forking, program, told

from ipy_autorestart.script.run import start_cold

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("as python"),
    pytest.mark.skipif(sys.platform != "linux", reason="fork servers are made on Linux only"),
]

#: Imported ahead; those that this Python hasn't are left out. The first one is imported by its own package, too.
AHEAD = """
json.decoder
argparse ast asyncio atexit base64 bisect cmd code collections.abc concurrent.futures concurrent.futures.process
configparser contextvars csv ctypes ctypes.util dataclasses datetime decimal difflib dis doctest email.message
email.mime.text enum faulthandler fractions functools gc getpass gettext glob gzip hashlib heapq html.parser
http.client http.server imp importlib.metadata importlib.resources importlib.util inspect io ipaddress itertools json
linecache locale logging logging.config logging.handlers lzma mimetypes multiprocessing multiprocessing.connection
multiprocessing.pool multiprocessing.shared_memory numbers opcode operator optparse pathlib pdb pickle pkgutil
platform pprint profile queue random re readline resource sched secrets select selectors shelve shlex shutil signal
site smtplib socket socketserver sqlite3 ssl statistics string struct subprocess symtable sysconfig tarfile tempfile
termios textwrap threading time timeit tokenize traceback tracemalloc types typing unittest unittest.mock
urllib.request uuid warnings weakref xml.dom.minidom xml.etree.ElementTree xml.sax zipfile zoneinfo
""".split()  # noqa: SIM905  # shorter so

#: Imported ahead as well for scripts that import one of them: each fork of so much takes long to end.
LIBRARIES = ["matplotlib", "numpy"]


def facts(text):
    """Return the scripts of a text by their names, which stand before each."""
    sections = text.split("#### ")[1:]
    return {name: code for name, _, code in (section.partition("\n") for section in sections)}


FACTS = facts(Path(__file__).with_name("facts.txt").read_text())


def files(names):
    """Return where these modules are imported from, as runs report it; but for those that aren't installed."""
    found = []
    for name in names:
        top = name.partition(".")[0]
        spec = importlib.util.find_spec(name) if importlib.util.find_spec(top) else None
        if spec and spec.has_location:
            found.append(spec.cached if spec.cached and os.path.exists(spec.cached) else spec.origin)
    return found


class Runner:
    """Runs one script after the other, each as what is called main.py in one folder."""

    def __init__(self, what, start_warm):
        self.what = what
        self.start_warm = start_warm

    def plain(self):
        done = subprocess.run(
            [self.what.python, *self.what.argv],
            env=self.what.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
            cwd=self.what.cwd,
        )
        return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())

    def warm(self):
        """Return what a forked run was, or a cold one if that asked for it, as a supervisor does it."""
        run = self.start_warm()
        done = finish(run)
        return finish(start_cold(self.what)) if run.reports.wants_cold else done


@pytest.fixture(scope="module")
def runners(tmp_path_factory):
    """One that has imported no libraries ahead, and one that has."""
    folder = tmp_path_factory.mktemp("as-python")
    with pytest.MonkeyPatch.context() as patch, adopted(), contextlib.ExitStack() as stack:
        patch.chdir(folder)
        for name in ("PYTEST_CURRENT_TEST", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START", "PYTHONPATH"):
            patch.delenv(name, raising=False)
        what = program("main.py", roots=[f"{folder}/"])
        yield [Runner(what, stack.enter_context(forking(what, files(ahead)))) for ahead in (AHEAD, AHEAD + LIBRARIES)]


@pytest.mark.parametrize("name", FACTS)
def test_a_script_finds_what_it_finds_in_python(name, runners):
    code = FACTS[name]
    runner = runners[any(library in code for library in LIBRARIES)]
    Path(runner.what.cwd, "main.py").write_text(code)
    expected = runner.plain()
    assert told(finish(start_cold(runner.what))) == told(expected)
    assert told(runner.warm()) == told(expected)
