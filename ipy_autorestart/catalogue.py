"""Every message for users once: its text, where it is shown, what causes it, and what to do about it.

The code takes its texts from here, and the troubleshooting page is made of these rows. A text is lower case, one line
long, without a full stop: what was expected, what was found, what to do.
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
    TABLE = "%watch_status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """The end of a message that depends on what is there: a guess at what was meant, or what to do.

    Attributes
    ----------
    text
        With a field in braces for what is only known when it is shown, as `str.format` has them.
    """

    text: str

    def __call__(self, **fields: object) -> str:
        """Return the text with these fields."""
        return self.text.format(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Hint):
    """One line that a user may see.

    Attributes
    ----------
    cause, fix
        Sentences for the troubleshooting page.
    shown
        The place where it is shown.
    """

    cause: str
    fix: str
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
