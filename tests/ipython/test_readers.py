"""Libraries that open files by themselves are known, and those that have Python open them are not among them."""

import importlib.util
import subprocess
import sys

import pytest

from ipy_autorestart.ipython.readers import READERS, has_reader


def test_a_library_is_known_by_its_module():
    assert not has_reader({"json", "pyarrow.lib"})
    assert has_reader({"json": None, "h5py": None})


#: What loads what, and the libraries that it takes.
LOADS = [
    ("import pyarrow.csv as c; c.read_csv('data.csv')", ["pyarrow"], True),
    ("import pandas as p; p.read_csv('data.csv', engine='pyarrow')", ["pandas", "pyarrow"], True),
    ("import pandas as p; p.read_csv('data.csv').to_parquet('x'); p.read_parquet('x')", ["pandas", "pyarrow"], True),
    ("import polars as p; p.read_csv('data.csv')", ["polars"], True),
    (
        "import pandas as p; d = p.read_csv('data.csv'); d.groupby('a').sum(); d.to_json('x'); p.read_json('x')\n"
        "d.to_pickle('x'); p.read_pickle('x'); d.to_html(); str(d)",
        ["pandas"],
        False,
    ),
    ("import numpy as n; n.loadtxt('data.csv', skiprows=1); n.fromfile('data.csv', 'b')", ["numpy"], False),
    ("import matplotlib.pyplot, PIL.Image, sklearn.linear_model", ["matplotlib", "PIL", "sklearn"], False),
    ("import csv, json, sqlite3, zipfile, gzip, xml.etree.ElementTree; csv.reader(open('data.csv'))", [], False),
]


@pytest.mark.e2e
@pytest.mark.parametrize(("code", "needed", "expected"), LOADS)
def test_they_are_loaded_by_what_reads_so_and_not_by_ordinary_work(tmp_path, code, needed, expected):
    for name in needed:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    (tmp_path / "data.csv").write_text("a\n1\n")
    look = "\nimport sys; from ipy_autorestart.ipython.readers import has_reader; print(has_reader(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code + look], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == str(expected)


#: What Python hears of each that is installed here: nothing.
UNHEARD = {
    "pyarrow.csv": "pyarrow.csv.read_csv('data.csv')",
    "polars": "polars.read_csv('data.csv')",
    "lxml.etree": "lxml.etree.parse('data.csv', lxml.etree.HTMLParser())",
}


@pytest.mark.e2e
@pytest.mark.parametrize(("module", "read"), UNHEARD.items())
def test_python_does_not_hear_of_what_they_open(tmp_path, module, read):
    assert module in READERS
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        pytest.skip(f"{module} is not installed")
    (tmp_path / "data.csv").write_text("a\n1\n")
    heard = "sys.addaudithook(lambda event, args: event == 'open' and heard.append(str(args[0])))"
    code = f"import sys, {module}; heard = []; {heard}\n{read}\nprint([one for one in heard if 'data.csv' in one])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
