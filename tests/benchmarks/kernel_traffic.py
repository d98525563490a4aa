"""A kernel's everyday work while it is watched, beside a plain kernel's: the round trip of a cell, and much output.

    python tests/benchmarks/kernel_traffic.py [--rounds 9] [--cells 50] [--megabytes 40] [--python other/bin/python]

Three kernels run side by side: a plain one, and two that restart themselves and run their cells again, one of them by
exec: it notes the same of each cell, and has no proxy. In each round so many cells are sent to each, in turn and in
random order, none before the last one is done; a round trip is from a cell that shows a number to its reply and its
``idle``. "More" is the difference to the plain kernel's of the same turn. Then each, in random order, has a cell that
writes the megabytes in pieces of 100 kB; its rate is from the cell to its ``idle``, with all of them received. Ratios
are medians of those of each turn.

In brackets stands where a watched kernel lives, which has restarted once before: behind a proxy, or, as after an exec,
in the process that its server knows. ``--python`` measures the same with another environment too, such as one with
ipykernel 6.
"""

import contextlib
import random
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import kernels
import report

PLAIN = "plain kernel"
PIECE = 100_000
FLOOD = "import sys\nfor _ in range({}): sys.stdout.write('x' * {}); sys.stdout.flush()"
CELL_ID = "measured"  # as a page has it that runs one cell again and again


def start_all(stack, root):
    """Start the kernels; return {name: player}."""
    players = {PLAIN: stack.enter_context(kernels.start(Path(root, "plain")))}
    for number, options in enumerate((kernels.COLD, kernels.RERUN)):
        folder = Path(root, str(number))
        player = stack.enter_context(kernels.start(folder))
        status = kernels.watch(player, options)
        (folder / "src/a.py").write_text("V = 1\n")
        player.wait(lambda status=status: "· 1 restart" in status.text)
        players[f"%watch_restart src/ {options} ({kernels.way_of(player)})"] = player
    for player in players.values():
        kernels.settle(player)
    return players


def round_trip(player):
    """Return the milliseconds that a cell takes."""
    begun = time.time()
    cell = player.send("1", cell_id=CELL_ID)
    [done] = kernels.moments(player, lambda: cell.done)
    return (done - begun) * 1000


def rate(player, megabytes):
    """Return the megabytes that arrive in a second; raises `queue.Empty` if something is missing."""
    pieces = max(1, round(megabytes * 1e6 / PIECE))
    begun = time.perf_counter()
    cell = player.send(FLOOD.format(pieces, PIECE), cell_id=CELL_ID)
    received, idle = 0, False
    while received < pieces * PIECE or not idle:
        message = player.client.get_iopub_msg(timeout=kernels.PATIENCE)
        if message["parent_header"].get("msg_id") == cell.id:
            received += len(message["content"].get("text", ""))
            idle = idle or message["content"].get("execution_state") == "idle"
    seconds = time.perf_counter() - begun
    player.wait(lambda: cell.reply is not None)
    return received / 1e6 / seconds


def measure(rounds, cells, megabytes):
    """Return milliseconds of round trips and megabytes per second, each as {name: [figure, …]}."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root, contextlib.ExitStack() as stack:
        players = start_all(stack, root)
        trips, rates = {name: [] for name in players}, {name: [] for name in players}
        for number in range(-1, rounds):
            report.progress(f"kernel traffic: {report.round_of(number, rounds)}")
            for found, turns, act in ((trips, cells, round_trip), (rates, 1, lambda player: rate(player, megabytes))):
                for _ in range(turns):
                    for name in random.sample(list(players), len(players)):
                        figure = act(players[name])
                        if number >= 0:
                            found[name].append(figure)
    return trips, rates


def show_trips(trips):
    plain, rows = trips[PLAIN], []
    for name, each in trips.items():
        more = [mine - other for mine, other in zip(each, plain, strict=True)]
        rows.append((name, report.spread(each, digits=2), report.spread(more, digits=2), ratio(each, plain)))
    title = f"round trip of a cell, ipykernel {version('ipykernel')}: medians of {len(plain)} (quartiles)"
    report.table(title, ("", "ms", "more, ms", "× plain"), rows)


def show_rates(rates, megabytes):
    plain = rates[PLAIN]
    rows = [(name, report.spread(each, digits=0), ratio(each, plain)) for name, each in rates.items()]
    title = f"{megabytes:g} MB of output, ipykernel {version('ipykernel')}: medians of {len(plain)} (quartiles)"
    report.table(title, ("", "MB/s", "× plain"), rows)


def ratio(theirs, plain):
    return report.times(report.ratio(theirs, plain))


def main():
    parser = kernels.options(__doc__, rounds=9)
    parser.add_argument("--cells", type=int, default=50, metavar="N")
    parser.add_argument("--megabytes", type=float, default=40, metavar="N")
    options = parser.parse_args()
    trips, rates = measure(options.rounds, options.cells, options.megabytes)
    show_trips(trips)
    show_rates(rates, options.megabytes)
    report.measured_with(kernels.PACKAGES, rounds=options.rounds)
    kernels.measure_with_others()


if __name__ == "__main__":
    main()
