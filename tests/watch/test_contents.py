import os

import pytest

from ipy_autorestart.watch.contents import HUGE_BYTES, Content, is_settled, read, signature


@pytest.mark.parametrize(
    ("age_ns", "stamp_ns", "settled"),
    [
        (10_000_000, 1_700_000_000_123_456_789, False),
        (60_000_000, 1_700_000_000_123_456_789, True),
        (60_000_000, 1_700_000_000_000_000_000, False),
        (3_000_000_000, 1_700_000_000_000_000_000, True),
        (-3_600_000_000_000, 1_700_000_000_123_456_789, True),
    ],
)
def test_content_read_right_after_a_write_is_not_settled(age_ns, stamp_ns, settled):
    class Status:
        st_ctime_ns = st_mtime_ns = stamp_ns

    assert is_settled(Status, stamp_ns + age_ns) is settled


def test_restored_older_file_has_another_signature(tmp_path):
    path = tmp_path / "x.py"
    path.write_text("V = 1\n")
    before = signature(os.stat(path))
    assert signature(os.stat(path)) == before

    (tmp_path / "older.py").write_text("V = 0\n")
    os.utime(tmp_path / "older.py", (1, 1))
    os.replace(tmp_path / "older.py", path)

    assert signature(os.stat(path)) != before


def test_file_is_read_with_the_status_it_had(tmp_path):
    path = tmp_path / "x.py"
    path.write_bytes(b"V = 1\r\n")

    status, source = read(str(path))

    assert source == b"V = 1\r\n"
    assert signature(status) == signature(os.stat(path))


def test_huge_file_is_not_read(tmp_path):
    with open(tmp_path / "data.bin", "wb") as file:
        file.truncate(HUGE_BYTES + 1)

    status, source = read(str(tmp_path / "data.bin"))

    assert source is None
    assert Content.of(status, source, keep=True).size_bytes == HUGE_BYTES + 1


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(FileNotFoundError, match="not a regular file"):
        read(str(tmp_path / "pipe"))


def test_content_has_a_digest_of_its_bytes_and_the_bytes_if_they_are_kept(tmp_path):
    status = os.stat(tmp_path)

    kept, dropped = Content.of(status, b"V = 1\n", keep=True), Content.of(status, b"V = 1\n", keep=False)

    assert kept.digest == dropped.digest != Content.of(status, b"V = 2\n", keep=False).digest
    assert (kept.source, dropped.source, kept.size_bytes) == (b"V = 1\n", None, 6)
    assert not Content.unread(status).digest
