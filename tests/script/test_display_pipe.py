"""What comes out of the pipe on which a run displays: plain data, or nothing."""

import json
import os
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starting import finish, program

from ipy_autorestart.script.displays import Clear, Display, DisplayPipe, parse
from ipy_autorestart.script.run import start_cold

GOOD = {"kind": "display", "data": {"text/plain": "x"}, "metadata": {}}


def chunk(part, writer=1, message=1, *, last=True):
    head = b"D" + writer.to_bytes(4, "little") + message.to_bytes(4, "little")
    return head + len(part).to_bytes(2, "little") + bytes([last]) + part


@pytest.fixture
def heard():
    """Return what a pipe's text is heard as."""
    read, write = os.pipe()
    displays, said = DisplayPipe(read), []
    displays.on_display = lambda display, _: said.append(display)

    def hear(*texts):
        for text in texts:
            displays.take_bytes(text)
        return said

    yield hear
    displays.close()
    os.close(write)


def test_a_message_says_what_to_show():
    assert parse(json.dumps(GOOD).encode()) == Display({"text/plain": "x"})
    named = {**GOOD, "display_id": "a", "update": True}
    assert parse(json.dumps(named).encode()) == Display({"text/plain": "x"}, {}, "a", update=True)
    assert parse(b'{"kind": "clear", "wait": true}') == Clear(wait=True)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"kind": "clear"}',
        b"[" * 100_000,
        pickle.dumps(GOOD),
        json.dumps({**GOOD, "data": {"text/plain": float("nan")}}).encode(),
        json.dumps({**GOOD, "data": {"plain": "x"}}).encode(),
        json.dumps({**GOOD, "data": {"x" * 300 + "/x": "x"}}).encode(),
        json.dumps({**GOOD, "data": [1]}).encode(),
        json.dumps({**GOOD, "data": {"text/plain": "\ud800"}}).encode(),
        json.dumps({**GOOD, "display_id": 3}).encode(),
        json.dumps({**GOOD, "update": True}).encode(),
        json.dumps({**GOOD, "kind": "execute"}).encode(),
    ],
)
def test_anything_else_is_refused(message):
    with pytest.raises(ValueError, match=r".*"):
        parse(message)


@given(st.binary())
def test_whatever_comes_raises_nothing_else(message):
    with pytest.raises(ValueError, match=r".*"):
        parse(message)


def test_chunks_of_several_writers_are_put_together(heard):
    text = json.dumps(GOOD).encode()
    first, second = [chunk(text[:9], 1, last=False), chunk(text[9:], 1)], [chunk(text[:4], 2, last=False)]
    stream = first[0] + second[0] + first[1] + chunk(text[4:], 2)
    assert len(heard(*(stream[at : at + 1] for at in range(len(stream))))) == 2


def test_a_message_that_was_broken_off_or_is_wrong_costs_only_itself(heard):
    text = json.dumps(GOOD).encode()
    said = heard(chunk(text[:9], 1, 1, last=False), chunk(b"{}", 1, 2), chunk(text, 1, 3))
    assert said == [Display({"text/plain": "x"})]


def test_after_what_is_no_chunk_nothing_is_heard(heard):
    text = json.dumps(GOOD).encode()
    assert heard(b"nonsense" * 9, chunk(text)) == []


def test_what_never_ends_is_given_up(heard):
    part = chunk(b"x" * 60_000, last=False)
    assert heard(*[part] * 600, chunk(json.dumps(GOOD).encode(), 2)) == []


CODE = "import sys, matplotlib.pyplot as plt\nprint(plt.get_backend(), [n for n in sys.modules if '_ipy' in n])\n"


@pytest.mark.e2e
def test_where_nobody_asks_for_displays_all_is_as_outside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.py").write_text(CODE)
    env = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    assert finish(start_cold(program("main.py", env=env, displays=""))).out == "agg []\n"
    asked = finish(start_cold(program("main.py", env=env))).out
    assert asked == "module://_ipy_autorestart_figures []\n"


ANIMATED = """
import threading, matplotlib.pyplot as plt
figure, axes = plt.subplots()
(line,) = axes.plot([1, 2])
for value in range(3):
    line.set_ydata([value, value])
    plt.pause(0.01)
figure.savefig("a.pdf")
plt.show()
thread = threading.Thread(target=lambda: (plt.plot([1]), plt.show(block=True)))
thread.start()
thread.join()
print(plt.get_fignums())
"""


@pytest.mark.e2e
def test_a_figure_can_be_animated_saved_and_drawn_in_a_thread(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.py").write_text(ANIMATED)
    run = start_cold(program("main.py"))
    said = []
    run.displays.on_display = lambda display, _: said.append(display)
    finished = finish(run)
    assert finished.err == ""
    assert finished.out == "[]\n"
    assert [display.update for display in said] == [False, True, True, True, False]
    assert len({display.display_id for display in said}) == 2
    assert all("image/png" in display.data for display in said)
    assert len({display.data["image/png"] for display in said}) == 4
    assert (tmp_path / "a.pdf").exists()
