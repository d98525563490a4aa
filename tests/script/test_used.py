"""What counts because a run has used it, and what counts though nothing tells that it was used."""

import pytest
from waiting import eventually

pytestmark = pytest.mark.e2e

IN_C = """
import ctypes
c = ctypes.CDLL(None)
c.fopen.restype = ctypes.c_void_p
text = ctypes.create_string_buffer(10)
c.fgets(text, 10, ctypes.c_void_p(c.fopen(b"src/model.dat", b"r")))
print(text.value.decode())
"""


def test_a_file_that_only_c_reads_counts_where_a_pattern_names_it(watch, project):
    project.save("src/model.dat", "1")
    watched = watch(IN_C, pattern=("*.dat",))
    assert watched.screen.text == "1\n"
    project.save("src/model.dat", "2")
    eventually(lambda: watched.screen.text == "2\n")


def test_a_file_that_a_run_tried_to_open_counts_when_it_comes(watch, project):
    code = (
        "for name in ('a.toml', 'conf/b.toml'):\n"
        "    try: print(open(name).read())\n    except FileNotFoundError: print('none')\n"
    )
    watched = watch(code)
    assert watched.screen.text == "none\nnone\n"
    project.save("conf/b.toml", "1")
    eventually(lambda: watched.screen.text == "none\n1\n")
    project.save("a.toml", "2")
    eventually(lambda: watched.screen.text == "2\n1\n")
