"""Compiled modules are forgotten, whoever compiled them."""

from ipy_autorestart.engine.engine import forget


def test_every_interpreters_and_every_place(tmp_path):
    folder, prefix = tmp_path / "p[1]", tmp_path / "cache"
    mirrored = prefix / str(folder).lstrip("/")
    files = [
        folder / "__pycache__/a.cpython-311.pyc",
        folder / "__pycache__/a.cpython-313.opt-1.pyc",
        mirrored / "a.cpython-311.pyc",
    ]
    others = [folder / "__pycache__/ab.cpython-311.pyc", folder / "a.py"]
    for file in (*files, *others):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    forget([str(folder / "a.py"), str(folder / "b.txt")], prefix=str(prefix))
    assert not [file for file in files if file.exists()]
    assert all(file.exists() for file in others)


def test_what_is_imported_without_a_source_stays(tmp_path):
    compiled = tmp_path / "a.pyc"
    compiled.touch()
    forget([str(tmp_path / "a.py")])
    assert compiled.exists()
