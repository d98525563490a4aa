import subprocess
import sys

import pytest

from ipy_autorestart.reexec.commandline import CommandLine, split

LINES = {
    "-m ipykernel_launcher -f k.json": CommandLine((), "-m", "ipykernel_launcher", ("-f", "k.json")),
    "-Xfrozen_modules=off -m ipykernel_launcher": CommandLine(
        ("-Xfrozen_modules=off",), "-m", "ipykernel_launcher", ()
    ),
    "-X dev -W error -Bmcode x": CommandLine(("-X", "dev", "-W", "error", "-B"), "-m", "code", ("x",)),
    "-OBc pass -m": CommandLine(("-OB",), "-c", "pass", ("-m",)),
    "-mpkg": CommandLine((), "-m", "pkg", ()),
    "-EWignore script.py -c": CommandLine(("-EWignore",), "", "script.py", ("-c",)),
    "--check-hash-based-pycs always s.py": CommandLine(("--check-hash-based-pycs", "always"), "", "s.py", ()),
    "-u -- -odd.py x": CommandLine(("-u",), "", "-odd.py", ("x",)),
    "/usr/bin/jupyter kernel": CommandLine((), "", "/usr/bin/jupyter", ("kernel",)),
    "-i": CommandLine(("-i",), "", "", ()),
    "": CommandLine((), "", "", ()),
}


@pytest.mark.parametrize("words", LINES)
def test_a_command_line_is_taken_apart_as_python_does(words):
    assert split(words.split()) == LINES[words]


@pytest.mark.e2e
@pytest.mark.parametrize("words", [["-X", "dev", "-c", "P"], ["-IB", "-Wignore", "-c", "P"], ["-Obc", "P", "x"]])
def test_python_itself_agrees(words):
    code = "import sys; print(sys.orig_argv[1:])"
    words = [code if word == "P" else word for word in words]
    seen = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True).stdout
    assert eval(seen) == words
    assert split(words).what == code
