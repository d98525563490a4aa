"""The state of a shell as plain data, to be compared with that of another one; runs in both of them."""

import collections
import hashlib
import io
import json
import os
import random
import sys
import types

from ipy_autorestart.ipython import ledger

#: Names of the shell's own, which have no part in what the cells have made.
SHELLS = {"In", "Out", "exit", "quit", "get_ipython", "open"}

#: Of cells that take long.
LONG = "\n# takes long"

#: Kinds of objects that are no others than those with the same value.
PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), range, slice)


class Plain:
    """Makes plain data of objects: the same of two that only their ids tell apart.

    What is met again is told as that, so that two names for one object are none for two equal ones.
    """

    def __init__(self, is_ours):
        self._is_ours = is_ours  # whether a module, by its name, is of the project
        self._met = {}

    def of(self, value):
        kind = type(value)
        if kind in PLAIN:
            return [kind.__name__, repr(value)]
        if id(value) in self._met:
            return ["met", self._met[id(value)][0]]
        self._met[id(value)] = (len(self._met), value)  # which keeps the id from being used again
        return [f"{kind.__module__}.{kind.__qualname__}", self._parts(value, kind)]

    def _parts(self, value, kind):
        match value:
            case list() | tuple() | collections.deque():
                return [self.of(each) for each in value]
            case dict():
                return [[self.of(key), self.of(each)] for key, each in value.items()]
            case set() | frozenset():
                return sorted(map(repr, value))
            case types.ModuleType():
                is_current = sys.modules.get(value.__name__) is value
                return [value.__name__, is_current, self._members(value) if self._is_ours(value.__name__) else None]
            case types.FunctionType():
                made_in = sys.modules.get(value.__module__)
                is_current = made_in is not None and vars(made_in) is value.__globals__
                cells = [self.of(cell.cell_contents) for cell in value.__closure__ or ()]
                return [value.__module__, is_current, self._code(value.__code__), self.of(value.__defaults__), cells]
            case types.MethodType():
                return [self.of(value.__func__), self.of(value.__self__)]
            case types.GeneratorType():
                frame = value.gi_frame
                return [self._code(value.gi_code), frame and [frame.f_lasti, self.of(dict(frame.f_locals))]]
            case type():
                current = getattr(sys.modules.get(value.__module__), value.__qualname__, None)
                members = self._members(value) if self._is_ours(value.__module__) else None
                return [value.__module__, value.__qualname__, current is value, members]
            case BaseException():
                return [self.of(value.args)]
            case io.IOBase():
                place = None if value.closed else [value.tell(), os.lseek(value.fileno(), 0, os.SEEK_CUR)]
                return [str(getattr(value, "name", "")), getattr(value, "mode", ""), place]
            case random.Random():
                return short(value.getstate())
        if kind.__module__ == "numpy":
            if kind.__name__ == "ndarray" and value.dtype != object:
                return [str(value.dtype), value.shape, short(value.tobytes())]
            return repr(value)
        if kind.__module__.startswith("pandas."):
            return (
                [short(value.to_csv()), str(getattr(value, "dtypes", ""))] if hasattr(value, "to_csv") else repr(value)
            )
        if kind.__name__.endswith("_iterator"):
            return repr(value.__reduce__()[1:])
        return self.of(vars(value)) if hasattr(value, "__dict__") and self._is_ours(kind.__module__) else None

    def _members(self, owner):
        found = {name: value for name, value in vars(owner).items() if not name.startswith("__")}
        return [[name, self.of(value)] for name, value in found.items()]

    def _code(self, code):
        inner = [self._code(one) if isinstance(one, types.CodeType) else repr(one) for one in code.co_consts]
        return short((code.co_code, inner, code.co_names, code.co_varnames))


def short(value):
    """Return few characters for something long."""
    return hashlib.sha1(repr(value).encode()).hexdigest()[:12]


class Digest:
    """The state of a shell from now on: what cells have changed since."""

    def __init__(self, shell, root):
        self._shell, self._root = shell, root
        self._environment, self._path = dict(os.environ), list(sys.path)
        self.log = []
        shell.events.register("post_run_cell", self._note)

    def _note(self, result):
        """Note an execution, but neither of code that a cell runs by the shell nor of the cell that makes this."""
        if result is None or not result.info.store_history or "digest.Digest(" in result.info.raw_cell:
            return
        shell = self._shell
        kernel, again = getattr(shell, "kernel", None), False
        request = kernel.get_parent("shell")["header"]["msg_id"] if kernel else ""
        if kernel:
            again = shell._ipy_autorestart.recorder.is_running_again
        self.log.append([os.getpid(), again, request, result.execution_count, result.info.raw_cell])

    def _is_ours(self, name):
        file = getattr(sys.modules.get(name), "__file__", None) or ""
        return name == "__main__" or file.startswith(self._root)

    def state(self):
        """Return all that cells can find of what cells have done."""
        shell, plain = self._shell, Plain(self._is_ours)
        names = {name for name in shell.user_ns if not name.startswith("_")} - SHELLS
        ours = [name for name in sorted(filter(self._is_ours, list(sys.modules))) if name != "__main__"]
        history, first = shell.history_manager, self.log[0][3] if self.log else 0
        return {
            "names": {name: plain.of(shell.user_ns[name]) for name in sorted(names)},
            "modules": {name: plain.of(sys.modules[name]) for name in ours},
            "In": history.input_hist_parsed[first:],
            "raw": history.input_hist_raw[first:],
            "Out": {str(number): plain.of(value) for number, value in shell.user_ns["Out"].items() if number >= first},
            "_": plain.of(shell.user_ns["_"]),
            "_i": plain.of(shell.user_ns["_i"]) if len(self.log) > 1 else None,
            "folder": os.getcwd(),
            "folders": list(map(str, shell.user_ns["_dh"][1:])),
            "environment": {
                name: os.environ.get(name)
                for name in sorted({*os.environ, *self._environment})
                if os.environ.get(name) != self._environment.get(name)
            },
            "path": [one for one in sys.path if one not in self._path],
            "random": short(random.getstate()),
            "numpy": "numpy" in sys.modules and short(sys.modules["numpy"].random.get_state()),
        }

    def is_worth(self, again_one_in):
        """Return a rule: a checkpoint is worth it at the beginning, and after cells that say that they take long.

        Of those that run again it is only after one in so many, by their numbers.
        """

        def is_worth(_work, _cost):
            if not self.log:
                return True
            _, again, _, number, code = self.log[-1]
            return LONG in code and not (again and number % again_one_in)

        return is_worth

    def past(self):
        """Return by which kernel it is told, and the executions of which its state was made, as text."""
        return json.dumps({"pid": os.getpid(), "log": self.log})

    def told(self):
        """Return the state of a kernel and how it came about, as text."""
        recorder = self._shell._ipy_autorestart.recorder
        told = {
            "state": self.state(),
            "log": self.log,
            "pid": os.getpid(),
            "next": self._shell.execution_count,
            "ledger": ledger.to_plain(recorder.ledger),
        }
        return json.dumps(told, default=sorted)  # sets
