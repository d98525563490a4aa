"""A run is what `python main.py` is: the same scripts both ways, and nothing differs that a script or a person sees."""

import argparse
import decimal
import importlib.util
import io
import json
import subprocess
import sys
import xml.dom.minidom
import zipfile
from dataclasses import dataclass, field, replace

import pytest
from starting import Finished, adopted, finish, forking, program, told

from ipy_autorestart.script.run import start_cold

pytestmark = pytest.mark.e2e


LEARNT = [importlib.util.cache_from_source(module.__file__) for module in (argparse, decimal, json, xml.dom.minidom)]


@dataclass(frozen=True)
class Case:
    code: str | bytes
    words: tuple = ("main.py",)
    flags: tuple = ()
    files: dict = field(default_factory=dict)
    env: dict = field(default_factory=dict)
    status: int = 0
    shows: str = ""
    """What must be among what is printed, so that two ways to fail aren't taken for the same success."""


SEES = """
import os, sys, threading
print(sys.argv, sys.orig_argv[1:], sys.path, sys.executable, sys.prefix)
print(sys.flags, sys.warnoptions, sys._xoptions, sys.dont_write_bytecode)
print(__name__, __spec__, __file__, __package__, __doc__, __builtins__, type(__loader__), sorted(globals()))
print(sys.modules['__main__'].__dict__ is globals(), os.getcwd(), sorted(os.environ.items()))
print(sys.stdin, sys.stdout.encoding, sys.stdout.errors, sys.stderr.errors, sys.stdout.name, sys.stdout.isatty())
print(sys.meta_path, sys.path_hooks, sys.excepthook, sys.displayhook, sys.breakpointhook, sys.getrecursionlimit())
print(threading.enumerate(), threading.current_thread() is threading.main_thread(), sys._getframe().f_back)
print([number for number in range(3, 100) if os.path.exists(f'/proc/self/fd/{number}')])
print(open('/proc/self/cmdline').read().split('\\0')[1:], open('/proc/self/comm').read())
print(os.getpid() == os.getpgid(0) or 'its own group', os.umask(0o22))
"""


def archive(shebang="", **modules):
    """Return an archive with these modules, as `zipapp` makes it."""
    packed = io.BytesIO(shebang.encode())
    packed.seek(0, io.SEEK_END)
    with zipfile.ZipFile(packed, "a") as file:
        for name, code in modules.items():
            file.writestr(f"{name}.py", code)
    return packed.getvalue()


FAILS = "def f():\n    x = {'a': 1}\n    return g(x['a'])\n\ndef g(x):\n    return x / 0\n\nf()\n"

SPAWNED = """
import multiprocessing, os
class Point:
    def __init__(self, x): self.x = x
def double(point):
    return Point(2 * point.x)
if __name__ == '__main__':
    context = multiprocessing.get_context({!r})
    with context.Pool(2) as pool:
        print([p.x for p in pool.map(double, map(Point, range(5)))])
    queue = context.Queue()
    child = context.Process(target=queue.put, args=(Point(7),))
    child.start()
    print(queue.get().x)
    child.join()
    print(child.exitcode)
"""

HIDES = "import b, json\nprint(b.__file__, json.MINE)\n" + SEES

