"""Every message for users once: its text, where it is shown, what causes it, and what to do about it.

The code takes its texts from here, and the troubleshooting page is made of these rows. A text is lower case, one line
long, without a full stop: what was expected, what was found, what to do. Code that runs where this package is not,
in a script's process or on a cluster's machine, has its few sentences itself, and a test holds them to these.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Shown(Enum):
    """Places where a message is shown."""

    LINE = "Magics and the command line"
    CODE = "From Python code"
    STATUS = "The status line"
    CELL = "The cells of a notebook"
    CLUSTER = "Clusters"
    TABLE = "%watch_status"
    COPY = "No checkpoint after a cell"
    AHEAD = "Not imported ahead"
    WHY = "%watch_status --why"
    SERVER = "The log of the Jupyter server"


#: Sentences for all messages of a place, below its heading; such a message needs no fix of its own.
ADVICE = {
    Shown.COPY: (
        "A checkpoint is a copy of the kernel. There is none after a cell that leaves behind what a copy would lack or "
        "share. `%watch_status` tells the cell and the reasons. *What to do:* close it at the end of its cell "
        "(`with`), or load your data in an earlier cell. Until then a save goes back to a checkpoint before it."
    ),
    Shown.AHEAD: (
        "`%watch_status` tells which modules are not imported ahead, and why: `not NAME: …`. *What to do:* nothing. "
        "Each run imports such a module itself, as `python main.py` would. Only that part of the start isn't warm."
    ),
    Shown.WHY: (
        "Each line is one decision: what happened, and what follows. *What to do:* nothing, if that is what you want. "
        "[What counts as a change](what-counts.md) has the rules and the options."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """The end of a message that depends on what is there: a guess at what was meant, or what to do.

    Attributes
    ----------
    text
        With a field in braces for what is only known when it is shown, as `str.format` has them.
    many
        The text for several, with their ``count``; where it is empty, one reason stands for them all.
    """

    text: str
    many: str = ""

    def __call__(self, **fields: object) -> str:
        """Return the text with these fields."""
        return self.text.format(**fields)

    def counted(self, count: int, **fields: object) -> str:
        """Return the text for so many."""
        return self(**fields) if count == 1 or not self.many else self.many.format(count=count, **fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Hint):
    """One line that a user may see.

    Attributes
    ----------
    cause, fix
        Sentences for the troubleshooting page; what to do may be said of all messages of a place (`ADVICE`).
    shown
        The place where it is shown.
    """

    cause: str
    fix: str = ""
    shown: Shown = Shown.LINE


def every() -> dict[str, Message]:
    """Return all messages by their names, in the order of this file."""
    return {name: value for name, value in globals().items() if isinstance(value, Message)}


# What is watched and what runs.

NOTHING_NAMED = Message(
    text="expected a folder to watch or a script to run, such as: src/ or src/ main.py",
    cause="The line names neither a folder nor a script.",
    fix="Name a folder to restart the kernel, or a folder and a script to run the script.",
)
NO_SUCH_PATH = Message(
    text="{path}: there is no such file or folder in {folder}; {hint}",
    cause="A path that should be watched doesn't exist. Relative paths start from the current folder.",
    fix="Check the spelling and the current folder (`%pwd`), or create the folder first.",
)
NO_SUCH_SCRIPT = Message(
    text="{path}: there is no such script in {folder}; {hint}",
    cause="The script doesn't exist. Relative paths start from the current folder, or from `--cwd`.",
    fix="Check the spelling and the current folder.",
)
NO_SUCH_FOLDER = Message(
    text="--cwd: there is no folder {path}; {hint}",
    cause="The folder that the script should run in doesn't exist.",
    fix="Check the path, or create the folder first.",
)
UNREADABLE = Message(
    text="{path}: can't be read ({why}); check its permissions",
    cause="The file or folder exists, but this user may not read it.",
    fix="Change its permissions with `chmod`, or watch something else.",
)
FOLDER_GONE = Message(
    text="the current folder has been deleted; change to one that exists",
    cause="The current folder has been deleted, so relative paths lead nowhere.",
    fix="Change to an existing folder, in a notebook with `%cd`.",
)
NO_MAIN = Message(
    text="{path}: this folder has no __main__.py to run; name a script, or -m MODULE",
    cause="A folder was given as the script. Python can run a folder only if it has a `__main__.py`.",
    fix="Name the script in it, or run the package with `-m`.",
)
NOT_A_SCRIPT = Message(
    text="{path}: this is not a script or a folder with __main__.py; name a script, as in: src/ main.py",
    cause="The command line has no kernel to restart, so one of the paths has to be something that Python can run.",
    fix="Name a script after the folders, or use `%watch_restart` in a notebook to restart its kernel.",
)
NO_SCRIPT_NAMED = Message(
    text="expected a script to run, such as: src/ main.py or src/ -m app; for a kernel, use %watch_restart",
    cause="The command line names no script.",
    fix="Name a script, or a module with `-m`.",
)
NEEDS_SCRIPT = Message(
    text="{word}: it needs a script to run, such as main.py, or -m MODULE",
    cause="Arguments, `--cwd`, `--env` and `--python` are for a script, and the line names none.",
    fix="Name the script, or a module with `-m`.",
)
SCRIPT_OR_MODULE = Message(
    text="expected either a script or a module to run, got {script!r} and {module!r}; name one",
    cause="`Script` was given both a path and a module, or neither.",
    fix="Give one of the two.",
    shown=Shown.CODE,
)
NO_MODULE = Message(
    text="-m: expected the name of a module, got none; write -m MODULE",
    cause="`-m` is the last word of the line.",
    fix="Write the name of the module after it.",
)
TWO_MODULES = Message(
    text="-m: expected one module, got {module!r} and more; arguments of the script go after --",
    cause="The line has `-m` twice. The second one may have been meant for the program itself.",
    fix="Put the program's own arguments after `--`.",
)
NO_SUCH_MODULE = Message(
    text="--preload: there is no module {name}; {hint}",
    cause="The module isn't installed where this Python runs, nor does it lie beside the script.",
    fix="Check its name, or install it.",
)
NO_INTERPRETER = Message(
    text="--python: expected an interpreter such as python3 or .venv/bin/python, got {value!r}",
    cause="There is no such program, neither at that path nor on `PATH`.",
    fix="Give the path of the environment's Python, such as `.venv/bin/python`.",
)
NOT_TEXT = Message(
    text="expected arguments as text without NUL, such as '80', got {value!r}",
    cause="An argument isn't a string, or can't be passed to another program.",
    fix="Convert it with `str()`.",
    shown=Shown.CODE,
)

DID_YOU_MEAN = Hint(text="did you mean {near}?")
NO_FOLDER_EITHER = Hint(text="there is no folder {folder} either: check the path")
INSTALL_IT = Hint(text="install it, or check its name")
CHECK_NAME = Hint(text="check its name, or make it first")

# Options.

NO_SUCH_OPTION = Message(
    text="{word}: there is no such option; {hint}",
    cause="The option is misspelt, or it is meant for the script.",
    fix="Press Tab to complete options. Put the script's own arguments after `--`.",
)
NO_VALUE = Message(
    text="{flag}: expected a value, got none; write {flag}={metavar}",
    cause="The option needs a value.",
    fix="Write the value after it.",
)
VALUE_UNWANTED = Message(
    text="{flag}: expected no value, got {value}; write {flag} alone",
    cause="The option is a switch. Giving it switches it on.",
    fix="Leave out the `=` and the value.",
)
OTHER_TARGET = Message(
    text="{flag}: it is for a {kind}, but this restarts {target}; leave it out",
    cause="Some options are for scripts only, others for kernels only.",
    fix="Leave the option out.",
)
BAD_SECONDS = Message(
    text="expected seconds, a number from 0 to 3600 such as 0.5, got {value!r}",
    cause="The option takes a duration in seconds.",
    fix="Write a plain number without a unit.",
)
BAD_SIGNAL = Message(
    text="expected a signal such as SIGTERM or SIGINT, got {value!r}",
    cause="The system has no signal of that name.",
    fix="Use a name from `kill -l`.",
)
BAD_GLOB = Message(
    text="expected a glob such as '*.toml', got {value!r}",
    cause="The pattern is empty, or isn't text.",
    fix="Write a pattern as in a shell: `*.toml`, `conf/*.yaml`.",
)
OPEN_BRACKET = Message(
    text="expected a glob such as '*.[ch]', with its bracket closed, got {value!r}",
    cause="The pattern has a `[` without a `]`, so it would never match.",
    fix="Close the bracket, or write `[[]` for the character itself.",
)
BAD_CHOICE = Message(
    text="expected {most} or {last}, got {value!r}",
    cause="The option takes one of a few words.",
    fix="Use one of the words in the message.",
)
BAD_VARIABLE = Message(
    text="expected a variable and its value such as DEBUG=1, got {value!r}",
    cause="`--env` takes a name, an equals sign and a value.",
    fix="Write `--env NAME=VALUE`.",
)
BAD_ADDRESS = Message(
    text="expected a port, or host and port, such as 8000, 0.0.0.0:8000 or [::1]:8000, got {value!r}",
    cause="`--socket` takes a TCP address, and the port has to be from 1 to 65535.",
    fix="Write the port alone to listen on this machine only.",
)
BAD_MODULES = Message(
    text="expected modules such as numpy,torch, got {value!r}",
    cause="`--preload` takes names of modules, separated by commas.",
    fix="Write the names as in `import`, without spaces.",
)
BAD_PATH = Message(
    text="expected a path as text, such as 'src', got {value!r}",
    cause="A path isn't a string, or holds a character that no file name can have.",
    fix="Pass a string or a `pathlib.Path`.",
    shown=Shown.CODE,
)
BAD_FLAG = Message(
    text="expected True or False, got {value!r}",
    cause="The option is a switch.",
    fix="Pass `True` or `False`.",
    shown=Shown.CODE,
)
CANT_LISTEN = Message(
    text="--socket: can't listen on {address} ({why}); choose another port",
    cause="Another program has the port, or this user may not open it (ports below 1024).",
    fix="End the other program (`ss -ltnp` shows it), or choose another port.",
)

MISPLACED = Hint(text="put arguments of {script} after --")
THE_SCRIPT = Hint(text="the script")
SCRIPT_NAMED = Hint(text="the script {name}")
THE_KERNEL = Hint(text="the kernel")

# Magics by hand.

NOTHING_WATCHED = Message(
    text="nothing is watched; %watch_restart src/ main.py starts a watch",
    cause="No watch has been started in this kernel, or all have ended.",
    fix="Start one with `%watch_restart`.",
)
NO_SUCH_TARGET = Message(
    text="{word}: no such target; {hint}",
    cause="Nothing of that name is watched. A target is a script, `-m MODULE` or `kernel`.",
    fix="Use a name from `%watch_status`.",
)
BAD_VIEW = Message(
    text="%watch_status: expected nothing, --why or --json, got {value!r}",
    cause="`%watch_status` has only these two options.",
    fix="Leave the rest out.",
)
UNCLOSED = Message(
    text="{magic}: {trouble} in: {line}; close it, or escape it with a backslash",
    cause="The line has a quote without its partner, or ends with a backslash.",
    fix="Close the quote, or write `\\'` for the character itself.",
)
KERNEL_NOT_WATCHED = Message(
    text="--back: the kernel is not watched; start with %watch_restart src/ --checkpoints",
    cause="`--back` needs checkpoints, and they are only made while the kernel is watched.",
    fix="Start with `%watch_restart src/ --checkpoints` before the cells that you may want to undo.",
)
BAD_CELL = Message(
    text="--back: expected the number of a cell, as in its brackets, got {value!r}; {hint}",
    cause="`--back` takes one number, the one in the brackets beside a cell.",
    fix="Write `%watch_restart --back 7`, or `--back` alone to undo the last cell.",
)
NO_SUCH_CELL = Message(
    text="--back: there is no cell {cell}; {hint}",
    cause="No cell with that number has run since the last restart.",
    fix="Use a number that stands in the brackets beside a cell.",
)
NO_CHECKPOINT = Message(
    text="--back: there is no checkpoint{before}; to have some, watch with --checkpoints or --rerun",
    cause="None has been made yet, or none before that cell. Cells that take less than 0.3 s together get none.",
    fix="See `%watch_status`: it lists the checkpoints, and why there is none after some cells.",
)

BACK_OR_ALONE = Hint(text="write --back {last}, or --back alone")
NONE_RAN = Hint(text="none has run yet")
LAST_CELLS = Hint(text="the last are {numbers}")
NAME_A_TARGET = Hint(text="name one of those watched: {names}")
BEFORE_CELL = Hint(text=" before cell {cell}")

# What can't be restarted.

NO_SIGHUP = Message(
    text="this platform has no SIGHUP, which a restart needs; use Linux, macOS or WSL",
    cause="Windows has no such signal.",
    fix="Run Jupyter or the program in WSL.",
)
NO_KERNEL = Message(
    text="only a Jupyter kernel, or an IPython at a prompt, that has loaded the extension can be restarted; "
    "run %load_ext ipy_autorestart first, or name a script: src/ main.py",
    cause="The line asks for a restart of the kernel, but this process isn't one, or hasn't loaded the extension.",
    fix="Run `%load_ext ipy_autorestart` first. In a plain program, call `restart_on_change`.",
)
PART_OF_A_PROGRAM = Message(
    text="this kernel is part of another program ({program}), and a restart would cut it off; "
    "name a script, such as src/ main.py, or restart that program",
    cause="The kernel is embedded: an engine of ipyparallel, or a kernel that a program has started within itself.",
    fix="Watch a script instead. An ipyparallel engine is served by `--cluster`.",
)
NO_SUPERVISOR = Message(
    text="the supervisor can't be started: {error}; {hint}",
    cause="The system refused to start the small process that watches the files.",
    fix="Check `ulimit -u` and `ulimit -n`, and that the interpreter is still there.",
)
CANT_GO_ON = Message(
    text="can't go on: {error}; check the limits of processes and open files",
    cause="The system refused a process or a file that the watch needs.",
    fix="Check `ulimit -u` and `ulimit -n`.",
)

CHECK_LIMITS = Hint(text="check that {program} runs, and the limits of processes and open files")
TOO_MANY_VARIABLES = Hint(text="make the variables in os.environ fewer or shorter")

# Clusters.

NOT_A_CLIENT = Message(
    text="--cluster: {name} is not a client of a cluster (it is of type {kind}); name a client",
    cause="The variable holds something other than a client of Dask or ipyparallel.",
    fix="Name the variable with the client, or write the address or the file of the cluster.",
)
OWN_CLUSTER = Message(
    text="--cluster: the cluster of {name} ends and starts again with this process; leave the option out",
    cause="A cluster that the notebook has made itself closes when the kernel restarts, and is made again by its cell.",
    fix="Leave `--cluster` out. Its new workers have the new code.",
)
NOT_CONNECTED = Message(
    text="--cluster: {name} is not connected to a scheduler; connect it, or name an address or a file",
    cause="The client has been closed, or has lost its scheduler.",
    fix="Make a new client, or name the scheduler's address.",
)
FILE_UNKNOWN = Message(
    text="--cluster: can't tell which connection file {name} has read; name the file, such as ipcontroller-client.json",
    cause="The connection file of this ipyparallel client isn't in the folder of its profile.",
    fix="Write the path of the connection file after `--cluster`.",
)

# A program that restarts itself.

BAD_KEEP = Message(
    text="keep: expected an open socket, such as socket.create_server(...), got {value!r}",
    cause="`restart_on_change(keep=…)` takes sockets that are open.",
    fix="Pass the socket itself, before it is closed.",
    shown=Shown.CODE,
)
BAD_OPTIONS = Message(
    text="options: expected Options(...), got {value!r}",
    cause="`restart_on_change(options=…)` takes an `Options` object.",
    fix="Write `options=Options(debounce=0.2)`.",
    shown=Shown.CODE,
)
BAD_ENABLED = Message(
    text="enabled: expected True, False or None, got {value!r}",
    cause="`restart_on_change(enabled=…)` takes a bool, or None to ask the variable IPY_AUTORESTART.",
    fix="Pass a bool, such as `enabled=args.reload`.",
    shown=Shown.CODE,
)
NOT_MAIN_THREAD = Message(
    text="restart_on_change: only the main thread can handle SIGHUP; call it there, before others start",
    cause="Python lets only the main thread set signal handlers.",
    fix="Call `restart_on_change` at the top of the program.",
    shown=Shown.CODE,
)
IN_IPYTHON = Message(
    text="restart_on_change: this is IPython; use %load_ext ipy_autorestart, then %watch_restart src/",
    cause="In a notebook or IPython the kernel is what restarts, not the program.",
    fix="Use the magics.",
    shown=Shown.CODE,
)
NOT_REPEATABLE = Message(
    text="restart_on_change: this Python was started without a script; put the program in a file",
    cause="The program came from standard input or an interactive prompt, so that it can't be started again.",
    fix="Save it to a file and run that.",
    shown=Shown.CODE,
)
WATCHED_ALREADY = Message(
    text="restart_on_change: a watch is already running; close it first, or name all paths in one call",
    cause="`restart_on_change` was called twice.",
    fix="Name all folders in one call, or use it as a context manager.",
    shown=Shown.CODE,
)
RESTART_ELSEWHERE = Message(
    text="restart_if_changed: only the main thread can restart the program; call it there",
    cause="`restart_if_changed` was called in another thread.",
    fix="Call it in the main loop of the program.",
    shown=Shown.CODE,
)
CLOSE_ELSEWHERE = Message(
    text="only the main thread can end the watch; close it there",
    cause="The watch was closed in another thread.",
    fix="Close it in the main thread, or let the program end.",
    shown=Shown.CODE,
)
WATCH_AT_THE_PROMPT = Message(
    text="in a terminal, only the main thread can start a watch; type it at the prompt",
    cause="`%watch_restart src/` was called in another thread of IPython.",
    fix="Type it at the prompt.",
)

# The status line: a save that restarts nothing.

OLD_CODE_RUNS = Message(
    text="{error}; the old code keeps running",
    cause="The saved file has a syntax error.",
    fix="Fix it and save. The line shows the place.",
    shown=Shown.STATUS,
)
RUNS_WHEN_FIXED = Message(
    text="{error}; runs again when fixed",
    cause="The saved file has a syntax error, and the script isn't running.",
    fix="Fix it and save. The line shows the place.",
    shown=Shown.STATUS,
)
NOT_USED = Message(
    text="{files} changed, not used by {name}: not restarted (--all)",
    cause="The last run neither imported nor opened the file.",
    fix="Usually nothing. With `--all` every file counts; `--pattern` or its path on the line makes one file count.",
    shown=Shown.STATUS,
)
NOT_LOADED = Message(
    text="{files} changed, not loaded before: not restarted (--all)",
    cause="The file is compiled code that this kernel or program has never loaded.",
    fix="Usually nothing. With `--all` every file counts.",
    shown=Shown.STATUS,
)
SAME_CODE = Message(
    text="{files} changed: the code does the same, no restart (--strict)",
    cause="Only comments, layout or nothing at all changed in the file.",
    fix="Usually nothing. Use `--strict` if your code reads its own source.",
    shown=Shown.STATUS,
)
OWN_WRITES = Message(
    text="{files} was written by the run itself: not restarted",
    cause="The script wrote the file. A restart for it would have no end.",
    fix="Nothing. To restart for it all the same, use `%watch_restart --now`.",
    shown=Shown.STATUS,
)
CHANGED_WHILE_PAUSED = Message(
    text="{files} changed meanwhile",
    cause="Restarts are paused, so the change waits.",
    fix="Use `%watch_restart --resume`, or the button.",
    shown=Shown.STATUS,
)
LOOPING = Message(
    text="{files} changes after every start: waiting up to {most} before the next",
    cause="Each start changes a file that the script uses, such as a module that it generates, or a log that it reads.",
    fix="Leave the file out with `--ignore`, or don't write it if its content is the same.",
    shown=Shown.STATUS,
)
WAITS_FOR_IMPORTS = Message(
    text="restarts as soon as {what} is imported ahead",
    cause="A warm start is being prepared, and waiting for it is quicker than a cold start.",
    fix="Nothing: it starts by itself.",
    shown=Shown.STATUS,
)
LEFT_RUNNING = Message(
    text="processes that it started keep running until the next restart",
    cause="The script has ended, but programs that it started have not.",
    fix="Nothing. They are stopped before the next run, and by `%unwatch`.",
    shown=Shown.STATUS,
)

# The status line: what a watch meets.

NOTHING_MORE = Message(
    text="nothing is watched any more",
    cause="The process that watched the files was ended, for instance by the system when memory was short.",
    fix="Start the watch again.",
    shown=Shown.STATUS,
)
SUPERVISOR_ENDED = Message(
    text="the supervisor has ended; {why}",
    cause="The process that watched the files has ended.",
    fix="Start the watch again. If it happens twice, report it with the text after the semicolon.",
    shown=Shown.STATUS,
)
WATCH_LIMIT = Message(
    text="inotify watch limit reached ({advice}): {rest}",
    cause="The system allows each user a limited number of watched folders, and all are in use, often by an editor.",
    fix="Run the `sysctl` command in the message, or leave folders out with `--ignore`.",
    shown=Shown.STATUS,
)
INSTANCE_LIMIT = Message(
    text="inotify instance limit reached ({advice}): {rest}",
    cause="The system allows each user a limited number of programs that watch files, and all are in use.",
    fix="Run the `sysctl` command in the message.",
    shown=Shown.STATUS,
)
FILE_LIMIT = Message(
    text="too many open files (see: ulimit -n): {rest}",
    cause="This process has as many open files as the system allows it.",
    fix="Raise the limit with `ulimit -n` before you start Jupyter.",
    shown=Shown.STATUS,
)
WATCHING_FAILED = Message(
    text="watching failed ({error}): {rest}",
    cause="The system refused to report changes.",
    fix="Nothing: files are compared at intervals instead. `--poll` sets how often.",
    shown=Shown.STATUS,
)
MANY_FOLDERS = Message(
    text="{count} folders beyond {most} are checked at intervals",
    cause="So many separate folders are watched that not all can send events.",
    fix="Watch the folder that holds them, or leave some out with `--ignore`.",
    shown=Shown.STATUS,
)
SILENT_FILE_SYSTEM = Message(
    text="{path} is on {kind}, which doesn't report changes made elsewhere: checked at intervals",
    cause="Network file systems and folders shared with a virtual machine don't report changes that others make.",
    fix="Nothing: files are compared at intervals. `--poll` sets how often.",
    shown=Shown.STATUS,
)
NO_EVENT = Message(
    text="{path} changed without an event: all files are checked at intervals",
    cause="The system reported no event for a change, so that others may be missed, too.",
    fix="Nothing: files are compared at intervals from now on.",
    shown=Shown.STATUS,
)
NOT_THERE_YET = Message(
    text="{path} is missing; waiting for it to appear",
    cause="A watched folder was deleted or renamed.",
    fix="Nothing if it comes back, as after a `git checkout`. Else start the watch again.",
    shown=Shown.STATUS,
)
NOTHING_THERE = Message(
    text="nothing there to watch",
    cause="None of the paths exists any more.",
    fix="Check the paths, and start the watch again.",
    shown=Shown.STATUS,
)
CANT_READ = Message(
    text="can't read {path}: {why}",
    cause="This user may not read a watched file or folder.",
    fix="Change its permissions, or leave it out with `--ignore`.",
    shown=Shown.STATUS,
)
PORT_NOT_KEPT = Message(
    text="port {port} closes during a restart, as uvloop has opened it; --socket {port} with uvicorn's --fd 3 keeps it",
    cause="The server uses uvloop, which opens its port in C code; such a port can't be kept open over a restart.",
    fix="Add `--socket PORT`, and `--fd 3` to uvicorn's arguments; or use `--loop asyncio`.",
    shown=Shown.STATUS,
)

NOT_WATCHED = Message(
    text="{files} is read, but not watched: {line}",
    cause="The script reads or imports a file in its own folder that lies outside of what is watched.",
    fix="Start the watch with the line in the message, if a change of the file should restart the script.",
    shown=Shown.STATUS,
)
NOBODY_TO_ASK = Message(
    text="input() has nobody to ask here: pass arguments after --, or run ipy-autorestart in a terminal",
    cause="A script in a cell has no input: the cell shows its output while other cells run.",
    fix="Pass what it asks for as arguments behind `--`, or run it with `ipy-autorestart` in a terminal.",
    shown=Shown.STATUS,
)
LISTING = Message(
    text="looking at {count} files and folders so far; name a smaller folder, or leave some out with --ignore",
    cause="The first look at what is watched takes longer than a second.",
    fix="Watch the folder of your code, or leave out what isn't yours with `--ignore`.",
    shown=Shown.STATUS,
)
MEMORY_LOST = Message(
    text="a restart empties the memory; --rerun all runs the cells again",
    cause="A restart of the kernel begins with nothing. This is said once, when the watch begins.",
    fix="Add `--rerun all` to have the cells run again, or `--checkpoints` to keep what they have made.",
    shown=Shown.STATUS,
)
MEMORY_LOST_RERUN = Message(
    text="a restart empties the memory and runs cells again",
    cause="With `--cold` each restart begins with nothing. This is said once, when the watch begins.",
    fix="Take `--cold` away to keep what cells have made before they used the changed file.",
    shown=Shown.STATUS,
)
MEMORY_KEPT = Message(
    text="a restart keeps what cells made before they first used a changed file",
    cause="The kernel goes back to a checkpoint. This is said once, when the watch begins.",
    fix="Nothing: load data first, and import the project afterwards.",
    shown=Shown.STATUS,
)
MEMORY_KEPT_RERUN = Message(
    text="a restart keeps what cells made before they first used a changed file, and runs the others again",
    cause="The kernel goes back to a checkpoint and runs the cells behind it. This is said when the watch begins.",
    fix="Nothing: load data first, and import the project afterwards.",
    shown=Shown.STATUS,
)
NEW_CODE_FAILED = Message(
    text="{error}; the next change starts it again",
    cause="An exception has ended the new code of a program that restarts itself. Its process and sockets stay.",
    fix="Fix it and save.",
    shown=Shown.STATUS,
)

MORE_UNREAD = Hint(text="{count} more can't be read")
PART_POLLED = Hint(text="{watched} of {wanted} folders send events, the rest is checked at intervals")
RAISE_LIMIT = Hint(text="fs.inotify.{name} = {now}; raise it with: sudo sysctl fs.inotify.{name}={enough}")
RAISE_UNKNOWN = Hint(text="fs.inotify.{name}; raise it with: sudo sysctl fs.inotify.{name}={enough}")

# The status line: a kernel or program that can't restart, and goes on as it is.

INTERPRETER_GONE = Message(
    text="the interpreter {path!r} is gone or can't be run; restart by hand",
    cause="The environment was deleted or replaced while Python was running.",
    fix="Recreate the environment, and restart the kernel or program by hand.",
    shown=Shown.STATUS,
)
PACKAGE_GONE = Message(
    text="{path!r} is gone; install ipy_autorestart again and restart by hand",
    cause="The package was removed or moved while it was running.",
    fix="Install it again, and restart the kernel or program by hand.",
    shown=Shown.STATUS,
)
START_UNKNOWN = Message(
    text="can't tell how this process was started, {argv}; restart by hand",
    cause="The command line doesn't tell what Python runs.",
    fix="Restart it by hand.",
    shown=Shown.STATUS,
)
START_FOLDER_GONE = Message(
    text="the folder {path!r} where it was started is gone; create it again",
    cause="A program starts again in the folder where it was started first, and that was deleted.",
    fix="Create the folder, and save again.",
    shown=Shown.STATUS,
)
START_FOLDER_CLOSED = Message(
    text="the folder {path!r} where it was started can't be entered any more",
    cause="The permissions of that folder have changed.",
    fix="Change them back, and save again.",
    shown=Shown.STATUS,
)
PROGRAM_GONE = Message(
    text="{path!r} is gone or can't be read; put it back",
    cause="The program's own file was deleted, moved or made unreadable.",
    fix="Put it back.",
    shown=Shown.STATUS,
)
BROKEN_PROGRAM = Message(
    text="syntax error at {place}: {error}",
    cause="A module of the program has a syntax error, so that it couldn't start again.",
    fix="Fix it and save.",
    shown=Shown.STATUS,
)
NO_ROOM = Message(
    text="no room for what the restart hands over ({error}); close files, or free memory",
    cause="A restart hands over queued requests and settings in a file without a name, and the system refused one.",
    fix="Close files or free memory, and save again.",
    shown=Shown.STATUS,
)
SOCKETS_NOT_KEPT = Message(
    text="the sockets can't be kept ({error}); close files",
    cause="The program has as many open files as the system allows it.",
    fix="Close files, or raise `ulimit -n`.",
    shown=Shown.STATUS,
)
WATCH_GONE = Message(
    text="the watch has ended meanwhile",
    cause="The watch ended while its restart was waiting.",
    fix="Start the watch again.",
    shown=Shown.STATUS,
)
CHECKPOINT_GONE = Message(
    text="the checkpoint is gone, or files that it used have changed",
    cause="`--back` was called, but the checkpoint had ended by the time that the kernel was idle.",
    fix="Look at `%watch_status`, and name an older cell.",
    shown=Shown.STATUS,
)
CLUSTER_LATE = Message(
    text="the cluster did not get the new code in time",
    cause="A worker didn't answer within `--cluster-timeout`.",
    fix="Look at the workers' logs, or raise `--cluster-timeout`.",
    shown=Shown.STATUS,
)

# Cells that run again.

OUT_OF_DATE = Message(
    text="out of date: this cell has not run since the files changed",
    cause="A cell above it failed in a rerun, or the rerun was stopped. This one still shows what the old code made.",
    fix="Fix the error and save, or run the cell by hand.",
    shown=Shown.CELL,
)
NO_INPUT = Message(
    text="no input while cells run again: run this cell by hand, or leave it out with #| rerun: false",
    cause="The cell calls `input()` or a debugger, and in a rerun there is nobody to answer.",
    fix="Write `#| rerun: false` in the cell.",
    shown=Shown.CELL,
)
KERNEL_DIED = Message(
    text="the kernel {how} while this ran; a new one has taken over",
    cause="The kernel's process ended in this cell: a crash in C code, `os._exit`, or no memory left.",
    fix="Look at what the cell does. What earlier cells had made was kept, or they ran again.",
    shown=Shown.CELL,
)
OUTPUT_LEFT_OUT = Message(
    text="… {what} left out …",
    cause="The script prints more than a page can take: a few hundred kB per second. Beginning and end are shown.",
    fix="Print less, or write it to a file.",
    shown=Shown.CELL,
)
DISPLAY_LEFT_OUT = Message(
    text="… a display of {what} MB left out …",
    cause="The script shows a figure, table or page that is too large for a cell.",
    fix="Make it smaller: fewer points, a lower resolution, the head of a table.",
    shown=Shown.CELL,
)
LINES_OUT = Hint(text="{count} lines, {size}")
DIED_RERUNNING = Message(
    text="the kernel {how} while its cells ran again; none is run now",
    cause="A cell ended the kernel's process in a rerun. Running it once more would do the same.",
    fix="Fix what ends it and save, or leave the cell out with `#| rerun: false`.",
    shown=Shown.STATUS,
)
NO_CHECKPOINT_LEFT = Message(
    text="no checkpoint is left; no cell is run again",
    cause="`--back` was called, but by then all checkpoints had ended, for example because memory was short.",
    fix="Run the cells that you need.",
    shown=Shown.STATUS,
)
NO_RERUN_HERE = Message(
    text="no cell is run again: this ipykernel is not supported",
    cause="Cells run again with ipykernel 6.29 to 7 only.",
    fix="Install such a version, or run the cells by hand.",
    shown=Shown.STATUS,
)
RERUN_FAILED = Message(
    text="the cells could not be run again: {why}",
    cause="The rerun was ended by code in the kernel, or by a fault of this package.",
    fix="Run the cells by hand. If it happens again, report it with the text after the colon.",
    shown=Shown.STATUS,
)
RERUN_STOPPED_AT = Message(
    text="stopped at {cells}: {error}",
    cause="The cell failed in the rerun, with an error that it didn't have when you ran it.",
    fix="Fix the file and save: all cells run again. The traceback stands below the cell.",
    shown=Shown.STATUS,
)
RERUN_INTERRUPTED = Message(
    text="stopped before {cells}: interrupted",
    cause="You have pressed the stop button in a rerun.",
    fix="Run the cells by hand, or save once more.",
    shown=Shown.STATUS,
)
OLD_OUTPUT = Message(
    text="{cells} {shows} old output",
    cause="The rerun stopped before these cells.",
    fix="Fix the cell at which it stopped, and save.",
    shown=Shown.STATUS,
)
FAILED_AS_BEFORE = Message(
    text="failed as before: {cells}",
    cause="The cell had an error of this type already when you ran it, so the rerun went on.",
    fix="Nothing, if the error is meant.",
    shown=Shown.STATUS,
)
LEFT_OUT = Message(
    text="left out: {cells}",
    cause="These cells didn't run again, for the reason in brackets: they write watched files, or were interrupted.",
    fix="Run them by hand if you need them. What ran before `%load_ext` isn't known, so load the extension first.",
    shown=Shown.STATUS,
)
YOURS_TO_RUN = Message(
    text="{cells} {are} to be run again",
    cause="Without `--rerun` the kernel goes back, and what these cells had made is gone.",
    fix="Run them, or watch with `--rerun all`.",
    shown=Shown.STATUS,
)

# What %watch_status lists.

NO_CHECKPOINT_AFTER = Message(
    text="no checkpoint after cell {cell}: {why}",
    cause="The cell has left something that a copy of the kernel would lack: a thread, a connection, a program.",
    fix="Close it at the end of its cell (`with`), or load the data in an earlier cell. A save goes back to before it.",
    shown=Shown.TABLE,
)
NO_WARM_START = Message(
    text="starts are cold: preparing a warm start failed again and again",
    cause="The process that imports libraries ahead ended several times, for example because memory was short.",
    fix="See what `logging.getLogger('ipy_autorestart')` logs. To try again, start the watch again.",
    shown=Shown.TABLE,
)
LEFT_TO_THE_RUN = Message(
    text="not {module}: {why}",
    cause="The module isn't imported ahead, as its import does something that belongs in the run, such as a thread.",
    fix="Nothing: each run imports it itself, as `python main.py` would. Only that part of the start isn't warm.",
    shown=Shown.TABLE,
)
AFTER_A_VARIABLE = Message(
    text="not what is imported after {variable} is set, from the first compiled module on",
    cause="The script sets a variable of the environment that compiled code may read when it is imported.",
    fix="Set it outside the script, for example with `--env`. Then everything can be imported ahead.",
    shown=Shown.TABLE,
)

WARM_IS_MADE = Hint(text="a warm start is being made ready")

# Clusters: why the new code isn't there. Nothing runs with a mixture of old and new code.

NO_NANNY = Message(
    text="no nanny restarts {workers}: start the workers without --no-nanny, or LocalCluster with processes",
    cause="A worker of Dask that holds old code has to restart, and only a nanny can start it again.",
    fix="Start the workers with `dask worker` without `--no-nanny`, or make the `LocalCluster` with `processes=True`.",
    shown=Shown.CLUSTER,
)
OTHER_PYTHON = Message(
    text="Python {theirs} on {workers}, {ours} here: use the same on both",
    cause="The cluster runs another version of Python, so that neither code nor data can be exchanged safely.",
    fix="Use the same minor version, such as 3.12, on the cluster and here.",
    shown=Shown.CLUSTER,
)
OTHER_ENGINE = Message(
    text="{engine} {theirs} on {workers}, {ours} here: install the same",
    cause="The cluster runs another version of Dask or ipyparallel.",
    fix="Install the same version on the cluster and here.",
    shown=Shown.CLUSTER,
)
BROKEN_SOURCE = Message(
    text="syntax error in {path}: {error}; nothing is sent until it is fixed",
    cause="A file that was sent before has a syntax error now.",
    fix="Fix it and save.",
    shown=Shown.CLUSTER,
)
PUSHED_BY_ANOTHER = Message(
    text="{modules} is also pushed by {owner}: rename it, or use a cluster of your own",
    cause="Another watch has sent modules of the same name to this cluster. A worker can import only one of them.",
    fix="Rename the module or package, or use another cluster.",
    shown=Shown.CLUSTER,
)
DATA_AT_RISK = Message(
    text="a restart of the workers would lose {keys}, which no other can take: add a worker, gather or unpublish it, "
    "or use --lose-data",
    cause="Workers that must restart have the only copy of published data, or of data of others. No other has room.",
    fix="Add a worker, gather or unpublish the data, or accept the loss with `--lose-data`.",
    shown=Shown.CLUSTER,
)
NO_SCHEDULER = Message(
    text="no Dask scheduler answers at {where} ({error}); start it, or name another",
    cause="Nothing answers at the address or in the file that `--cluster` names.",
    fix="Start the scheduler (`dask scheduler`), or correct the address.",
    shown=Shown.CLUSTER,
)
SCHEDULER_GONE = Message(
    text="the Dask scheduler at {where} is gone; start it again",
    cause="The connection to the scheduler has ended.",
    fix="Start the scheduler again. The next save finds it.",
    shown=Shown.CLUSTER,
)
SCHEDULER_LOST = Message(
    text="the Dask scheduler at {where} is gone ({error}); start it again",
    cause="The connection to the scheduler broke while it was asked.",
    fix="Start the scheduler again. The next save finds it.",
    shown=Shown.CLUSTER,
)
SCHEDULER_SILENT = Message(
    text="the Dask scheduler at {where} has not answered for {seconds} s",
    cause="The scheduler is there, but busy or stuck.",
    fix="Wait and save again, or look at the scheduler's log.",
    shown=Shown.CLUSTER,
)
NO_CONTROLLER = Message(
    text="no controller of ipyparallel answers at {where} ({error}); start it, or name another",
    cause="Nothing answers at the address in the connection file that `--cluster` names.",
    fix="Start the cluster (`ipcluster start`), or name another connection file.",
    shown=Shown.CLUSTER,
)
OTHER_CONTROLLER = Message(
    text="another controller of ipyparallel has written {path}; its engines come next",
    cause="The cluster was started anew, and its connection file is a new one.",
    fix="Nothing: the next save reaches the new engines.",
    shown=Shown.CLUSTER,
)
NO_ENGINES = Message(
    text="no engine has registered with {path}; start some, as by ipcluster engines",
    cause="The controller of ipyparallel is there, but no engine.",
    fix="Start engines: `ipcluster engines`.",
    shown=Shown.CLUSTER,
)
WORKERS_LACK = Message(
    text="{count} of {all} workers lack {version} after {seconds} s: {workers}",
    cause="These workers have not taken the new code in time: they are busy, starting, or unreachable.",
    fix="Look at the workers' logs, or raise `--cluster-timeout`.",
    shown=Shown.CLUSTER,
)
ENGINES_LACK = Message(
    text="{count} of {all} engines lack {version} after {seconds} s: {engines}{busy}",
    cause="These engines have not taken the new code in time. An engine takes it only between two tasks.",
    fix="Interrupt the busy ones, or raise `--cluster-timeout`.",
    shown=Shown.CLUSTER,
)
PUSHER_ENDED = Message(
    text="the process that pushes has ended: {error}",
    cause="The process that is connected to the cluster has ended. Its last line of output stands behind the colon.",
    fix="Save again: another one is started. If it ends again, look at what it printed.",
    shown=Shown.CLUSTER,
)
PUSH_FAILED = Message(
    text="the push failed: {error}",
    cause="The cluster's own client raised this error.",
    fix="Save again. If it fails again, look at the logs of the scheduler and the workers.",
    shown=Shown.CLUSTER,
)
CLUSTER_NOT_INSTALLED = Message(
    text="--cluster: {engine} is not installed here; pip install 'ipy-autorestart[{extra}]'",
    cause="The interpreter of the script or kernel lacks the client of the cluster.",
    fix="Install it, as the message says.",
    shown=Shown.CLUSTER,
)
TOO_LARGE = Message(
    text="{path}: more than {most} MiB to ship; leave some out with --ignore",
    cause="Only source code is to be sent, and this folder holds far more.",
    fix="Leave data out with `--ignore`, or watch the folder of your code alone.",
    shown=Shown.CLUSTER,
)
STORE_TAKEN = Message(
    text="{folder} is not this user's alone: remove it",
    cause="On a machine of the cluster, the folder for your code belongs to somebody else, or others may write to it.",
    fix="Remove it there, or have its owner do so.",
    shown=Shown.CLUSTER,
)
OLD_CODE_THERE = Message(
    text="old code lives on in {engines}: {names}; restart these engines to be sure",
    cause="Engines of ipyparallel hold objects that old code has made. The new code is there as well.",
    fix="Restart these engines if the objects matter.",
    shown=Shown.CLUSTER,
)
NO_WORKER_YET = Message(
    text="no worker yet · those that join get {version}",
    cause="The scheduler has no worker at the moment.",
    fix="Nothing: workers that join later get the new code first.",
    shown=Shown.CLUSTER,
)
WORKERS_HAVE = Message(
    text="{count} of {all} workers on {version}",
    cause="All workers have the new code. Its version stands behind `on`.",
    fix="Nothing.",
    shown=Shown.CLUSTER,
)

# Clusters: phrases.

WORKERS_RESTARTED = Hint(text="{count} restarted")
BUSY_ENGINES = Hint(text="; busy: {engines}, interrupt it or give it longer")
AND_MORE = Hint(text="{names} and {count} more")
NO_LAST_WORD = Hint(text="it printed nothing")
THE_SCHEDULER = Hint(text="the scheduler")
NEW_CODE_ON_ITS_WAY = Hint(text="its workers get the new code")
NESTED = Hint(text="too deeply nested to be compiled")

# The status line: where a target stands, why it was started, how that went. The page about the line explains them.

RUNNING_FOR = Hint(text="running for {time}")
WAITING_FOR = Hint(text="waiting for {what}")
KERNEL_IDLE = Hint(text="the kernel to be idle")
LOOP_IDLE = Hint(text="the event loop to be idle")
MAIN_THREAD = Hint(text="the main thread")
ITS_IMPORTS = Hint(text="what it imports")
SYNTAX_ERROR = Hint(text="syntax error at {place}")
PAUSED_AND = Hint(text="paused, {state}")
RUNS_AGAIN_IN = Hint(text="{state}, runs again in {time}")
WATCH_ENDED = Hint(text="watch ended")
NOT_RUNNING = Hint(text="not running")
AFTER_TIME = Hint(text=" after {time}")
FINISHED_IN = Hint(text="finished in {time}")
CRASHED_WITH = Hint(text="crashed with status {status}{after}")
KILLED_BY = Hint(text="killed by {signal}{after}")
SIGNAL_NUMBER = Hint(text="signal {number}")
AND_MORE_CHANGED = Hint(text="{path} and {count} more changed")
AND_MORE_FILES = Hint(text="{path} and {count} more")
FIRST_RUN = Hint(text="first run")
FILES_CHANGED = Hint(text="files changed")
SIGHUP_RECEIVED = Hint(text="SIGHUP received")
ASKED_BY_HAND = Hint(text="asked by hand")
HAD_ENDED = Hint(text="it had ended")
THIS_RUN = Hint(text="this run")
RESTARTED_IN = Hint(text="restarted in {time}")
RESTARTED_HOW = Hint(text="restarted {how} in {time}")
WAITED_FOR_BURST = Hint(text="waited {time} for the burst")
SEGMENTATION_FAULT = Hint(text="segmentation fault")
BUS_ERROR = Hint(text="bus error")
FLOATING_POINT = Hint(text="floating point exception")
ILLEGAL_INSTRUCTION = Hint(text="illegal instruction")
RUN_NUMBER = Hint(text="run {count}")
RESTARTS = Hint(text="1 restart", many="{count} restarts")

# The status line: what a kernel waits for.

THIS_CELL = Hint(text="this cell")
CELL_NUMBER = Hint(text="cell {number}")
SILENT_CODE = Hint(text="code that an extension of the page runs")
COMPLETING = Hint(text="a completion")
INSPECTING = Hint(text="help on a name")
TYPING = Hint(text="a line that is being typed")
OTHER_REQUEST = Hint(text="a short request")

# The status line: cells that run again.

RERUNNING = Hint(text="rerunning cell {number}")
RERUNNING_ONE_OF = Hint(text="rerunning cell {number} ({place} of {all})")
NO_CELL_TO_RERUN = Hint(text="no cell to rerun")
BEFORE_LOAD = Hint(text="what ran before %load_ext")
SLOW_CELL = Hint(text="cell {number}: {time}")
BACK_TO = Hint(text="back to cell {number} in {time}")
AS_ASKED = Hint(text="{back}, as asked")
UNDONE = Hint(text="{back}, as asked; {cells} {are} undone")
SAVED_TIME = Hint(text="{back}, saved {time}")
AFTER_A_DEATH = Hint(text="the kernel {how}; ")
BY_EXEC = Hint(text="; by exec, as {why}")
ENDED_WITH = Hint(text="ended with status {status}")
ENDED_BY = Hint(text="was ended by {signal}")
MEMORY_FULL = Hint(text="was ended by {signal} (was the memory full?)")
CELLS_RERUN = Hint(text="1 cell rerun in {time}", many="{count} cells rerun in {time}")

# A terminal.

INTERRUPTED_ONCE = Message(
    text="interrupted; Ctrl-C again ends the watch",
    cause="You have pressed Ctrl-C, and the script got it.",
    fix="Press it again to end the watch. To have the script run again, save a file.",
    shown=Shown.STATUS,
)
STOPPING_NOW = Message(
    text="stopping; Ctrl-C again ends it at once",
    cause="You have pressed Ctrl-C twice. The script has the stop timeout to end in order.",
    fix="Wait, or press it once more.",
    shown=Shown.STATUS,
)

# The status line: a kernel or program that can't restart as usual.

CANCELLED = Message(
    text="cancelled by the kernel's own code",
    cause="Code in the kernel has cancelled the restart, such as a cell that cancels all tasks of the event loop.",
    fix="Save again.",
    shown=Shown.STATUS,
)
CANT_START = Message(
    text="can't be started: {error}",
    cause="The system refused to start the script.",
    fix="Check the interpreter, `ulimit -u` and `ulimit -n`, and save again.",
    shown=Shown.STATUS,
)
ONLY_LINUX = Message(
    text="only Linux has what a kernel behind a proxy needs",
    cause="With `--rerun` or `--checkpoints` another kernel waits to take over. Elsewhere the kernel replaces itself.",
    fix="Nothing: the restart works, but nothing is kept.",
    shown=Shown.STATUS,
)
GUI_LOOP = Message(
    text="a %gui loop runs",
    cause="A kernel with the event loop of Qt, Tk or another toolkit can't be copied.",
    fix="Nothing: the restart works, but nothing is kept. `%gui` alone ends the loop.",
    shown=Shown.STATUS,
)
CANT_HAND_OVER = Message(
    text="not on this platform, or with this ipykernel",
    cause="Open connections are kept on Linux with ipykernel 6.29 to 7 only.",
    fix="Install such a version. The restart works without, but requests that arrive during it may be lost.",
    shown=Shown.STATUS,
)
NO_LISTENER = Message(
    text="no listening socket of {channels}",
    cause="The kernel's sockets were not found among those of its process.",
    fix="Restart the kernel by hand once.",
    shown=Shown.STATUS,
)
ODD_SOCKETS = Message(
    text="the sockets aren't as expected",
    cause="The kernel's sockets were not found among those of its process.",
    fix="Restart the kernel by hand once.",
    shown=Shown.STATUS,
)
STILL_ASKED = Message(
    text="a request of the control channel or a subshell goes on",
    cause="The page waits for an answer of the kernel, such as one of the debugger or a subshell.",
    fix="Nothing: it is tried again.",
    shown=Shown.STATUS,
)
PATHS_TOO_LONG = Hint(text="the path of each folder for temporary files is too long; set TMPDIR to a shorter one")
COPY_LATE = Hint(text="the copy takes too long to begin")
COPY_FAILED = Hint(text="the copy has failed; its standard error tells why")
NO_LONGER_WANTED = Hint(text="the watch has changed, or a restart is due")
NO_PATHSPEC = Message(
    text="--gitignore needs pathspec: pip install pathspec",
    cause="Reading `.gitignore` needs the package pathspec.",
    fix="Install it: `pip install pathspec`.",
)
NOTHING_DECIDED = Message(
    text="nothing was decided yet",
    cause="No file has changed, and nobody has asked for a restart.",
    fix="Nothing.",
    shown=Shown.TABLE,
)
NO_KERNEL_STARTS = Message(
    text="no kernel can be started: {error}",
    cause="The system refused a process or a file.",
    fix="Check `ulimit -u`, `ulimit -n` and the free memory, and restart the kernel.",
    shown=Shown.SERVER,
)
NO_KERNEL_OF_IT = Message(
    text="no kernel can be made of a checkpoint: {error}",
    cause="The system refused a process or a file. The kernel starts afresh instead.",
    fix="Check `ulimit -u`, `ulimit -n` and the free memory.",
    shown=Shown.SERVER,
)

# What %watch_status lists: heads and phrases.

LAST_CAUSE = Hint(text="last cause")
LAST_START = Hint(text="last start")
EXIT_STATUS = Hint(text="exit status")
CHECKPOINT_AFTER = Hint(text="checkpoint after")
NEW_CODE_AFTER = Hint(text="new code after")
MORE_WATCHED = Hint(text="{count} more")
AS_OF = Hint(text="as of {time}")
THE_RECURSION_LIMIT = Hint(text="the recursion limit")
THE_SWITCH_INTERVAL = Hint(text="the switch interval")
LOGGINGS_NAMES = Hint(text="logging's names")
THE_TIMEOUT = Hint(text="the default timeout")
THE_LOCALE = Hint(text="the locale")
THE_COLLECTOR = Hint(text="the garbage collector")
IMPORTED_AHEAD = Hint(text="{count} modules imported ahead{memory}")

# Why there is no checkpoint after a cell.

THREADS = Message(
    text="1 thread{names}",
    many="{count} threads{names}",
    cause="A thread that your code has started; its name stands in brackets. A copy has none.",
    shown=Shown.COPY,
)
LIBRARY_THREADS = Message(
    text="1 thread of {library}",
    many="{count} threads of {library}",
    cause="Threads of a library. They end with its pool, session or client, if it has one to close.",
    shown=Shown.COPY,
)
SUBSHELLS = Message(
    text="1 subshell at work",
    many="{count} subshells at work",
    cause="A subshell of the notebook runs code. When it has ended, a checkpoint can be made.",
    shown=Shown.COPY,
)
CHILDREN = Message(
    text="1 child process{names}",
    many="{count} child processes{names}",
    cause="A program that your code has started and that still runs, such as the workers of a pool.",
    shown=Shown.COPY,
)
ENDED_CHILDREN = Message(
    text="1 ended child process not waited for{names}",
    many="{count} ended child processes not waited for{names}",
    cause="A program has ended, and your code may still ask how. `wait()`, `poll()` or a `with` block asks.",
    shown=Shown.COPY,
)
CONNECTION = Message(
    text="a connection to {what}",
    many="{count} connections to {what}",
    cause="An open connection, such as one to a database, a server or a cluster. Two processes can't share it.",
    shown=Shown.COPY,
)
LISTENER = Message(
    text="a socket at {what}",
    many="{count} sockets at {what}",
    cause="A socket that listens, such as a server's in the notebook.",
    shown=Shown.COPY,
)
PIPE_UNREAD = Message(
    text="a pipe that was not read to its end",
    many="{count} pipes that were not read to their ends",
    cause="A pipe with something left to read, perhaps of a program that has ended.",
    shown=Shown.COPY,
)
PIPE_NAMED = Message(
    text="the pipe {what} is open",
    cause="A named pipe (FIFO) is open.",
    shown=Shown.COPY,
)
PIPE = Message(
    text="a pipe to another process",
    many="{count} pipes to other processes",
    cause="A pipe to a program that runs.",
    shown=Shown.COPY,
)
EVENT_LOOP = Message(
    text="an event loop",
    many="{count} event loops",
    cause="An event loop of your own is open, such as one of `asyncio.new_event_loop()`.",
    shown=Shown.COPY,
)
EVENT_FLAG = Message(
    text="a descriptor of eventfd",
    many="{count} descriptors of eventfd",
    cause="A flag by which threads or loops wake each other, mostly of a library that runs in the background.",
    shown=Shown.COPY,
)
OTHER_DESCRIPTOR = Message(
    text="a descriptor of {what}",
    many="{count} descriptors of {what}",
    cause="An object of the system that a copy would share, such as a watch of files.",
    shown=Shown.COPY,
)
OPEN_TO_WRITE = Message(
    text="{what} is open for writing",
    cause="Two processes would write to one file.",
    shown=Shown.COPY,
)
FILE_LOCKED = Message(
    text="{what} is locked",
    cause="The file or folder is locked against other processes, and the copy would be one.",
    shown=Shown.COPY,
)
DEVICE_OPEN = Message(
    text="{what} is open",
    cause="A device is open, such as a terminal or a GPU. A process that has used CUDA can't be copied.",
    shown=Shown.COPY,
)
SHARED_MEMORY = Message(
    text="memory shared with other processes",
    cause="Shared memory, such as that of `multiprocessing.shared_memory`. The copy would see later changes.",
    shown=Shown.COPY,
)
TIMER_SET = Message(
    text="a timer is set",
    cause="`signal.setitimer`, `signal.alarm` or a timerfd. A copy has no timers.",
    shown=Shown.COPY,
)
TRACED = Message(
    text="another program traces this process",
    cause="A debugger or profiler such as gdb, strace or py-spy is attached.",
    shown=Shown.COPY,
)
SIGNAL_WAITS = Message(
    text="a blocked signal waits",
    cause="A signal has come that your code holds back. A copy wouldn't have it.",
    shown=Shown.COPY,
)
DEBUGGER = Message(
    text="the debugger has been attached",
    cause="The notebook's debugger was used in this kernel. Its threads and connections stay.",
    fix="Restart the kernel by hand when you have finished debugging.",
    shown=Shown.COPY,
)
ZMQ_CONTEXT = Message(
    text="a context of ZeroMQ",
    many="{count} contexts of ZeroMQ",
    cause="Your code uses ZeroMQ itself. `context.destroy()` ends it.",
    shown=Shown.COPY,
)
CANT_FOLLOW = Message(
    text="{what} can't go on in a copy",
    cause="The library would end the copy's process as soon as it is used.",
    shown=Shown.COPY,
)
NUMBA = Message(
    text="numba's parallel code",
    cause="Numba with GNU's OpenMP. With TBB (`pip install tbb`) it can be copied.",
    shown=Shown.COPY,
)
UNREADABLE_SELF = Message(
    text="{what} can't be read",
    cause="The system doesn't tell what this process holds, so that nothing is certain.",
    shown=Shown.COPY,
)
NOT_MADE_ANEW = Message(
    text="{what} can't be made anew",
    cause="A copy usually gets a new one. That failed, perhaps because the library's version isn't known.",
    shown=Shown.COPY,
)
KEPT_FROM_COPIES = Message(
    text="memory that is kept from copies",
    cause="A library has asked the system to leave its memory out of copies.",
    shown=Shown.COPY,
)
COPY_PLATFORM = Message(
    text="not on {platform}",
    cause="Checkpoints need Linux.",
    fix="Nothing: cells run again from the first one.",
    shown=Shown.COPY,
)
OTHER_LOOP = Message(
    text="the event loop is {module}'s",
    cause="The kernel runs on another event loop than asyncio's own, such as uvloop's.",
    fix="Leave that loop out of the kernel.",
    shown=Shown.COPY,
)
CANT_FORK = Message(
    text="the process can't be forked: {error}",
    cause="The system refused a copy, usually because memory or the number of processes is limited.",
    fix="Free memory, or raise `ulimit -u`.",
    shown=Shown.COPY,
)
ODD_KERNEL = Message(
    text="this ipykernel is not known",
    cause="Checkpoints need ipykernel 6.29 to 7, run as Jupyter runs it.",
    fix="Install such a version.",
    shown=Shown.COPY,
)
GUI_AT_WORK = Message(
    text="%gui is at work",
    cause="The event loop of Qt, Tk or another toolkit can't be copied.",
    fix="End it with `%gui`, if you don't need it.",
    shown=Shown.COPY,
)
KERNEL_BUSY = Message(
    text="a thread of the kernel is busy",
    cause="A thread of ipykernel was at work for too long.",
    fix="Nothing: it is tried again after the next cell.",
    shown=Shown.COPY,
)
ZMQ_BUSY = Message(
    text="a thread of libzmq is busy",
    cause="A thread of ipykernel was at work for too long.",
    fix="Nothing: it is tried again after the next cell.",
    shown=Shown.COPY,
)
HISTORY_READ = Message(
    text="the history is being read",
    cause="A cell has begun to read lines from IPython's history file, and keeps the rest for later.",
    fix="Read all of them at once, as by `list(…)`.",
    shown=Shown.COPY,
)
HISTORY_LOCKED = Message(
    text="the history can't be written: {error}",
    cause="Another program holds IPython's history file.",
    fix="End that program. Checkpoints are tried again after later cells.",
    shown=Shown.COPY,
)

# Why there is no checkpoint: phrases, for things that are named.

THIS_PROCESS = Hint(text="this process")
ANOTHER_PROCESS = Hint(text="another process")
EXECUTOR = Hint(text="an executor")
SCRIPT_LOOP = Hint(text="the loop of %%script")
TQDM = Hint(text="tqdm's monitor")
PROCESSES = Hint(text="what multiprocessing knows of its processes")
OPEN_FILE = Hint(text="an open file")
A_PIPE = Hint(text="a pipe")
SOCKET_PAIR = Hint(text="a pair of sockets")
SEMAPHORE = Hint(text="a semaphore")
CUDA = Hint(text="a CUDA device")
NO_CHILD = Hint(text="its child can't be forked")

# Why a module is not imported ahead: what its import does.

IMPORT_RAISES = Message(
    text="its import raises {error}",
    cause="The module can't be imported by itself. A run that imports it meets the same.",
    shown=Shown.AHEAD,
)
IMPORT_ENDED = Message(
    text="its import ended the process",
    cause="The import crashed, or called `os._exit`.",
    shown=Shown.AHEAD,
)
IMPORT_SLOW = Message(
    text="its import takes too long",
    cause="The process that imports ahead has stopped waiting for it.",
    shown=Shown.AHEAD,
)
IT_PRINTS = Message(
    text="it prints",
    cause="What it prints would be seen too early, or only once.",
    shown=Shown.AHEAD,
)
IT_STARTS_THREADS = Message(
    text="it starts threads",
    cause="Threads don't survive a fork.",
    shown=Shown.AHEAD,
)
IT_STARTS_A_PROGRAM = Message(
    text="it starts a program",
    cause="The program would belong to no run.",
    shown=Shown.AHEAD,
)
IT_SETS_A_TIMER = Message(
    text="it sets a timer",
    cause="Timers don't survive a fork.",
    shown=Shown.AHEAD,
)
IT_OPENS = Message(
    text="it opens {what}",
    cause="All runs would share what it opens.",
    shown=Shown.AHEAD,
)
IT_MAKES_FILES = Message(
    text="it makes temporary files",
    cause="All runs would share them.",
    shown=Shown.AHEAD,
)
IT_SHARES_MEMORY = Message(
    text="it shares memory with other processes",
    cause="All runs would share it.",
    shown=Shown.AHEAD,
)
IT_DRAWS = Message(
    text="it draws random numbers",
    cause="Each run would get the same ids or keys.",
    shown=Shown.AHEAD,
)
IT_READS_WATCHED = Message(
    text="it reads watched files",
    cause="What you edit has to be read again in each run.",
    shown=Shown.AHEAD,
)
IT_IMPORTS_WATCHED = Message(
    text="it imports watched code",
    cause="What you edit has to be imported again in each run.",
    shown=Shown.AHEAD,
)
IT_LOADS_WATCHED = Message(
    text="it loads watched code",
    cause="What you build has to be loaded again in each run.",
    shown=Shown.AHEAD,
)
IT_IMPORTS_APART = Message(
    text="it imports {what}",
    cause="That module is left to the run, so this one has to be, too.",
    shown=Shown.AHEAD,
)
IT_IMPORTS_YOURS = Message(
    text="it imports {what}, which the script has too",
    cause="A module of that name lies in the script's folder, and the import has to find that one.",
    shown=Shown.AHEAD,
)
IT_LOOKS_FOR_SHELL = Message(
    text="it looks for the kernel's shell",
    cause="It asks whether it is in a notebook.",
    shown=Shown.AHEAD,
)
IT_CHANGES_PATH = Message(
    text="it changes sys.path",
    cause="The script would begin with another `sys.path`.",
    shown=Shown.AHEAD,
)
IT_SETS_A_HOOK = Message(
    text="it sets a hook of sys",
    cause="The script would begin with the hook set, such as `sys.excepthook`.",
    shown=Shown.AHEAD,
)
IT_CHANGES_BUILTINS = Message(
    text="it changes the builtins",
    cause="The script would begin with other builtins.",
    shown=Shown.AHEAD,
)
IT_HANDLES_SIGNALS = Message(
    text="it handles signals",
    cause="The script would begin with its signal handlers.",
    shown=Shown.AHEAD,
)
IT_CHANGES = Message(
    text="it changes {what}",
    cause="The script would begin with that setting changed: the locale, logging, the recursion limit and the like.",
    shown=Shown.AHEAD,
)
IT_CHANGES_OTHERS = Message(
    text="it changes what others have set",
    cause="It takes away what another module has set, and that can't be done again in a run.",
    shown=Shown.AHEAD,
)
PATCHED_BEFORE = Message(
    text="what it patches was imported before",
    cause="A module such as gevent's monkey patches has to come before all others.",
    shown=Shown.AHEAD,
)

# Why a module is not imported ahead: what the script has done before it imports it.

BEFORE_ITS_IMPORT = Hint(text="{why} before its import")
OTHERS_THERE = Message(
    text="other modules are there",
    cause="The script has put other modules in the place of some that this one needs, or has removed some.",
    shown=Shown.AHEAD,
)
SOMEBODY_TRACES = Message(
    text="somebody traces",
    cause="A debugger, profiler or coverage is at work and would miss the import.",
    shown=Shown.AHEAD,
)
OTHER_FINDERS = Message(
    text="there are other finders of modules",
    cause="The script has installed an import hook, through which this module has to go.",
    shown=Shown.AHEAD,
)
STREAMS_REPLACED = Message(
    text="streams are replaced",
    cause="The script has replaced `sys.stdout` or its like, which the module may keep.",
    shown=Shown.AHEAD,
)
ENVIRONMENT_CHANGED = Message(
    text="the environment is changed",
    cause="The script has set a variable that the module reads. `--env` sets it outside of the script.",
    shown=Shown.AHEAD,
)
BUILTINS_REPLACED = Message(
    text="builtins are replaced",
    cause="The script has replaced builtins that the module uses.",
    shown=Shown.AHEAD,
)
WARNINGS_FILTERED = Message(
    text="warnings are filtered",
    cause="The script has set filters for warnings that the module's import may give.",
    shown=Shown.AHEAD,
)
LOGGERS_THERE = Message(
    text="its loggers are there",
    cause="The script has made the module's loggers already.",
    shown=Shown.AHEAD,
)
LOGGING_SET_UP = Message(
    text="logging is set up",
    cause="The script has set up logging, and the module logs when it is imported.",
    shown=Shown.AHEAD,
)
FUNCTIONS_REPLACED = Message(
    text="functions of {what} are replaced",
    cause="The script has patched a module that this one uses.",
    shown=Shown.AHEAD,
)
PATH_CHANGED = Message(
    text="sys.path is changed",
    cause="With the script's `sys.path` the import might find another module.",
    shown=Shown.AHEAD,
)

# Decisions, as %watch_status --why and the log tell them.

WHY_ALIKE = Message(
    text="{files}: the code does the same: no restart (--strict)",
    cause="Only comments, layout or nothing at all changed.",
    shown=Shown.WHY,
)
WHY_UNUSED = Message(
    text="{files}: not used by the last run: no restart (--all)",
    cause="The last run neither imported nor opened the file.",
    shown=Shown.WHY,
)
WHY_NOT_LOADED = Message(
    text="{files}: not loaded before: no restart (--all)",
    cause="Compiled code that this kernel or program has never loaded.",
    shown=Shown.WHY,
)
WHY_WRITTEN = Message(
    text="{files}: written by the run itself: no restart",
    cause="A restart for it would have no end.",
    shown=Shown.WHY,
)
WHY_BROKEN = Message(
    text="{place}: {error}: no restart until this is fixed",
    cause="A syntax error.",
    shown=Shown.WHY,
)
WHY_IGNORED = Message(
    text="is left out by --ignore",
    cause="The name matches a pattern of `--ignore`, or `.gitignore` names it.",
    shown=Shown.WHY,
)
WHY_NO_SOURCE = Message(
    text="isn't a Python file, and no run has read it: name it with --pattern if it matters",
    cause="Other files than Python's count only if the script has read them, or a pattern names them.",
    shown=Shown.WHY,
)
WHY_RESTART = Message(
    text="{files}{within}: restart",
    cause="The change counts. Behind several files stands how long the burst of saves lasted.",
    shown=Shown.WHY,
)
WHY_PAUSED = Message(
    text="{files}: waiting, because restarts are paused",
    cause="You have said `%watch_restart --pause`.",
    shown=Shown.WHY,
)
WHY_WAITS_FOR_FIX = Message(
    text="{files}: waiting until the syntax error is fixed",
    cause="The change counts, but another file has a syntax error.",
    shown=Shown.WHY,
)
WHY_UNDER_WAY = Message(
    text="{files}: the restart under way will run it, or one more will follow",
    cause="A save during a restart is never lost.",
    shown=Shown.WHY,
)
WHY_LOOPING = Message(
    text="{files}: after every start, so the next one waits up to {most}",
    cause="Each start changes a file that the script uses.",
    shown=Shown.WHY,
)
WHY_HELD = Message(
    text="{files}: waiting until its imports are loaded ahead, which is quicker than a cold start",
    cause="A warm start is nearly ready.",
    shown=Shown.WHY,
)
WHY_UNFINISHED = Message(
    text="{files}: looking again, because {reasons}",
    cause="Something that is being written is looked at once more a moment later.",
    shown=Shown.WHY,
)
WHY_SCANNED = Message(
    text="{files}: found by a scan, without an event; restarting when no more changes come",
    cause="The system had not reported the change.",
    shown=Shown.WHY,
)
WHY_HANGUP = Message(
    text="SIGHUP from elsewhere: {then}",
    cause="Somebody has sent `kill -HUP`, or a library has.",
    shown=Shown.WHY,
)
WHY_ASKED = Message(
    text="asked by hand: restart",
    cause="You have used the button, `%watch_restart --now` or `Supervisor.restart()`.",
    shown=Shown.WHY,
)
WHY_PAUSE = Message(
    text="paused by hand: changes wait",
    cause="You have used the button, or `%watch_restart --pause`.",
    shown=Shown.WHY,
)
WHY_RESUME = Message(
    text="resumed by hand: what changed meanwhile counts now",
    cause="You have used the button, or `%watch_restart --resume`.",
    shown=Shown.WHY,
)
WHY_WAITS = Message(
    text="waiting for {what} before it restarts",
    cause="The kernel or program is busy.",
    shown=Shown.WHY,
)
WHY_REREAD = Message(
    text="{files} was put back, but used while it was otherwise: restart",
    cause="A file was changed and changed back within moments, and the kernel read it, or missed it, in between.",
    shown=Shown.WHY,
)
WHY_STARTED = Message(
    text="start {number}{took}",
    cause="A run, or a new image of the kernel, has begun.",
    shown=Shown.WHY,
)
WHY_GOES_ON = Message(
    text="the kernel had died: start {number}",
    cause="It ended by itself, as by a crash, and the one restored ahead goes on behind the proxy.",
    shown=Shown.WHY,
)
WHY_STARTED_AGAIN = Message(
    text="started{took}",
    cause="The same run has begun anew, cold, as it could not go on warm.",
    shown=Shown.WHY,
)
WHY_REPLACED = Message(
    text="replaced itself{left}",
    cause="The kernel or program has restarted in place, or another took over.",
    shown=Shown.WHY,
)
WHY_ENDED = Message(
    text="ended with status {status}{lasted}{left}",
    cause="The run has ended. A negative status is the number of the signal that ended it.",
    shown=Shown.WHY,
)
WHY_REFUSED = Message(
    text="can't restart: {why}",
    cause="The old code keeps running. The status line shows the same reason.",
    shown=Shown.WHY,
)
WHY_FAILED = Message(
    text="the new code has failed: {why}",
    cause="The new code of a program that restarts itself has raised an error.",
    shown=Shown.WHY,
)
WHY_UNREACHED = Message(
    text="nothing is sent to the cluster: {why}",
    cause="The cluster can't be reached, or refuses.",
    shown=Shown.WHY,
)
WHY_REACHED = Message(
    text="the cluster can be reached",
    cause="It could not be reached before.",
    shown=Shown.WHY,
)
WHY_PUSHED = Message(
    text="the cluster has the new code: {how}",
    cause="The start follows now.",
    shown=Shown.WHY,
)
WHY_NOT_STARTED = Message(
    text="not started: {why}",
    cause="The cluster has not got the new code.",
    shown=Shown.WHY,
)
WHY_KILLED = Message(
    text="still running {time} after the stop signal: killed",
    cause="The script did not end within `--stop-timeout`.",
    shown=Shown.WHY,
)
WHY_ENDED_BY_ITSELF = Message(
    text="it ended by itself {time} ago: restart (--restart-on-exit)",
    cause="`--restart-on-exit` starts it again.",
    shown=Shown.WHY,
)

# Decisions: phrases.

JUST_RESTART = Hint(text="restart")
ONE_MORE = Hint(text="one more restart will follow the one under way")
WILL_RUN_IT = Hint(text="the restart under way will run the new code")
AFTER_NOTICED = Hint(text=", {time} after its cause was noticed")
KEEP_RUNNING = Hint(text="; processes that it started keep running")
WITHIN = Hint(text=" (within {time})")
FILES_AND = Hint(text="{files} and {count} more")
EMPTIED = Hint(text="a file is empty, as during a write")
VANISHED = Hint(text="a file is gone, as during a rename")
GIT_LOCK = Hint(text="git holds its lock")
BUILDING = Hint(text="compiled code is missing or incomplete, as during a build")
