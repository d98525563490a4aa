"""A kernel that has restarted is what a plain kernel is: the same expressions, and nothing differs."""

import ast
import re
from pathlib import Path

import pytest
from behind import until_armed
from patience import PATIENT

import ipy_autorestart

pytestmark = pytest.mark.e2e

BEGIN = """\
#| rerun: false
import asyncio, builtins, contextlib, ctypes, gc, io, locale, logging, os, re, resource, signal, sys, threading
import warnings
ip = get_ipython()
def status(*names):
    with open('/proc/self/status') as file:
        return [line.split() for line in file if line.startswith(names)]
def said(act):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        result = act()
    return result, out.getvalue()
"""

PROPERTIES = (
    "sys.argv, sys.orig_argv[-3:-2], sys.executable, sys.prefix, sys.flags, sys._xoptions, sys.warnoptions",
    "sys.path",
    "[type(finder).__name__ for finder in sys.meta_path], len(sys.path_hooks)",
    "warnings.filters",
    "sorted(os.environ)",
    "{name: os.environ[name] for name in os.environ if name != 'JPY_PARENT_PID'}",
    "os.getcwd(), os.umask(0o22), os.nice(0), os.getpgid(0) == os.getpid(), os.getsid(0) == os.getpid()",
    "[(number, signal.getsignal(number)) for number in sorted(signal.valid_signals()) if number != signal.SIGHUP]",
    "status('SigBlk', 'SigIgn', 'NoNewPrivs', 'Seccomp:')",
    "[resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith('RLIMIT')]",
    "signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getitimer(signal.ITIMER_REAL)",
    "threading.main_thread().native_id == os.getpid(), threading.main_thread() is threading.current_thread()",
    # The proxy answers the heartbeat, and the extension listens to its supervisor.
    "sorted({re.sub('-[0-9]+', '', one.name) for one in threading.enumerate()} - {'Heartbeat', 'Dummy', 'Thread'})",
    "type(asyncio.get_running_loop()).__name__, asyncio.get_running_loop().get_debug(), len(asyncio.all_tasks()) < 20",
    "type(asyncio.get_event_loop_policy()).__name__",
    "locale.setlocale(locale.LC_ALL), sys.getfilesystemencoding()",
    "sys.getrecursionlimit(), sys.getswitchinterval(), sys.gettrace(), sys.getprofile(), threading.gettrace()",
    "gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.callbacks, gc.garbage",
    "any(one is globals() for one in gc.get_objects()), len(gc.get_objects()) > 30_000",
    "any(one is globals() for one in gc.get_referrers(said))",
    "any(one is vars(logging) for one in gc.get_referrers(logging.getLogger))",
    "sys.breakpointhook.__name__, said(breakpoint), sys.breakpointhook.__name__",
    "sys.displayhook is ip.displayhook, sys.excepthook.__name__, sys.unraisablehook, threading.excepthook.__name__",
    "[(type(one).__name__, one.encoding, one.errors, one.isatty(), one.name) for one in (sys.stdout, sys.stderr)]",
    "type(sys.stdin).__name__, sys.stdin and sys.stdin.isatty()",
    "type(sys.__stdout__).__name__, sys.__stdout__.line_buffering, sys.__stdout__.encoding",
    "logging.root.level, logging.root.handlers, logging.raiseExceptions, logging.root.manager.disable",
    "sorted((name, one.level, len(one.handlers)) for name, one in logging.root.manager.loggerDict.items()"
    " if isinstance(one, logging.Logger) and (one.level or one.handlers) and 'autorestart' not in name)",
    "sorted(ip.magics_manager.lsmagic()['line']), sorted(ip.magics_manager.lsmagic()['cell'])",
    "[type(one).__name__ for one in ip.input_transformers_cleanup + ip.input_transformers_post]",
    "sorted(ip.display_formatter.formatters), ip.display_formatter.active_types",
    "{name: sorted(map(str, one.type_printers)) for name, one in ip.display_formatter.formatters.items()}",
    "sorted(ip.ns_table['user_global']) == sorted(globals()), __name__, __builtins__ is builtins, __doc__",
    "ip.colors, ip.autocall, ip.pdb, ip.cache_size, ip.xmode if hasattr(ip, 'xmode') else ip.InteractiveTB.mode",
    "type(ip).__name__, type(ip.kernel).__name__, type(ip.parent).__name__, ip.kernel.parent.name",
    "ip.config, ip.parent.config.get('IPKernelApp', {}).keys() - {'connection_file'}",
    "ip.history_manager.enabled, ip.history_manager.db_cache_size, ip.history_length",
    "sys.modules['__main__'].__dict__ is globals(), sys.modules['__main__'].__name__",
    "type(exit).__name__, type(quit).__name__, input.__func__.__name__, display.__name__",
    # These two come with the debugger, which is imported later.
    "sorted(vars(builtins).keys() - {'execfile', 'runfile'})",
    "[type(one).__name__ for one in ip.Completer.matchers][:3], ip.Completer.use_jedi",
    "hash('a') == hash('a'), repr(sys.version_info), sys.dont_write_bytecode, sys.pycache_prefix",
    "ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)",
    "os.path.exists(ip.kernel.parent.abs_connection_file), ip.kernel.parent.transport, ip.kernel.implementation",
)


def properties(player):
    """Return what a kernel says of itself, {expression: text}."""
    cell = player.run(BEGIN + f"{{expression: repr(eval(expression)) for expression in {PROPERTIES!r}}}")
    assert not cell.error, cell.text
    return ast.literal_eval(re.sub("0x[0-9a-f]{6,}", "0x…", cell.text))


@pytest.fixture(autouse=True)
def where_this_is_found(monkeypatch):
    """The folder of this package, which a restart needs to find, is the user's own entry as well."""
    monkeypatch.setenv("PYTHONPATH", str(Path(ipy_autorestart.__file__).parent.parent))


LOAD, LITTLE = "import time; time.sleep(0.5)", "pass"


@pytest.mark.parametrize(
    ("options", "load"),
    [("", ""), ("--cold", ""), ("--rerun all", ""), ("--rerun all", LITTLE), ("--rerun all", LOAD)],
)
def test_a_kernel_that_has_restarted_says_the_same_of_itself(kernel, project, options, load):
    expected = properties(kernel)
    kernel.client.execute(PATIENT, silent=True, store_history=False)
    watching = kernel.run(f"%watch_restart src/ {options}")
    kernel.wait(lambda: "running" in watching.text)
    if load:  # a proxy has the next kernel then, or a checkpoint with what was loaded
        until_armed(kernel)
    kernel.run(load)
    kernel.run("import sys; sys.path.insert(0, 'src'); import a; sys.path.remove('src')")
    for number in (1, 2):
        project.save("src/a.py", f"V = {number + 1}\n")
        again = f".*rerun in.* {number} restart" if "--rerun" in options else f"{number} restart"
        kernel.wait(lambda again=again: re.search(f"running.*· {again}", watching.text))
        assert load != LOAD or "saved" in watching.text
        found = properties(kernel)
        differ = {name for name in found if found[name] != expected[name]}
        assert [(name, expected[name], found[name]) for name in differ] == []
