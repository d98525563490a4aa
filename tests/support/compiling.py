"""An extension module that is a library too, and the ways in which builds write it."""

import functools
import os
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import pytest

MARK = b"................"

SOURCE = """
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
static const char value[] = "%s";
const char *get(void) { return value; }
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "ext", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_ext(void) {
    PyObject *module = PyModule_Create(&definition);
    PyModule_AddStringConstant(module, "V", value);
    return module;
}
"""


@functools.cache
def _built():
    compiler, headers = shutil.which("cc"), sysconfig.get_path("include")
    if compiler is None or not os.path.exists(f"{headers}/Python.h"):
        pytest.skip("there is no C compiler, or no headers of Python's")
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "ext.c"), Path(folder, "ext.so")
        source.write_text(SOURCE % MARK.decode())
        subprocess.run([compiler, "-shared", "-fPIC", f"-I{headers}", source, "-o", library], check=True)
        return library.read_bytes()


def library(value):
    """Return a module ``ext``, and a library, whose ``V`` and ``get()`` are this value."""
    return _built().replace(MARK, value.encode().ljust(len(MARK), b"\0"))


def unlinked_and_copied(path, value):
    """Write it as setuptools does: the old one is gone before the new one comes, in pieces."""
    path.unlink(missing_ok=True)
    overwritten(path, value)


def overwritten(path, value):
    """Write it as ``cp`` does: the same file gets another content, in pieces."""
    data = library(value)
    with open(path, "wb", buffering=0) as file:
        for place in range(0, len(data), 1 << 12):
            file.write(data[place : place + (1 << 12)])


def replaced(path, value):
    """Write it as maturin does, and linkers that are careful: under another name, which then is changed."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(library(value))
    beside.replace(path)


WAYS = (unlinked_and_copied, overwritten, replaced)
