"""What a script prints, in the cell that started the watch."""

import re

import pytest
from busy import busy
from waiting import DEADLINE

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("kernel_of_module"), pytest.mark.xdist_group("output")]


def shows(cell, text):
    return lambda: text in cell.text


def plain(text):
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def unwatched(project, name):
    """Return the path of a file that no watch sees."""
    return project.parent / f"{project.name}-{name}"


def watch(kernel, project, code, options=""):
    project.script(code)
    return kernel.run(f"%watch_restart main.py {options}")


def test_output_stays_in_its_cell_whatever_cell_runs(kernel, project):
    code = (
        "import sys, time\nfor i in range(60):\n    print('line', i)\n    print('error', i, file=sys.stderr)\n"
        "    time.sleep(0.01)\n"
    )
    cell = watch(kernel, project, code)
    others = [kernel.run(f"import time; time.sleep(0.05); print('cell {i}')") for i in range(8)]
    kernel.wait(shows(cell, "finished"))
    assert cell.streams() == "".join(f"line {i}\n" for i in range(60))
    assert cell.streams("stderr") == "".join(f"error {i}\n" for i in range(60))
    assert [other.text for other in others] == [f"cell {i}\n" for i in range(8)]


def test_each_run_starts_with_a_cleared_cell_and_keep_keeps_them(kernel, project):
    cleared = watch(kernel, project, "print('one')\n")
    kernel.wait(lambda: cleared.streams() == "one\n")
    project.script("print('two')\n")
    kernel.wait(lambda: cleared.streams() == "two\n")
    project.save("other.py", "print('one')\n")
    kept = kernel.run("%watch_restart other.py --keep")
    kernel.wait(lambda: kept.streams() == "── run 1 ──\none\n")
    project.save("other.py", "print('two')\n")
    kernel.wait(lambda: kept.streams() == "── run 1 ──\none\n── run 2 ──\ntwo\n")


def test_input_meets_an_end_of_file_and_it_is_said_what_to_do_instead(kernel, project):
    cell = watch(kernel, project, "input('name? ')\n")
    kernel.wait(shows(cell, "crashed after"))
    assert cell.streams() == "name? "
    assert "input() has nobody to ask here: pass arguments after --, or run ipy-autorestart in a terminal" in cell.text
    assert "EOFError: EOF when reading a line" in plain(cell.streams("stderr"))


def test_progress_and_colours_pass_as_they_are(kernel, project):
    code = (
        "import sys, time\nfor i in range(5):\n    print(f'\\r\\x1b[32m{i}/4\\x1b[0m', end='', file=sys.stderr)\n"
        "    time.sleep(0.07)\n"
    )
    cell = watch(kernel, project, code)
    kernel.wait(shows(cell, "finished"))
    assert cell.streams("stderr") == "".join(f"\r\x1b[32m{i}/4\x1b[0m" for i in range(5))


def test_progress_without_a_line_end_is_shown_at_once(kernel, project):
    cell = watch(kernel, project, "import time\nprint('\\r10 %', end='')\ntime.sleep(60)\n")
    kernel.wait(lambda: cell.streams() == "\r10 %")


def test_broken_bytes_are_replaced_and_whole_ones_are_not(kernel, project):
    code = (
        "import sys\nfor _ in range(3):\n    sys.stdout.buffer.write(b'x' * 65535 + 'é'.encode())\n"
        "sys.stdout.buffer.write(b'\\xff')\n"
    )
    cell = watch(kernel, project, code)
    kernel.wait(shows(cell, "finished"))
    assert cell.streams() == ("x" * 65535 + "é") * 3 + "\ufffd"


FLOODS = {
    "lines": ("    for _ in range(100): print('line', i)\n    i += 1\n", "lines, "),
    "bytes": ("    os.write(1, b'x' * 65536)\n", " left out …"),
    "both": ("    for _ in range(100): print('line'); print('line', file=sys.stderr)\n", "lines"),
}


@pytest.mark.parametrize("what", FLOODS)
def test_in_a_flood_the_kernel_answers_and_the_last_lines_are_shown(kernel, project, what):
    code, told = FLOODS[what]
    enough = unwatched(project, "enough")
    begin = f"import os, sys\nprint('FIRST')\ni = 0\nwhile not os.path.exists({str(enough)!r}):\n"
    cell = watch(kernel, project, f"{begin}{code}print('LAST')\n")
    for number in range(20):
        assert kernel.run(f"print({number})", timeout=DEADLINE).streams() == f"{number}\n"
    kernel.wait(shows(cell, told))
    enough.touch()
    kernel.wait(shows(cell, "LAST"))
    kernel.wait(shows(cell, "finished"))
    assert "FIRST" in cell.streams()
    assert told in cell.streams()
    memory = "import psutil, os; print(max(p.memory_info().rss for p in psutil.Process().children()) < 120e6)"
    assert kernel.run(memory).streams() == "True\n"


