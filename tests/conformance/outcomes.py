"""What became of other projects' tests: read from pytest's reports, compared with the control, shown as a table."""

import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass

#: The kernel that is the control.
CONTROL = "plain"

GOOD = ("passed", "skipped")


@dataclass(frozen=True)
class Outcome:
    """What became of a suite's tests on one kernel."""

    tests: dict[str, str]  # of each test one of GOOD, or the first line of why it has failed
    kernels: int  # how many were prepared

    @property
    def failed(self):
        return {test: why for test, why in self.tests.items() if why not in GOOD}

    def __str__(self):
        counts = Counter(result if result in GOOD else "failed" for result in self.tests.values())
        return ", ".join(f"{counts[what]} {what}" for what in ("passed", "failed", "skipped") if counts[what])


def read(report):
    """Return what became of each test; one that stands there twice, for its teardown too, is as it was worst."""
    found = {}
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        bad = [one for one in case if one.tag in ("failure", "error")]
        if bad:
            found[name] = (bad[0].get("message") or bad[0].tag).splitlines()[0]
        elif found.get(name, "passed") == "passed":
            found[name] = "skipped" if case.find("skipped") is not None else "passed"
    return found


def left_out(outcomes):
    """Yield the tests that say nothing about a restarted kernel, as the control fails them too, and why it does."""
    yield from outcomes[CONTROL].failed.items()


def differences(outcomes, meant=()):
    """Yield each kernel, test and result that is not the control's, and meant to be, or the other way round.

    ``meant`` has pairs of a kernel and a test that it is meant not to pass.
    """
    for kernel, found in outcomes.items():
        for test, result in outcomes[CONTROL].tests.items():
            now = found.tests.get(test, "was not run")
            if result == "passed" and (now == "passed") == ((kernel, test) in meant):
                yield kernel, test, now


def table(rows):
    """Return in Markdown what became of each suite on each kernel."""
    kernels = next(iter(rows.values()))
    lines = [f"| tests of | {' | '.join(kernels)} |", f"|---|{'---|' * len(kernels)}"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(map(str, row.values()))} |" for name, row in rows.items())])
