"""What a proxy tells of a kernel that has died."""

import json

import pytest

from ipy_autorestart.proxy.book import Lost, Request
from ipy_autorestart.proxy.crash import gone
from ipy_autorestart.wire.messages import Key, build


def request(metadata, kind="execute_request"):
    frames = build(Key(b""), kind, {}, parent={}, identities=[b"client"])
    return Request("shell", kind, (*frames[:-2], json.dumps(metadata).encode(), frames[-1]))


@pytest.mark.parametrize(
    ("begun", "aborted", "ids"),
    [
        ([{"cellId": "a", "deletedCells": ["b"]}], [{"cellId": "c", "deletedCells": ["d", "e"]}], ("a", "b", "d", "e")),
        ([{}], [{"cellId": "c"}], ()),
        ([{"cellId": 1, "deletedCells": 7}], [["no", "dictionary"]], ("1",)),
        ([], [], ()),
    ],
)
def test_what_it_died_of_and_what_was_deleted_is_gone(begun, aborted, ids):
    assert gone(Lost(tuple(map(request, begun)), tuple(map(request, aborted)))) == ids


def test_what_is_no_cell_deletes_none():
    other = request({"cellId": "a", "deletedCells": ["b"]}, kind="complete_request")
    assert gone(Lost((other,), (other,))) == ()
