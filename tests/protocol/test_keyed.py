"""What the environment of a process says of the clusters that its watches push to."""

from hypothesis import given
from hypothesis import strategies as st

from ipy_autorestart.cluster import _ipy_autorestart_salt
from ipy_autorestart.protocol.keyed import PRELOAD, VARIABLE, Keyed

ONE, TWO = Keyed("/tmp/one", "/p/salt.py"), Keyed("/tmp/two", "/p/salt.py")
NONE = {VARIABLE: None, PRELOAD: None}


def test_the_variable_is_that_which_clients_read():
    assert _ipy_autorestart_salt.VARIABLE == VARIABLE


def test_what_is_added_can_be_taken_away():
    assert ONE.added_to({}) == {VARIABLE: "/tmp/one", PRELOAD: "['/p/salt.py']"}
    assert ONE.taken_from(ONE.added_to({})) == NONE
    both = TWO.added_to(ONE.added_to({}))
    assert both == {VARIABLE: "/tmp/one:/tmp/two", PRELOAD: "['/p/salt.py']"}
    assert TWO.added_to(both) == both
    assert ONE.taken_from(both) == TWO.added_to({})


@given(st.sampled_from(["[]", "['/theirs.py']", "'/theirs.py'", "/theirs.py", "(1", "['a', 'b']"]))
def test_what_the_user_has_there_stays(theirs):
    before = {PRELOAD: theirs}
    added = ONE.added_to(before)
    assert ("/theirs.py" in added[PRELOAD]) == ("/theirs.py" in theirs)
    left = {name: value for name, value in ONE.taken_from(added).items() if value}
    assert VARIABLE not in left
    assert ONE.added_to(left) == added
