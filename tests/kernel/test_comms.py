"""Comms at the end of a kernel, and of one that goes back."""

import types

import pytest
from comm.base_comm import BaseComm, CommManager

from ipy_autorestart.kernel.comms import close_comms, renew_comms
from ipy_autorestart.protocol.messages import WATCH_COMM

WATCH = f"{WATCH_COMM}line"


class Published(BaseComm):
    """A comm that keeps what is published of it."""

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
        self.sent = [*getattr(self, "sent", []), msg_type]


class FakeSession:
    def __init__(self):
        self.sent = []

    def send(self, stream, kind, content, *, parent, ident):
        assert stream == "iopub"
        assert parent == {}
        self.sent.append((kind, content["comm_id"], ident))


@pytest.fixture
def kernel():
    kernel = types.SimpleNamespace(comm_manager=CommManager(), session=FakeSession(), iopub_socket="iopub")
    kernel.comms = [Published(target_name="there", comm_id=name) for name in ("a", "b", WATCH)]
    for comm in kernel.comms:
        kernel.comm_manager.register_comm(comm)
    return kernel


def test_the_next_kernel_knows_none_but_those_of_watches(kernel):
    close_comms(kernel)
    assert [comm.sent for comm in kernel.comms] == [["comm_open", "comm_close"]] * 2 + [["comm_open"]]


def test_a_kernel_that_goes_back_closes_those_that_it_has_not_opened_yet(kernel):
    renew_comms(kernel, ["a", "later", f"{WATCH_COMM}later"])
    assert kernel.session.sent == [("comm_close", "later", b"comm-later")]
    assert [comm.sent for comm in kernel.comms] == [["comm_open"]] * 3