CASES = {
    "what it sees": Case(SEES),
    "no sitecustomize": Case("import sitecustomize", status=1, shows="No module named 'sitecustomize'"),
    "arguments": Case(SEES, ("main.py", "a b", ";", "ünï", "--x", "", "*"), shows="'ünï'"),
    "a path with a dot": Case(SEES, ("./main.py",)),
    "a script elsewhere": Case(
        "", ("sub dir/x.py",), files={"sub dir/x.py": "import y, sys\nprint(sys.path, __file__)", "sub dir/y.py": ""}
    ),
    "flags": Case(SEES, flags=("-X", "dev", "-W", "error", "-O", "-B"), shows="dev_mode=True"),
    "warnings": Case("import warnings\nwarnings.warn('old', DeprecationWarning)\n", flags=("-W", "once"), shows="old"),
    "warnings as errors": Case(
        "import warnings\nwarnings.warn('old')\n", flags=("-W", "error"), status=1, shows="Traceback"
    ),
    "utf8 mode": Case(SEES, flags=("-X", "utf8"), shows="utf8_mode=1"),
    "unbuffered": Case("import sys\nprint(sys.stdout.write_through)", flags=("-u",)),
    "variables": Case(SEES, env={"PYTHONPATH": "lib", "DEBUG": "a=b", "PYTHONHASHSEED": "7"}, shows="a=b"),
    "a fixed hash seed": Case("print(hash('a'))", env={"PYTHONHASHSEED": "7"}),
    "a module": Case("", ("-m", "pkg", "x y"), files={"pkg/__init__.py": "", "pkg/__main__.py": SEES}),
    "relative imports": Case(
        "",
        ("-m", "pkg.sub"),
        files={
            "pkg/__init__.py": "V = 1",
            "pkg/a.py": "W = 2",
            "pkg/sub.py": "from . import V\nfrom .a import W\nprint(V, W, __package__, __spec__.name)",
        },
        shows="1 2 pkg pkg.sub",
    ),
    "a module that isn't there": Case("", ("-m", "nowhere"), status=1, shows="No module named nowhere"),
    "a folder": Case("", ("app",), files={"app/__main__.py": SEES}),
    "main guard": Case("if __name__ == '__main__':\n    print('main')", shows="main"),
    "exit with a number": Case("import sys\nsys.exit(7)", status=7),
    "exit with a large number": Case("import sys\nsys.exit(300)", status=44),
    "exit with a text": Case("import sys\nsys.exit('bye')", status=1, shows="bye"),
    "exit with an object": Case("raise SystemExit([1, 2])", status=1, shows="[1, 2]"),
    "exit with nothing": Case("print('x')\nraise SystemExit", shows="x"),
    "os._exit": Case("import os\nprint('said', flush=True)\nos._exit(5)", status=5, shows="said"),
    "an exception": Case(FAILS, status=1, shows="ZeroDivisionError"),
    "an exception in a module": Case(
        "import broken", files={"broken.py": FAILS}, status=1, shows="in g\n    return x / 0"
    ),
    "chained exceptions": Case(
        "try:\n    1 / 0\nexcept Exception as e:\n    raise ValueError('b') from e", status=1, shows="direct cause"
    ),
    "exception groups": Case("raise ExceptionGroup('g', [ValueError(1), TypeError(2)])", status=1, shows="sub-exc"),
    "a syntax error": Case("x = (\n", status=1, shows="'(' was never closed"),
    "a syntax error in a module": Case("import broken", files={"broken.py": "x = = 1"}, status=1, shows="invalid synt"),
    "an exception hook": Case(
        "import sys\nsys.excepthook = lambda *a: print('hook', a[0])\n1 / 0", status=1, shows="hook"
    ),
    "print_stack": Case("import traceback\ndef f(): traceback.print_stack()\nf()", shows="in f"),
    "KeyboardInterrupt": Case("raise KeyboardInterrupt", status=-2, shows="KeyboardInterrupt"),
    "killed": Case("import os\nos.kill(os.getpid(), 15)\nimport time\ntime.sleep(60)", status=-15),
    "a segfault": Case("import os, signal\nprint('x', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)", status=-11),
    "all objects": Case(
        "import decimal, gc\nprint(any(one is decimal for one in gc.get_objects()))",
        shows="True",
    ),
    "what refers to a module": Case(
        "import decimal, gc, sys\nprint(any(one is sys.modules for one in gc.get_referrers(decimal)))", shows="True"
    ),
    "faulthandler": Case(
        "import faulthandler, os, signal\nfaulthandler.enable()\nos.kill(os.getpid(), signal.SIGSEGV)",
        status=-11,
        shows="Fatal Python error: Segmentation fault",
    ),
    "faulthandler by flag": Case(
        "import os, signal\nos.kill(os.getpid(), signal.SIGABRT)",
        flags=("-X", "faulthandler"),
        status=-6,
        shows="Fatal Python error: Aborted",
    ),
    "exit functions": Case(
        "import atexit\natexit.register(print, 1)\natexit.register(print, 2)\n"
        "@atexit.register\ndef f(): 1 / 0\nclass A:\n    def __del__(self): print('del')\na = A()\nprint(0)",
        shows="0\n2\n1\ndel",
    ),
    "no line end": Case("import sys\nprint('out', end='')\nprint('err', end='', file=sys.stderr)", shows="out"),
    "bytes": Case("import sys\nsys.stdout.buffer.write(bytes(range(256)) * 1000)"),
    "threads that outlive main": Case(
        "import threading, time\ndef f():\n    time.sleep(0.2)\n    print('late')\n"
        "threading.Thread(target=f).start()\nprint('main ends')",
        shows="main ends\nlate",
    ),
    "a thread that fails": Case(
        "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='T')\nt.start()\nt.join()", shows="thread T"
    ),
    "asyncio": Case(
        "import asyncio\nasync def main():\n    p = await asyncio.create_subprocess_exec('echo', 'hi', stdout=-1)\n"
        "    print(await p.communicate(), p.returncode)\n    await asyncio.to_thread(print, 'thread')\n"
        "asyncio.run(main())",
        shows="thread",
    ),
    "a server": Case(
        "import socket, threading\nserver = socket.create_server(('localhost', 0))\n"
        "threading.Thread(target=lambda: server.accept()[0].sendall(b'hello')).start()\n"
        "with socket.create_connection(server.getsockname()) as client:\n    print(client.recv(9))\n"
        "server.close()\nprint(server, socket.socket.bind, server.bind)\n"
        "import traceback\ntry: server.listen()\nexcept OSError: traceback.print_exc()\n"
        "socket.socket().bind(('nowhere.invalid', 80))",
        status=1,
        shows="gaierror",
    ),
    "asyncio fails": Case("import asyncio\nasync def main(): 1 / 0\nasyncio.run(main())", status=1, shows="asyncio"),
    "multiprocessing fork": Case(SPAWNED.format("fork"), shows="[0, 2, 4, 6, 8]\n7\n0"),
    "multiprocessing spawn": Case(SPAWNED.format("spawn"), shows="[0, 2, 4, 6, 8]\n7\n0"),
    "multiprocessing forkserver": Case(SPAWNED.format("forkserver"), shows="[0, 2, 4, 6, 8]\n7\n0"),
    "shared memory": Case(
        "from multiprocessing.shared_memory import SharedMemory\n"
        "m = SharedMemory(create=True, size=9)\nprint(m.size >= 9)\nm.close()\nm.unlink()",
        shows="True",
    ),
    "process pool": Case(
        "from concurrent.futures import ProcessPoolExecutor\ndef f(x): return x * x\n"
        "if __name__ == '__main__':\n    with ProcessPoolExecutor(2) as pool: print(list(pool.map(f, range(4))))",
        shows="[0, 1, 4, 9]",
    ),
    "pickle of main": Case(
        "import pickle\nclass A: pass\na = pickle.loads(pickle.dumps(A()))\nprint(type(a), type(a) is A, A.__module__)",
        shows="<class '__main__.A'> True",
    ),
    "inspect": Case(
        "import inspect\ndef f(): return 1\nprint(inspect.getsource(f), inspect.getfile(f))", shows="def f"
    ),
    "signals": Case(
        "import signal\nfor s in sorted(signal.valid_signals()): print(s, signal.getsignal(s))\n"
        "print(signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getitimer(signal.ITIMER_REAL))",
        shows="set()",
    ),
    "input": Case("input('name? ')", status=1, shows="EOFError"),
    "pdb at the end of input": Case("breakpoint()\nprint('on')", status=1, shows="BdbQuit"),
    "exec of itself": Case(
        "import os, sys\nprint(sys.argv, flush=True)\n"
        "if len(sys.argv) < 2: os.execv(sys.executable, [sys.executable, 'main.py', 'again'])",
        shows="['main.py', 'again']",
    ),
    "a python of its own": Case(
        "import subprocess, sys\ncode = 'import os, sys; print(sys.path, os.environ)'\n"
        "print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout)",
        shows="site-packages",
    ),
    "an encoding cookie": Case("# -*- coding: latin-1 -*-\nprint(ascii('é'))\n".encode("latin-1"), shows="'\\xe9'"),
    "a byte order mark": Case(b"\xef\xbb\xbfprint('bom')", shows="bom"),
    "a future import": Case(
        "from __future__ import annotations\nx: nowhere = 1\nprint(__annotations__)", shows="nowhere"
    ),
    "a user's sitecustomize": Case(
        "import builtins, sys\nprint(builtins.MINE, sys.modules['sitecustomize'].__file__)",
        files={"lib/sitecustomize.py": "import builtins\nbuiltins.MINE = 1\n"},
        env={"PYTHONPATH": "lib"},
        shows="1 ",
    ),
    "a user's usercustomize": Case(
        "import sys\nprint('usercustomize' in sys.modules)",
        files={"lib/usercustomize.py": "print('user')\n"},
        env={"PYTHONPATH": "lib"},
    ),
    "modules with the names of others": Case(
        "import json, socket, select, signal\nprint(json.MINE, socket.MINE, signal.__name__)",
        files={f"{name}.py": "MINE = 1\n" for name in ("json", "socket", "random", "ctypes", "importlib_util")},
        shows="1 1",
    ),
    "without the environment": Case("import sys\nprint(sys.flags.ignore_environment)", flags=("-E",)),
    "isolated": Case("import sys\nprint(sys.flags, sys.path)", flags=("-I",), shows="isolated=1"),
    "without site": Case("import sys\nprint(sys.flags.no_site)", flags=("-S",), shows="1"),
    "safe path": Case("import sys\nprint(sys.path)", flags=("-P",)),
    "a file without a suffix": Case("", ("./tool", "x"), files={"tool": "#!/usr/bin/env python3\n" + SEES}),
    "a folder with a module that hides another": Case(
        "",
        ("app", "x"),
        files={"app/__main__.py": HIDES, "app/b.py": "", "app/json.py": "MINE = 1"},
        shows="app/b.py 1",
    ),
    "a folder that fails": Case("", ("app/",), files={"app/__main__.py": FAILS}, status=1, shows="ZeroDivisionError"),
    "an archive with a module that hides another": Case(
        "",
        ("app.pyz", "x"),
        files={"app.pyz": archive(__main__=HIDES, b="", json="MINE = 1")},
        shows="app.pyz/b.py 1",
    ),
    "an archive that calls itself a tool": Case(
        "",
        ("./tool",),
        files={"tool": archive("#!/usr/bin/env python3\n", __main__=FAILS)},
        status=1,
        shows="ZeroDivisionError",
    ),
    "a script that isn't there": Case("", ("nowhere.py",), status=2, shows="can't open file"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_run_is_what_python_makes_of_the_script(name, tmp_path, monkeypatch):
    case = CASES[name]
    monkeypatch.chdir(tmp_path)
    for variable in ("PYTEST_CURRENT_TEST", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START", "PYTHONPATH"):
        monkeypatch.delenv(variable, raising=False)
    for path, text in {"main.py": case.code, **case.files}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(text if isinstance(text, bytes) else text.encode())
    what = program(*case.words, flags=case.flags, env=case.env, roots=[f"{tmp_path}/"])
    what = replace(what, keeps_ports=True)
    plain = subprocess.run(
        [sys.executable, *case.flags, *case.words],
        env=what.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
    )
    expected = Finished(plain.returncode, *(text.decode(errors="replace") for text in (plain.stdout, plain.stderr)))
    assert expected.status == case.status, expected
    assert case.shows in expected.out + expected.err, expected
    assert told(finish(start_cold(what))) == told(expected)
    with adopted(), forking(what, LEARNT) as start_warm:
        assert told(finish(start_warm())) == told(expected)
