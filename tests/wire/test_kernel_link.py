"""The link between a kernel and its proxy."""

import os
import socket
import tempfile

import pytest

from ipy_autorestart.wire.link import (
    NAME,
    Connect,
    Done,
    Goodbye,
    Leaving,
    Link,
    Ready,
    TakeOver,
    TookOver,
    Watching,
    Working,
    from_file,
    in_file,
    make_folder,
)


@pytest.fixture
def ends():
    pair = [Link(one) for one in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)]
    yield pair
    for one in pair:
        one.close()


@pytest.fixture
def raw():
    """A socket, and the link at its other end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link = Link(theirs)
    yield ours, link
    ours.close()
    link.close()


@pytest.mark.parametrize(
    "word",
    [
        Connect(3),
        Ready({"A": "b"}, welcomes=True),
        Leaving(interrupted=True, cold=True),
        TakeOver(),
        TookOver(),
        Goodbye(),
        Watching(),
        Working(),
        Done("1"),
    ],
)
def test_words_arrive_as_they_were_sent(ends, word):
    ours, theirs = ends
    ours.send(word)
    assert theirs.receive() == (word, [])


def test_descriptors_arrive_with_their_word(ends, tmp_path):
    ours, theirs = ends
    with open(tmp_path / "file", "wb") as file:
        ours.send(TakeOver(), [file.fileno()])
        _, [fd] = theirs.receive()
        assert os.path.sameopenfile(fd, file.fileno())
    os.close(fd)


def test_the_end_of_the_other_side_is_an_end_of_file_and_words_to_it_are_lost(ends):
    ours, theirs = ends
    theirs.say_goodbye()
    theirs.close()
    ours.send(Connect(1))
    assert ours.receive() == (Goodbye(), [])
    with pytest.raises(EOFError):
        ours.receive()


def test_a_child_of_the_kernel_neither_keeps_the_proxy_waiting_nor_says_goodbye(ends):
    ours, theirs = ends
    begin, go = os.pipe()
    child = os.fork()
    if not child:
        theirs.say_goodbye()
        os.read(begin, 1)
        os._exit(0)
    theirs.close()
    try:
        with pytest.raises(BlockingIOError):
            ours.receive(wait=False)
    finally:
        os.write(go, b".")
        os.waitpid(child, 0)
        os.close(begin)
        os.close(go)
    with pytest.raises(EOFError):
        ours.receive()


def test_a_kernel_finds_its_proxy_by_the_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        Link.to_proxy(str(tmp_path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"{tmp_path}/{NAME}")
        listener.listen()
        kernel = Link.to_proxy(str(tmp_path))
        accepted, _ = listener.accept()
        proxy = Link(accepted)
        kernel.send(Ready())
        assert proxy.receive() == (Ready(), [])
        for one in (kernel, proxy):
            one.close()


def test_words_and_fields_of_another_version_are_passed_over(raw, tmp_path):
    ours, link = raw
    with open(tmp_path / "file", "wb") as file:
        before = len(os.listdir("/proc/self/fd"))
        socket.send_fds(ours, [b'{"class": "Unheard"}'], [file.fileno()])
        ours.send(b'{"class": "Done", "key": "1", "unheard": 2}')
        assert link.receive() == (Done("1"), [])
        socket.send_fds(ours, [b'{"class": "Unheard"}'], [file.fileno()])
        with pytest.raises(BlockingIOError):
            link.receive(wait=False)
        assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_no_word_and_a_word_that_is_too_long_are_refused(raw, tmp_path):
    ours, link = raw
    with open(tmp_path / "file", "wb") as file:
        before = len(os.listdir("/proc/self/fd"))
        for data in (
            b"[]",
            b"{}",
            b'{"class": ["Done"]}',
            b'{"key": "1"}',
            b'{"class": "Done", "key": "' + b"x" * 100_000 + b'"}',
        ):
            socket.send_fds(ours, [data], [file.fileno()])
            with pytest.raises(ValueError, match="word"):
                link.receive()
        assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ValueError, match="too long"):
        link.send(Done("x" * 100_000))
    with pytest.raises(BlockingIOError):
        link.receive(wait=False)


def test_texts_of_any_length_come_in_files():
    text = "a\n" * 100_000
    assert from_file(in_file(text)) == text


def test_a_folder_whose_path_is_too_long_is_not_taken(tmp_path, monkeypatch):
    short = make_folder()
    os.rmdir(short)
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    folder = make_folder()
    assert not folder.startswith(str(deep))
    assert list(deep.iterdir()) == []
    os.rmdir(folder)
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    os.rmdir(make_folder())
