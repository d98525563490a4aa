"""A process that runs notebooks as a fresh kernel does, each in a fork of it, so that one takes milliseconds."""

import base64
import contextlib
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback


class Reference:
    """That process; a context manager.

    Parameters
    ----------
    warm
        Modules that it imports once for all.
    errors
        How it shows errors, as ``%xmode`` names it.
    """

    def __init__(self, *warm, errors="Context"):
        self._warm, self._errors = warm, errors

    def __enter__(self):
        code = f"import reference; reference.serve({self._warm!r}, {self._errors!r})"
        paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **paths, "MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        )
        assert self._process.stdin
        assert self._process.stdout
        self._asks, self._answers = self._process.stdin, self._process.stdout
        return self

    def __exit__(self, *_):
        self._asks.close()
        self._process.wait()
        self._answers.close()

    def run(self, folder, log, *, following):
        """Run a log in a folder: numbers of executions and code; the next cell would have the number ``following``.

        Returns the state as `digest` tells it, and what each execution has shown, as `shown`.
        """
        self._asks.write(json.dumps([str(folder), log, following]) + "\n")
        self._asks.flush()
        answer = json.loads(self._answers.readline())
        assert "failed" not in answer, answer["failed"]
        return answer["state"], answer["shown"]


def serve(warm, errors):
    """Be that process."""
    shell, shown = make_shell()
    shell.InteractiveTB.set_mode(errors)
    for name in warm:  # which may find the shell
        __import__(name)
    shell.run_cell("__import__('digest'); 1 / 0", silent=True)  # imports what shows errors
    sys.dont_write_bytecode, sys.pycache_prefix = True, os.devnull  # what lies there may be older than its source
    gc.collect()
    gc.freeze()
    answers = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    for line in sys.stdin:
        folder, log, following = json.loads(line)
        before, (told, tell) = set(sys.modules), os.pipe()
        if (pid := os.fork()) == 0:
            os.setsid()
            try:
                answer = play(shell, shown, folder, log, following)
            except BaseException:  # noqa: BLE001  # it is told, whatever it is
                answer = {"failed": traceback.format_exc()}
            with open(answers, "w") as file:
                file.write(json.dumps(answer) + "\n")
            with open(tell, "w") as file:
                file.write("\n".join(elsewhere(set(sys.modules) - before, folder)))
            os.killpg(0, signal.SIGKILL)
        os.close(tell)
        with open(told) as file:
            for name in file.read().split():  # which the next one has by then
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
                    gc.freeze()
        os.waitpid(pid, 0)


def elsewhere(names, folder):
    """Return the modules among these that come with Python or are installed."""
    files = {name: getattr(getattr(sys.modules[name], "__spec__", None), "origin", None) or "" for name in names}
    return [name for name, file in files.items() if file.endswith((".py", ".so")) and not file.startswith(folder)]


def make_shell():
    """Make a shell, and the list in which it keeps what it shows; standard streams go there, too."""
    from IPython.core.displayhook import DisplayHook
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets import Type
    from traitlets.config import Config

    shown = []

    class Stream:
        encoding, errors = "utf-8", "strict"

        def __init__(self, name):
            self._name = name

        def write(self, text):
            shown.append({"kind": "stream", "name": self._name, "text": text})
            return len(text)

        def flush(self):
            pass

        def isatty(self):
            return False

    class Publisher(DisplayPublisher):
        def publish(self, data, metadata=None, source=None, **_):
            shown.append({"kind": "display_data", "data": encoded(data)})

        def clear_output(self, wait=False):  # noqa: FBT002  # as IPython has it
            shown.append({"kind": "clear_output", "wait": wait})

    class Hook(DisplayHook):
        def write_output_prompt(self):
            pass

        def write_format_data(self, format_dict, md_dict=None):
            shown.append({"kind": "execute_result", "data": encoded(format_dict), "execution_count": self.prompt_count})

        def finish_displayhook(self):
            pass

    class Shell(InteractiveShell):
        display_pub_class = Type(Publisher)
        displayhook_class = Type(Hook)

        def _showtraceback(self, etype, evalue, stb):
            shown.append({"kind": "error", "ename": etype.__name__, "evalue": str(evalue), "traceback": stb})

        def enable_gui(self, gui=None):
            pass

    shell = Shell.instance(config=Config(HistoryManager={"enabled": False}))
    sys.stdout, sys.stderr = Stream("stdout"), Stream("stderr")
    return shell, shown


def encoded(data):
    return {kind: base64.b64encode(each).decode() if isinstance(each, bytes) else each for kind, each in data.items()}


def play(shell, outputs, folder, log, following):
    """Run a log as a kernel whose cells have these numbers."""
    import digest

    os.chdir(folder)
    shell.user_ns["_dh"][:] = [folder]
    number_from(shell, log[0][0])
    whole = digest.Digest(shell, folder)
    found = []
    for number, code in log:
        number_from(shell, number)
        outputs.clear()
        shell.run_cell(code, store_history=True)
        found.append(shown(outputs))
    number_from(shell, following)
    return {"state": whole.state(), "shown": found}


def number_from(shell, number):
    """Give the next cell this number."""
    shell.execution_count = number
    history = shell.history_manager
    for known in (history.input_hist_parsed, history.input_hist_raw):
        known.extend([""] * (number - len(known)))


def shown(outputs):
    """Return what a page has of some outputs, as comes to the same: streams don't wait for each other."""
    streams, rest, clearing = {"stdout": "", "stderr": ""}, list[object](), False
    for output in outputs:
        if output["kind"] == "clear_output" and output["wait"]:
            clearing = True
            continue
        if clearing or output["kind"] == "clear_output":
            streams, rest, clearing = dict.fromkeys(streams, ""), [], False
        match output["kind"]:
            case "stream":
                streams[output["name"]] += output["text"]
            case "error":
                rest.append({name: output[name] for name in ("ename", "evalue", "traceback")})
            case "display_data" | "execute_result":
                rest.append([output["data"], output.get("execution_count")])
    return [streams, rest]
