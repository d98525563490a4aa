"""What editors and people do to files; the folder is that of a project that uses ``src/a.py`` and ``src/pkg``."""

import os
import shutil
import subprocess

from waiting import pass_time

FILES = {
    "src/a.py": "V = 1\n",
    "src/pkg/__init__.py": "",
    "src/pkg/m.py": "V = 1\n",
    "src/unused.py": "V = 1\n",
    "src/spare.py": "V = 1\n",
    "src/other_spare.py": "V = 1\n",
    "src/config.toml": "one",
    "src/other.toml": "one",
}


def write(path, text="V = 2\n"):
    with open(path, "w") as file:
        file.write(text)


def atomically(path, text="V = 2\n", temporary="src/.a.py.tmp"):
    write(temporary, text)
    os.replace(temporary, path)


def truncate_and_write(path):
    with open(path, "w") as file:
        file.flush()
        pass_time(0.3)
        file.write("V = 2\n")


def like_jetbrains():
    write("src/a.py___jb_tmp___")
    os.rename("src/a.py", "src/a.py___jb_old___")
    os.rename("src/a.py___jb_tmp___", "src/a.py")
    os.unlink("src/a.py___jb_old___")


def like_jupyter():
    shutil.copy2("src/a.py", "src/.~a.py")
    write("src/a.py")
    os.unlink("src/.~a.py")


def with_an_older_mtime():
    write("outside.py")
    os.utime("outside.py", (1, 1))
    os.replace("outside.py", "src/a.py")


def with_the_same_size_and_mtime():
    status = os.stat("src/a.py")
    write("src/a.py")
    os.utime("src/a.py", ns=(status.st_atime_ns, status.st_mtime_ns))


def ten_files(gap):
    for number in range(10):
        write(f"src/n{number}.py", "x = 1\n")
        pass_time(gap)
    write("src/a.py")


def format_on_save():
    write("src/a.py", "V   =   2\n")
    pass_time(0.4)
    write("src/a.py", "V = 2\n")


def a_new_package():
    os.makedirs("src/new/deep")
    write("src/new/deep/m.py")
    write("src/a.py")


def a_package_moved_away_and_another_in():
    os.makedirs("other")
    write("other/__init__.py", "")
    write("other/m.py", "V = 3\n")
    os.rename("src/pkg", "gone")
    os.rename("other", "src/pkg")
    write("src/a.py")


def the_root_deleted_and_made_again():
    shutil.copytree("src", "copy")
    shutil.rmtree("src")
    shutil.copytree("copy", "src")
    write("src/a.py")


#: After these new code has to run, once. A scan sees nothing of them but the end.
AT_ONCE = {
    "plain write": lambda: write("src/a.py"),
    "atomic replace": lambda: atomically("src/a.py"),
    "atomic replace, from outside": lambda: atomically("src/a.py", temporary="tmp"),
    "atomic replace, ignored name": lambda: atomically("src/a.py", temporary="src/a.py~"),
    "PyCharm": like_jetbrains,
    "Jupyter": like_jupyter,
    "sed -i": lambda: subprocess.run(["sed", "-i", "s/1/2/", "src/a.py"], check=True),
    "older mtime": with_an_older_mtime,
    "same size and mtime": with_the_same_size_and_mtime,
}

#: After these too; a scan may come in between.
IN_STEPS = {
    "truncate, pause, write": lambda: truncate_and_write("src/a.py"),
    "two writes": lambda: (write("src/a.py", "V = 9\n"), pass_time(0.01), write("src/a.py")),
    "unlink and write": lambda: (os.unlink("src/a.py"), write("src/a.py")),
    "format on save": format_on_save,
    "new nested package": a_new_package,
    "package moved": a_package_moved_away_and_another_in,
    "root made again": the_root_deleted_and_made_again,
    "ten files within 0.2 s": lambda: ten_files(0.02),
}

ONCE = {**AT_ONCE, **IN_STEPS}

#: These change no code in use, one after the other.
NEVER = {
    "nothing": lambda: None,
    "reading": lambda: [open(f"src/{name}").close() for name in ("a.py", "unused.py", "pkg/m.py")],
    "identical bytes": lambda: write("src/a.py", "V = 1\n"),
    "touch and chmod": lambda: (os.utime("src/a.py"), os.chmod("src/a.py", 0o600)),
    "comment": lambda: write("src/a.py", "# why\nV = 1\n"),
    "layout": lambda: write("src/a.py", "V  =  (1)\n"),
    "editors' droppings": lambda: [write(f"src/{name}", "x") for name in ("4913", "a.py~", ".a.py.swp", "#a.py#")],
    "caches": lambda: (os.makedirs("src/.venv/lib"), write("src/.venv/lib/q.py"), os.mkdir("src/node_modules")),
    "a notebook's autosave": lambda: write("src/work.ipynb", "{}"),
    "a module that was not used": lambda: write("src/unused.py"),
    "a data file that was not used": lambda: write("src/other.toml", "two"),
}
