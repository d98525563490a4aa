"""From a save to the new code of a script in a terminal: this project's command line beside others'.

    python tests/benchmarks/terminal.py [--rounds 5] [--import bare,pandas] [--nodemon PATH]

Every program runs all the time in a project of its own. In each round, every one's ``src/mod.py`` is saved once by
rename, in random order, so that each round is one paired sample for each program, and the ratios are medians of those
of each round. The clock starts just before the rename. While one is measured, the others are stopped (SIGSTOP), as
some of them poll. They are commands as one types them, with what makes them faster where there is an option for it;
``restart_latency.py`` has the settings that only their APIs give. This project runs warm and ``--cold``.

The script goes on until it is stopped, and reports its first line and the end of its imports through a FIFO. What is
not there is left out and named; a restart that has not come within 20 s is a dash. ``servers.py`` is for servers.
"""

import peers
import projects
import report


class Script(projects.Script):
    """A script that goes on until it is stopped."""

    rows = (peers.OURS, peers.COLD, "watchfiles", "watchmedo", "nodemon", "nodemon, exec", "entr", "hupper")
    title = "script in a terminal"
    commands = staticmethod(peers.restarters)


def main():
    parser = report.options(__doc__, rounds=5)
    parser.add_argument("--import", dest="libraries", default="bare")
    parser.add_argument("--nodemon", default="")
    options = parser.parse_args()
    peers.heed_signals()
    paths = peers.find(options.nodemon)
    for library in options.libraries.split(","):
        peers.show(Script, library, options.rounds, peers.measure(Script, library, options.rounds, paths))
    peers.measured_with(paths, ("watchfiles", "watchmedo", "nodemon", "entr", "hupper"), options.rounds)


if __name__ == "__main__":
    main()
