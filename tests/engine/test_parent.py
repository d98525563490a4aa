import os
import select
import sys

import pytest

from ipy_autorestart.engine.wakeups import Parent


def test_a_parent_that_is_there_is_not_gone():
    parent = Parent()
    assert (parent.pid, parent.is_gone) == (os.getppid(), False)
    if parent.fileno() >= 0:
        assert select.select([parent], [], [], 0)[0] == []
    parent.close()
    parent.close()
    assert parent.fileno() == -1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has process descriptors")
def test_the_end_of_a_parent_wakes():
    ends, end = os.pipe()
    report, reports = os.pipe()
    middle = os.fork()
    if middle == 0:
        try:
            if os.fork() == 0:
                os.close(end)
                parent = Parent()
                os.write(reports, b"y" if not parent.is_gone else b"n")
                select.select([parent], [], [], 10)
                os.write(reports, b"y" if parent.is_gone else b"n")
            else:
                os.close(end)
                os.read(ends, 1)
        finally:
            os._exit(0)
    assert os.read(report, 1) == b"y"
    os.close(end)
    assert os.read(report, 1) == b"y"
    os.waitpid(middle, 0)
    for fd in (ends, report, reports):
        os.close(fd)
