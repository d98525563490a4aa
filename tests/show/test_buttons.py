"""Buttons beside a status line, which stay from kernel to kernel."""

import importlib.metadata

import pytest
from comm.base_comm import CommManager
from fakes import FakeKernel

from ipy_autorestart import State, Status
from ipy_autorestart.protocol.messages import WATCH_COMM
from ipy_autorestart.show import buttons
from ipy_autorestart.show.buttons import ROOM, VIEW
from ipy_autorestart.show.cell import CellScreen

HEADER = {"msg_id": "request 1"}
NOW, HOLD, BOX = (f"{WATCH_COMM}line-{part}" for part in ("now", "hold", "box"))


class Target:
    """A target that notes how it is asked to act."""

    def __init__(self):
        self.acts = []

    def __getattr__(self, name):
        return lambda: self.acts.append(name)


@pytest.fixture
def kernel():
    kernel = FakeKernel()
    kernel.comm_manager = CommManager()
    return kernel


@pytest.fixture
def target():
    return Target()


@pytest.fixture
def screen(kernel, target):
    screen = CellScreen(kernel, "main.py", header=HEADER, display_id="line")
    screen.add_buttons(target)
    return screen


def told(kernel):
    """What was published since this was asked last."""
    published, kernel.published = kernel.published, []
    return [(kind, content) for _, kind, content in published]


def say(kernel, comm_id, data):
    kernel.comm_manager.comm_msg(None, None, {"content": {"comm_id": comm_id, "data": data}})


def click(kernel, comm_id):
    say(kernel, comm_id, {"method": "custom", "content": {"event": "click"}})


def test_they_stand_after_the_line(kernel, screen):
    opened = told(kernel)
    assert [(kind, content["comm_id"]) for kind, content in opened] == [
        ("comm_open", NOW),
        ("comm_open", HOLD),
        ("comm_open", BOX),
    ]
    assert opened[-1][1]["data"]["state"]["children"] == [f"IPY_MODEL_{NOW}", f"IPY_MODEL_{HOLD}"]
    screen.open()
    screen.write("stdout", "one")
    screen.begin(2)
    screen.write("stdout", "two")
    shown = [content["data"] for kind, content in told(kernel) if kind == "display_data"]
    assert [data.get(VIEW, {}).get("model_id") for data in shown] == [None, BOX] * 2
    assert [ROOM in data["text/html"] for data in shown] == [True, False] * 2


def test_what_is_new_in_the_line_leaves_them_alone(kernel, screen):
    told(kernel)
    for state in (State.RUNNING, State.FINISHED):
        screen.show(Status(state, runs=1))
    assert [(kind, content["transient"]) for kind, content in told(kernel)] == [
        ("update_display_data", {"display_id": "line"})
    ] * 2


def test_clicks_act_and_what_a_button_does_is_told(kernel, screen, target):
    told(kernel)
    click(kernel, NOW)
    click(kernel, HOLD)
    screen.show(Status(State.PAUSED, paused=True))
    click(kernel, HOLD)
    click(kernel, BOX)
    assert target.acts == ["restart", "pause", "resume"]
    (kind, hold), _ = told(kernel)
    assert (kind, hold["comm_id"]) == ("comm_msg", HOLD)
    words = "Resume main.py"
    assert hold["data"]["state"] == {"icon": "play", "description": words, "tooltip": words}


def test_the_next_kernel_goes_on_with_those_of_the_page(kernel, screen):
    screen.show(Status(State.PAUSED, paused=True))
    told(kernel)
    screen.before_exec(Status(State.RESTARTING, paused=True))
    kernel.comm_manager = CommManager()
    again = CellScreen(kernel, "main.py", **screen.to_state())
    again.control(target := Target())
    again.show(Status(State.PAUSED, paused=True))
    assert {kind for kind, _ in told(kernel)} == {"update_display_data"}, "the page has them"
    click(kernel, HOLD)
    assert target.acts == ["resume"]


def test_a_page_that_has_just_been_opened_is_told_what_they_are(kernel, screen):
    told(kernel)
    say(kernel, NOW, {"method": "request_state"})
    ((kind, content),) = told(kernel)
    assert (kind, content["comm_id"]) == ("comm_msg", NOW)
    assert content["data"]["state"]["_model_name"] == "ButtonModel"
    assert {one.target_name for one in kernel.comm_manager.comms.values()} == {"jupyter.widget"}


def test_none_is_left_in_the_end_and_the_line_stands_where_it_stood(kernel, screen):
    told(kernel)
    screen.show(Status().ended(""))
    (kind, buttons), *closed, (_, line) = told(kernel)
    assert (kind, VIEW in buttons["data"]) == ("update_display_data", False)
    assert [(kind, content["comm_id"]) for kind, content in closed] == [
        ("comm_close", BOX),
        ("comm_close", HOLD),
        ("comm_close", NOW),
    ]
    assert ROOM in line["data"]["text/html"]
    assert kernel.comm_manager.comms == {}


@pytest.mark.parametrize("version", ["7.8.1", None])
def test_without_widgets_that_pages_know_there_is_the_line_alone(kernel, monkeypatch, tmp_path, version):
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    if version:
        (tmp_path / f"ipywidgets-{version}.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: ipywidgets\nVersion: {version}\n"
        (tmp_path / f"ipywidgets-{version}.dist-info/METADATA").write_text(metadata)
        assert importlib.metadata.version("ipywidgets") == version
    assert not buttons.can_be_made()
    screen = CellScreen(kernel, "main.py", header=HEADER)
    screen.add_buttons(Target())
    screen.open()
    ((kind, content),) = told(kernel)
    assert kind == "display_data"
    assert ROOM not in content["data"]["text/html"]


class Control:
    """The comm by which a page asks `ipywidgets` for all widgets."""

    comm_id, target_name = "control", "jupyter.widget.control"

    def __init__(self):
        self.sent = []

    def send(self, data=None, metadata=None, buffers=None):
        self.sent.append(data)


def test_a_page_that_asks_for_all_widgets_hears_of_them(kernel, screen):
    asks = Control()
    kernel.comm_manager.register_comm(asks)
    theirs = {"slider": {"state": {}}}
    asks.send({"method": "update_states", "states": theirs}, buffers=[])
    asks.send({"method": "else"})
    told, other = asks.sent
    assert told["states"].keys() == {"slider", NOW, HOLD, BOX}
    assert told["states"][BOX]["model_name"] == "HBoxModel"
    assert told["states"][BOX]["state"]["children"] == [f"IPY_MODEL_{NOW}", f"IPY_MODEL_{HOLD}"]
    assert (theirs.keys(), other) == ({"slider"}, {"method": "else"})
    screen.show(Status(State.ENDED))
    later = Control()
    kernel.comm_manager.register_comm(later)
    later.send({"method": "update_states", "states": theirs})
    assert later.sent[0]["states"].keys() == {"slider"}
    assert "register_comm" not in vars(kernel.comm_manager)
