"""Which watches end where a cell begins a new one."""

import pytest

from ipy_autorestart import Script, Supervisor
from ipy_autorestart.magics import gives_way, label_of

NEW = label_of("a cell\nof two lines", "id-2")


def watch(name, label):
    return Supervisor(Script(name), label=label)


@pytest.mark.parametrize("label", ["", "mine", "my\nown", "[1, 2]", "id-2", "{"])
def test_another_target_stays_whatever_label_its_user_has_given_it(project, label):
    project.save("other.py", "")
    assert not gives_way(watch("other.py", label), watch("main.py", NEW))
    assert not gives_way(watch("other.py", label), watch("main.py", label_of("", "id-2")))


def test_the_same_target_gives_way_whatever_its_label(project):
    assert gives_way(watch("main.py", "mine"), watch("main.py", NEW))


def test_what_a_cell_began_gives_way_when_it_is_executed_again(project):
    project.save("other.py", "")
    assert gives_way(watch("other.py", label_of("a cell\nof two lines", "id-1")), watch("main.py", NEW))


def test_what_the_same_execution_or_another_cell_began_stays(project):
    project.save("other.py", "")
    assert not gives_way(watch("other.py", NEW), watch("main.py", NEW))
    assert not gives_way(watch("other.py", label_of("another cell", "id-1")), watch("main.py", NEW))
