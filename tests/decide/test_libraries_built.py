import struct

import pytest

from ipy_autorestart.decide.compiled import HEAD_BYTES, is_compiled, is_outdated, is_whole


def test_extension_modules_and_libraries_are_known_by_their_names():
    compiled = [
        "a.so",
        "/p/a.cpython-311-x86_64-linux-gnu.so",
        "a.abi3.so",
        "/p/liba.so.1",
        "liba.so.1.2.3",
        "liba.dylib",
    ]
    others = ["a.py", "so", "a.so.bak", "/p/a.so.1/b.txt", "a.so.tmp", "also", "a.o", "a.c"]

    assert [path for path in compiled + others if is_compiled(path)] == compiled


def elf(*, wide, order, offset, entry, count):
    head = bytearray(HEAD_BYTES)
    head[:6] = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2])
    struct.pack_into(order + ("Q" if wide else "I"), head, 0x28 if wide else 0x20, offset)
    struct.pack_into(order + "HH", head, 0x3A if wide else 0x2E, entry, count)
    return bytes(head)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_library_is_whole_when_its_last_table_is_there(wide, order):
    head = elf(wide=wide, order=order, offset=1000, entry=64, count=10)

    assert is_whole(head, 1640)
    assert not is_whole(head, 1639)
    assert not is_whole(head[:40], 1640)


def test_library_without_a_header_is_yet_to_be_written():
    assert not is_whole(b"", 0)
    assert not is_whole(bytes(HEAD_BYTES), 1 << 20)
    assert not is_whole(b"\x7fE", 2)


def test_of_other_kinds_nothing_is_known():
    assert is_whole(b"INPUT(liba.so.1)", 16)
    assert is_whole(b"\xcf\xfa\xed\xfe".ljust(HEAD_BYTES, b"\1"), 1000)


@pytest.mark.parametrize(
    ("loaded", "base", "now", "outdated"),
    [
        ([], 1, 2, False),  # not loaded
        ([1], 1, 2, True),  # replaced
        ([1], 1, 0, True),  # deleted
        ([1], 1, 1, True),  # written in place
        ([2], 1, 2, False),  # replaced, and loaded after that
        ([2], 0, 2, False),  # new, and loaded
        ([1, 2], 1, 2, True),  # loaded twice
    ],
)
def test_what_a_process_has_loaded_is_outdated_when_the_file_is_another(loaded, base, now, outdated):
    assert is_outdated(loaded, base=base, now=now) is outdated
