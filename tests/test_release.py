"""What is published: built from a checkout, installed where nothing else is, and used there."""

import email
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from waiting import eventually

import ipy_autorestart

ROOT = Path(__file__).parent.parent


def test_the_changelog_knows_the_version():
    assert f"\n## {ipy_autorestart.__version__} " in (ROOT / "CHANGELOG.md").read_text()


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """Sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def run(*words, **options):
    done = subprocess.run(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.e2e
@pytest.mark.xdist_group("release")
def test_what_is_built_is_whole_and_fit_to_be_published(dist):
    sdist, wheel = dist
    assert run(sys.executable, "-m", "twine", "check", "--strict", *dist).count("PASSED") == 2
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert packed >= {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "docs/index.md", "tests/test_release.py"}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = email.message_from_bytes(archive.read(next(name for name in names if name.endswith("/METADATA"))))
    ours = {str(path.relative_to(ROOT)) for path in ROOT.glob("ipy_autorestart/**/*.py")}
    assert {name for name in names if name.startswith("ipy_autorestart/")} == ours | {"ipy_autorestart/py.typed"}
    assert metadata["Version"] == ipy_autorestart.__version__
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert {"Framework :: IPython", "Framework :: Jupyter", "Typing :: Typed"} <= set(metadata.get_all("Classifier"))


@pytest.mark.e2e
@pytest.mark.xdist_group("release")
def test_it_works_where_nothing_else_is_installed(dist, tmp_path):
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "empty")
    python, program = tmp_path / "empty/bin/python", tmp_path / "empty/bin/ipy-autorestart"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run(*pip, "install", "--quiet", dist[1], env=environment)
    run(*pip, "check", env=environment)
    shown = run(
        python, "-c", "import ipy_autorestart as it; print(it.__version__, it.__file__)", env=environment, cwd=tmp_path
    )
    assert shown.startswith(f"{ipy_autorestart.__version__} {tmp_path}")

    main, out = tmp_path / "main.py", tmp_path / "out"
    main.write_text("print('one', flush=True)")
    with open(out, "w") as file:
        watch = subprocess.Popen([program, "main.py"], cwd=tmp_path, env=environment, stdout=file, stderr=file)
    try:
        eventually(lambda: "finished in" in out.read_text())
        main.write_text("print('two', flush=True)")
        eventually(lambda: "two" in out.read_text())
    finally:
        watch.terminate()
        watch.wait(10)
