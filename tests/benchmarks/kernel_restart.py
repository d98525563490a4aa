"""From a save to a kernel that answers: this project's restart in place beside ``KernelManager.restart_kernel``.

    python tests/benchmarks/kernel_restart.py [--rounds 9] [--import numpy,pandas]

Two kernels run all the time. In each round, in random order, a file that one of them watches is saved, and the other is
restarted by its manager; each is done when it has answered a ``kernel_info_request`` (for the manager, as
``wait_for_ready`` sees to it) and then a cell, which imports what is asked for. Times are from just before the save,
with the 50 ms of quiet that end a burst, and from just before the call.

Where a restart's milliseconds go (ipykernel 7.4; each stage's end since the SIGHUP, by stamps put into a copy of the
code, on a machine that was about a third slower than when the README's figures were taken):

      6  still: what runs has been answered, nothing is read any more
     30  the old life has ended: history, exit functions, children, connections
    105  the new interpreter is up, and the old memory gone
    225  what was carried is read, asyncio and this project imported
    510  ipykernel, IPython, zmq and jupyter_client imported
    590  the kernel's application, sockets and shell made, without the debugger, which is made when it is asked for
    625  the clients are there again, the extension is loaded
    637  the first request is answered
"""

import os
import random
import sys
import tempfile
import time
from pathlib import Path

import report

sys.path.insert(0, str(Path(__file__).parents[2] / "notebooks"))
from play import kernel


def environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


class InPlace:
    """A kernel that watches a file."""

    name = "saved, restarted in place"

    def __init__(self, player, file):
        self.player, self.file, self.number = player, file, 0
        player.run("%load_ext ipy_autorestart")
        self.cell = player.run(f"%watch_restart {file.parent}")
        player.wait(lambda: "running" in self.cell.text)

    def restart(self):
        self.number += 1
        text = f"V = {self.number}\n"
        seen = len(self.player.others)
        begun = time.perf_counter()
        self.file.write_text(text)
        self.player.wait(lambda: any(is_start(message) for message in self.player.others[seen:]))
        message = self.player.client.session.msg("kernel_info_request")
        self.player.client.shell_channel.send(message)
        while self.player.client.get_shell_msg(timeout=30)["parent_header"]["msg_id"] != message["header"]["msg_id"]:
            pass
        return time.perf_counter() - begun

    def settle(self):
        self.player.wait(lambda: f"· {self.number} restart" in self.cell.text)


def is_start(message):
    return message["content"].get("execution_state") == "starting"


class Managed:
    """A kernel that its manager restarts."""

    name = "restart_kernel(), wait_for_ready()"

    def __init__(self, player):
        self.player = player

    def restart(self):
        begun = time.perf_counter()
        self.player.manager.restart_kernel()
        self.player.client.wait_for_ready(timeout=60)
        return time.perf_counter() - begun

    def settle(self):
        pass


def main():
    parser = report.options(__doc__, rounds=9)
    parser.add_argument("--import", dest="names", default="")
    options = parser.parse_args()
    code = f"import {options.names}" if options.names else "1"
    times = {}
    with (
        tempfile.TemporaryDirectory() as root,
        kernel(cwd=root, env=environment()) as one,
        kernel(cwd=root, env=environment()) as two,
    ):
        file = Path(root, "src/a.py")
        file.parent.mkdir()
        file.write_text("V = 0\n")
        both = (InPlace(one, file), Managed(two))
        for number in range(-2, options.rounds):
            report.progress(f"kernel restart: {report.round_of(number, options.rounds)}")
            for target in random.sample(both, 2):
                time.sleep(0.5)
                begun = time.perf_counter()
                answered = target.restart()
                target.player.run(code)
                done = time.perf_counter() - begun
                target.settle()
                if number >= 0:
                    times.setdefault(target.name, []).append((answered * 1000, done * 1000))
    show(times)
    report.measured_with(("ipykernel", "ipython", "pyzmq", "jupyter-client"), rounds=options.rounds)


def show(times):
    ours, rows = [answered for answered, _ in times[InPlace.name]], []
    for name in (InPlace.name, Managed.name):
        answered, done = zip(*times[name], strict=True)
        ratio = report.times(report.ratio(answered, ours))
        rows.append((name, report.spread(answered, digits=0), report.spread(done, digits=0), ratio))
    title = f"kernel restart: ms, medians of {len(ours)} rounds (quartiles)"
    report.table(title, ("", "answers", "has run a cell", "× ours"), rows)


if __name__ == "__main__":
    main()
