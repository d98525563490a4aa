"""Run CPython's own tests as scripts: by the interpreter alone, and as the runs of a script that is watched.

    python tests/conformance/cpython.py [MODULE …]

The tests are those that the interpreter has (`python -m test` would run them). Each module is run in a process of its
own: plain, cold, and warm, with all imported ahead that the cold run has imported. The exit status is the number of
tests that end otherwise than by the interpreter alone.
"""

import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from starting import adopted, finish, forking, program  # it lies there

from ipy_autorestart.script.run import start_cold

#: Seconds that the tests of a module may take.
DEADLINE = 150

#: Of what a process is, has and imports, and of what it is used for most.
MODULES = """
abc argparse ast asyncio.test_events asyncio.test_tasks atexit bisect builtin cmd code codecs collections configparser
contextlib context copy csv dataclasses datetime decimal dict difflib dis email enum faulthandler fork1 fractions
functools gc getpass glob gzip hashlib heapq http_cookies import importlib inspect io ipaddress itertools json linecache
locale logging module multiprocessing_main_handling operator optparse os pathlib pickle pkgutil posix pprint pyclbr
queue random re runpy sched secrets select selectors shelve shlex shutil signal site socketserver sqlite3 statistics
string struct subprocess sys sysconfig tempfile textwrap thread threading threading_local time timeit tokenize trace
traceback tracemalloc types typing unittest urllib urlparse uuid wait3 warnings weakref weakset xml_etree zipfile
zipimport
""".split()  # noqa: SIM905  # shorter so

SCRIPT = """\
import json, os, sys, unittest
from test import support

class Result(unittest.TestResult):
    found = {{}}
    def note(self, test, what, error=None):
        text = str(error[1]).partition(chr(10))[0] if error else ""
        self.found[test.id()] = what + (": " + error[0].__name__ + ": " + text if error else "")
    def addSuccess(self, test): self.note(test, "passed")
    def addSkip(self, test, reason): self.note(test, "skipped")
    def addExpectedFailure(self, test, error): self.note(test, "passed")
    def addUnexpectedSuccess(self, test): self.note(test, "unexpected success")
    def addFailure(self, test, error): self.note(test, "failed", error)
    def addError(self, test, error): self.note(test, "failed", error)
    def addSubTest(self, test, subtest, error):
        if error: self.note(subtest, "failed", error)

if __name__ == "__main__":
    os.chdir("work")
    try:
        unittest.defaultTestLoader.loadTestsFromName("{module}").run(Result())
    finally:
        with open("{found}", "w") as file: json.dump(Result.found, file)
"""


def modules(names):
    """Return the tests that this interpreter has."""
    if importlib.util.find_spec("test") is None:
        return []
    full = [f"test.test_{name}" for name in names]
    return [name for name in full if importlib.util.find_spec(name) is not None]


class Comparison:
    """The tests of one module, run in a folder of their own."""

    def __init__(self, module, folder):
        self._found = folder / "found.json"
        self._work = folder / "work"
        (folder / "main.py").write_text(SCRIPT.format(module=module, found=self._found))
        self._what = program("main.py", roots=[f"{folder}/"], displays="")

    def _outcome(self, run):
        self._work.mkdir()
        run()
        subprocess.run(["rm", "-rf", self._work], check=True)
        found = json.loads(self._found.read_text()) if self._found.exists() else {}
        self._found.unlink(missing_ok=True)
        return found

    def _plain(self):
        subprocess.run(
            [sys.executable, "main.py"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE,
            start_new_session=True,
        )

    def outcomes(self):
        """Return what became of each test, plain, cold and warm, and how many modules the last had imported ahead."""
        imported = []

        def cold():
            run = start_cold(self._what)
            finish(run, within=DEADLINE)
            imported.extend(run.reports.imported)

        found = {"plain": self._outcome(self._plain), "cold": self._outcome(cold)}
        with adopted(), forking(self._what, imported) as start:
            found["warm"] = self._outcome(lambda: finish(start(), within=DEADLINE))
        return found, len(imported)


def differences(plain, found):
    """Yield each test that has ended otherwise than plain, and how it has; what an error says may be of chance."""
    for test in plain | found:
        one, other = (results.get(test, "not run") for results in (plain, found))
        if one.split(": ")[:2] != other.split(": ")[:2]:
            yield test, f"{other}; plain: {one}"


def main():
    names = modules(sys.argv[1:] or MODULES)
    if not names:
        print(f"{sys.executable} has none of CPython's own tests")
        return 0
    counts, differing = Counter(), 0
    for name in names:
        with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
            os.chdir(folder)
            outcomes, ahead = Comparison(name, Path(folder).resolve()).outcomes()
            os.chdir("/")
        plain = outcomes.pop("plain")
        counts.update(result.partition(":")[0] for result in plain.values())
        print(f"{name}: {len(plain)} tests, {ahead} modules imported ahead", flush=True)
        for kind, found in outcomes.items():
            for test, how in differences(plain, found):
                differing += 1
                print(f"differs {kind}: {test}: {how}", flush=True)
    parts = ", ".join(f"{count} {what}" for what, count in counts.items())
    print(f"CPython {platform.python_version()}: {counts.total()} tests of {len(names)} modules compared ({parts})")
    print(f"{differing} differ")
    return min(differing, 100)


if __name__ == "__main__":
    sys.exit(main())
