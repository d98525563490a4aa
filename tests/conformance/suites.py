"""Run Jupyter's own tests of kernels, on a plain kernel and on such as this project has restarted in place.

    python tests/conformance/suites.py [SUITE …] [--on KERNEL …]

The tests are those of the versions that are installed, from their source distributions, as they are and with their own
settings. The plain kernel is the control: what it fails is named and left out. The exit status is the number of tests
that it passes and another kernel doesn't, but for those that are named as meant to differ.
"""

import argparse
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import prepared
from outcomes import CONTROL, Outcome, differences, left_out, read, table

#: The provisioners of `prepared` that launch the kernels.
KERNELS = {
    CONTROL: "as any other",
    "restarted": "after three restarts by exec",
    "behind-proxy": "the first behind a proxy",
    "switched": "the fourth behind a proxy",
}


@dataclass(frozen=True)
class Suite:
    """The tests of a project: those files of its source distribution that drive a kernel over the protocol.

    Each with the reason, ``without`` names tests that are left out, and ``other`` such as are not meant to pass behind
    a proxy.
    """

    distribution: str
    files: tuple[str, ...]
    without: Mapping[str, str] = field(default_factory=dict, hash=False)
    other: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __str__(self):
        return f"{self.distribution} {version(self.distribution)}"

    def unpack(self, folder):
        """Return where the tests are, and nothing of what they test: that is installed."""
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        wanted = f"{self.distribution}=={version(self.distribution)}"
        subprocess.run([*download, "--no-binary", self.distribution, "--dest", folder, wanted], check=True)
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as source:
            tests = [one for one in source if one.name.split("/")[1] in ("pyproject.toml", "tests", *self.files)]
            source.extractall(folder, tests, filter="data")
        return folder / archive.name.removesuffix(".tar.gz")


A_CRASH_COSTS_A_CELL = "the cell that ends its kernel has an error behind a proxy, and another kernel takes over"

# The other files of ipykernel call objects in the test's own process, or embed a kernel in a program, where it can't be
# restarted; test_eventloop starts kernels and asks them nothing, and test_matplotlib_eventloops needs a screen.
SUITES = (
    Suite("jupyter_kernel_test", ("test_ipykernel.py",)),
    Suite(
        "ipykernel",
        (
            "tests/test_async.py",
            "tests/test_curve.py",  # since 7.4
            "tests/test_debugger.py",
            "tests/test_kernel.py",
            "tests/test_message_spec.py",
            "tests/test_subshells.py",  # since 7.0
        ),
    ),
    Suite(
        "nbclient",
        ("tests",),
        {
            "tests/test_client.py::test_start_new_kernel_history_file_setting": (
                "it starts a second kernel at the ports of the first, where it ends, as no one asks it anything"
            )
        },
        {
            "tests.test_client.TestExecute::test_error_notebook_hook": A_CRASH_COSTS_A_CELL,
            "tests.test_client.TestExecute::test_kernel_death_during_execution": A_CRASH_COSTS_A_CELL,
        },
    ),
)

# pytest-asyncio warns where it isn't told the scope, and these projects make an error of each warning.
PYTEST = ("-m", "pytest", "--no-showlocals", "--color=no", "-o", "asyncio_default_fixture_loop_scope=function")


def outcome(suite, tests, kernel, folder):
    """Run a suite's tests on a kernel, and show what pytest says."""
    report, log = folder / f"{kernel}.xml", folder / f"{kernel}.log"
    log.touch()
    environment = os.environ | {
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),  # some run `jupyter`
        "JUPYTER_DEFAULT_PROVISIONER_NAME": kernel,
        prepared.LOG: str(log),
    }
    files = [file for file in suite.files if tests.joinpath(file).exists()]
    without = [f"--deselect={test}" for test in suite.without]
    subprocess.run([sys.executable, *PYTEST, f"--junitxml={report}", *without, *files], cwd=tests, env=environment)
    return Outcome(read(report), len(log.read_text().splitlines()))


def parsed():
    names = [suite.distribution for suite in SUITES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(names)}; all if none is given")
    parser.add_argument("--on", nargs="+", metavar="KERNEL", default=[*KERNELS], help=f"of {', '.join(KERNELS)}")
    options = parser.parse_args()
    for kind, given, known in (("suite", options.suites, names), ("kernel", options.on, KERNELS)):
        if unknown := set(given).difference(known):
            parser.error(f"no such {kind}: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    suites = [suite for suite in SUITES if suite.distribution in (options.suites or names)]
    return suites, [kernel for kernel in KERNELS if kernel in (CONTROL, *options.on)]


def main():
    suites, kernels = parsed()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    rows = {}
    with tempfile.TemporaryDirectory(prefix="conformance-") as temporary:
        for suite in suites:
            folder = Path(temporary, suite.distribution)
            folder.mkdir()
            tests = suite.unpack(folder)
            rows[suite] = {}
            for kernel in kernels:
                print(f"\n## {suite}, kernel: {kernel}", flush=True)
                rows[suite][kernel] = outcome(suite, tests, kernel, folder)
    print(f"\n{table(rows)}\n")
    for kernel in kernels[1:]:
        print(f"{kernel}: {KERNELS[kernel]}; {sum(row[kernel].kernels for row in rows.values())} kernels")
    found = []
    for suite, row in rows.items():
        for test, why in suite.without.items():
            print(f"left out: {test}: {why}")
        for test, why in left_out(row):
            print(f"fails on a plain kernel too: {test}: {why}")
        for test, why in suite.other.items():
            print(f"not meant to pass behind a proxy: {test}: {why}")
        found += differences(row, {(kernel, test) for kernel in prepared.BEHIND for test in suite.other})
    for kernel, test, why in found:
        print(f"differs from the plain kernel: {kernel}: {test}: {why}")
    return min(len(found), 100)


if __name__ == "__main__":
    sys.exit(main())