def test_a_hundred_megabytes_without_a_line_end(kernel, project):
    code = "import os\nfor _ in range(100): os.write(1, b'x' * 1_000_000)\nos.write(1, b'END')\n"
    cell = watch(kernel, project, code)
    kernel.wait(shows(cell, "finished"))
    assert cell.streams().endswith("xEND")
    assert "MB left out …" in cell.streams()
    assert len(cell.text) < 2_500_000


def test_a_flood_is_restarted_at_once(kernel, project):
    cell = watch(kernel, project, "import os\nwhile True: os.write(1, b'flood\\n' * 10_000)\n")
    kernel.wait(shows(cell, "flood"))
    project.script("print('calm')\n")
    kernel.wait(lambda: cell.streams() == "calm\n")


def test_a_busy_kernel_gets_it_all_later(kernel, project):
    go, gone = unwatched(project, "go"), unwatched(project, "gone")
    code = (
        f"import os, time\nprint('begin')\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
        f"for i in range(100):\n    print(i)\n    time.sleep(0.01)\nopen({str(gone)!r}, 'w').close()\n"
    )
    cell = watch(kernel, project, code)
    kernel.wait(lambda: cell.streams() == "begin\n")
    with busy(kernel, project):
        go.touch()
        kernel.wait(gone.exists)
        assert cell.streams() == "begin\n"
    kernel.wait(shows(cell, "finished"))
    assert cell.streams() == "begin\n" + "".join(f"{i}\n" for i in range(100))


def test_environment_folder_and_interpreter_can_be_given(kernel, project):
    project.save("sub/app.py", "import os, sys\nprint(sys.argv, os.getcwd(), os.getenv('A'), os.getenv('B'))\n")
    cell = kernel.run("%watch_restart sub/app.py --env A=1 --env 'B=x y' --cwd sub --python python3 -- z")
    kernel.wait(lambda: "\n" in cell.streams() or "finished" in cell.text)
    assert cell.streams() == f"['app.py', 'z'] {project / 'sub'} 1 x y\n"
    project.save("sub/app.py", "print('again')\n")
    kernel.wait(shows(cell, "again"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("main.py --env A", "--env: expected a variable and its value such as DEBUG=1, got 'A'"),
        ("main.py --cwd nowhere", "--cwd: there is no folder"),
        ("main.py --python nowhere", "--python: expected an interpreter such as python3 or .venv/bin/python"),
        ("src/ --env A=1", "--env: it needs a script to run, such as main.py, or -m MODULE"),
    ],
)
def test_mistakes_name_the_fix(kernel, line, message):
    assert message in kernel.run(f"%watch_restart {line}").text


@pytest.mark.own_kernel
def test_a_traceback_is_coloured_as_the_kernels_own_and_otherwise_unchanged(kernel, project):
    project.save("boom.py", "def f():\n    return 1 / 0\n")
    code = "import sys, boom\nprint('first', file=sys.stderr)\nboom.f()\n"
    # ipykernel asks programs for colours by FORCE_COLOR; from 3.13 on Python has its own, and they are left alone.
    cell = watch(kernel, project, code, "--env PYTHON_COLORS=0")
    kernel.wait(shows(cell, "crashed"))
    shown = cell.streams("stderr")
    own = kernel.run("1 / 0").text
    red = re.compile(r"\x1b\[(?:0;)?(\d+)mZeroDivisionError")
    assert red.search(shown)[1] == red.search(own)[1]
    text = plain(shown)
    assert text.startswith("first\nTraceback (most recent call last):\n")
    assert f'  File "{project}/boom.py", line 2, in f\n    return 1 / 0\n' in text
    assert text.endswith("\nZeroDivisionError: division by zero\n")
    kernel.run("%colors NoColor")
    project.save("boom.py", "def f():\n    return 2 / 0\n")
    kernel.wait(shows(cell, "2 / 0"))
    kernel.wait(shows(cell, "crashed"))
    assert "\x1b" not in cell.streams("stderr")
