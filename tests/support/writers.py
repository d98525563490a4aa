"""People and tools who edit modules at random, in every way in which files are saved, several at once."""

import contextlib
import os
import random
import shutil
import subprocess
import threading

#: All contents are of one length, so that two writers in one file leave a whole one.
FIRST, LAST = 100_000, 999_999

#: Longer than what has come by then may still take: bursts, scans, the pause of a seeming loop, and a slow machine.
SETTLED = 40

SHARED = ("shared_0", "shared_1")


def text(value, comment=""):
    """A module that holds a value."""
    return f"{comment}V = {value}\n"


class Save:
    """One save of one file by one writer, whose temporary files are its own."""

    def __init__(self, path, value, rng, pause, mark):
        self.path, self.value, self.rng, self.pause = path, value, rng, pause
        self.folder, self.name = os.path.split(path)
        self.outside = os.path.join(os.path.dirname(self.folder.partition("/src")[0]), f"outside-{mark}")
        self.beside = os.path.join(self.folder, f".{mark}.{self.name}.new")

    def put(self, path, content=None):
        with open(path, "w") as file:
            file.write(text(self.value) if content is None else content)

    # -- in place

    def plain(self):
        self.put(self.path)

    def truncate_pause_write(self):
        with open(self.path, "w") as file:
            file.flush()
            self.pause()
            file.write(text(self.value))

    def in_pieces(self):
        with open(self.path, "w") as file:
            for piece in text(self.value):
                file.write(piece)
                file.flush()

    def put_back_and_write(self):
        with open(self.path) as file:
            before = file.read()
        self.put(self.path)
        self.put(self.path, before)
        self.pause()
        self.put(self.path)

    def syntax_error_then_mended(self):
        self.put(self.path, "V = (\n")
        self.pause()
        self.put(self.path)

    def format_on_save(self):
        self.put(self.path, f"V  =   {self.value}\n")
        self.pause()
        self.put(self.path)

    def same_size_and_mtime(self):
        status = os.stat(self.path)
        self.put(self.path)
        os.utime(self.path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def clock_ahead(self):
        self.put(self.path)
        os.utime(self.path, (4e9, 4e9))

    def clock_behind(self):
        self.put(self.path)
        os.utime(self.path, (1, 1))

    # -- by renaming

    def atomic(self):
        self.put(self.beside)
        os.replace(self.beside, self.path)

    def atomic_from_outside(self):
        self.put(self.outside)
        os.replace(self.outside, self.path)

    def atomic_of_an_ignored_name(self):
        self.put(self.beside + "~")
        os.replace(self.beside + "~", self.path)

    def older_file_put_in_place(self):
        self.put(self.outside)
        os.utime(self.outside, (1, 1))
        os.replace(self.outside, self.path)

    def unlink_and_write(self):
        os.unlink(self.path)
        self.pause()
        self.put(self.path)

    def like_vim(self):
        os.rename(self.path, self.beside + "~")
        self.put(self.path)
        os.unlink(self.beside + "~")

    def like_jetbrains(self):
        self.put(self.beside + "___jb_tmp___")
        os.rename(self.path, self.beside + "___jb_old___")
        os.rename(self.beside + "___jb_tmp___", self.path)
        os.unlink(self.beside + "___jb_old___")

    def like_jupyter(self):
        shutil.copy2(self.path, self.beside)
        self.put(self.path)
        os.unlink(self.beside)

    def sed(self):
        subprocess.run(["sed", "-i", f"s/V .*/V = {self.value}/", self.path], check=False, stderr=subprocess.DEVNULL)
        with open(self.path) as file:
            is_whole = file.read() == text(self.value)
        if not is_whole:  # it has read what another one had only begun to write, and put that in its place
            self.put(self.path)

    def hardlink_swapped(self):
        self.put(self.outside)
        os.link(self.outside, self.beside)
        os.replace(self.beside, self.path)
        os.unlink(self.outside)

    # -- whole folders

    def folder_replaced(self):
        new = self.outside + ".d"
        shutil.copytree(self.folder, new, ignore=shutil.ignore_patterns("__pycache__"))
        self.put(os.path.join(new, self.name))
        os.rename(self.folder, new + ".old")
        self.pause()
        os.rename(new, self.folder)
        shutil.rmtree(new + ".old")

    def folder_deleted_and_made_again(self):
        shutil.rmtree(self.folder)
        self.pause()
        os.makedirs(self.folder)
        self.put(os.path.join(self.folder, "__init__.py"), "")
        self.put(self.path)


WAYS = [name for name, way in vars(Save).items() if callable(way) and name not in ("__init__", "put")]
FILE_WAYS = [name for name in WAYS if not name.startswith("folder")]


class Writer(threading.Thread):
    """Edits a module and a package of its own, and modules that others edit too, until it is told to end.

    Parameters
    ----------
    folder
        The project's.
    number
        Of the writer; its first module is ``own_0``.
    seed
        Of all that it does; the moments are the machine's.
    """

    def __init__(self, folder, number, seed):
        super().__init__(name=f"writer {number}")
        self.folder, self.number = folder, number
        self.rng = random.Random(f"{seed} {number}")
        self.end = threading.Event()
        self.log, self.error = [], None
        self.paths = [f"src/own_{number}.py", f"src/pkg_{number}/m.py", *(f"src/{name}.py" for name in SHARED)]

    def run(self):
        try:
            while not self.end.is_set():
                self.save()
                self.pause(longest=self.rng.choice([0.0, 0.005, 0.05, 0.3, 1.0]))
        except BaseException as error:
            self.error = error
            raise

    def pause(self, longest=0.2):
        self.end.wait(self.rng.uniform(0, longest))  # nobody waits for anything to happen: these are the edits' moments

    def save(self):
        path = self.rng.choice(self.paths)
        how = self.rng.choice(WAYS if "pkg" in path else FILE_WAYS)
        value = self.rng.randint(FIRST, LAST)
        save = Save(os.path.join(self.folder, path), value, self.rng, self.pause, self.number)
        try:
            getattr(save, how)()
        except FileNotFoundError:  # another one was at it
            save.plain()
        self.log.append(f"{how} {path} {value}")


@contextlib.contextmanager
def editing(folder, seed, *, writers=3):
    """Let people edit for as long as the context lasts; yields them."""
    people = [Writer(os.fspath(folder), number, seed) for number in range(writers)]
    for person in people:
        person.start()
    try:
        yield people
    finally:
        for person in people:
            person.end.set()
        for person in people:
            person.join()
    assert [person.error for person in people] == [None] * writers


def make_project(folder, *, writers=3):
    """Lay out what the writers edit; return the names of the modules by their paths."""
    modules = {f"src/{name}.py": name for name in SHARED}
    for number in range(writers):
        modules |= {f"src/own_{number}.py": f"own_{number}", f"src/pkg_{number}/m.py": f"pkg_{number}.m"}
        (folder / f"src/pkg_{number}").mkdir(parents=True)
        (folder / f"src/pkg_{number}/__init__.py").touch()
    for path in modules:
        (folder / path).write_text(text(FIRST))
    return modules


def on_disk(folder, modules):
    """What each module holds, as one line."""
    values = []
    for path in modules:
        names = {}
        exec((folder / path).read_text(), names)
        values.append(names["V"])
    return line(values)


def line(values):
    """What a run prints of the modules' values, and the tests know."""
    return "values " + " ".join(map(str, values))


def program(modules):
    """A script that prints the modules' values."""
    names = ", ".join(modules.values())
    values = ", ".join(f"{name}.V" for name in modules.values())
    return f"import sys\nsys.path.insert(0, 'src')\nimport {names}\nprint('values', {values}, flush=True)\n"


def last_edits(people):
    """What each did last, for the message of a failure."""
    return "\n".join(f"{person.name}: {person.log[-5:]}" for person in people)
