"""What is published: built from a checkout, installed where nothing else is, and used there."""

import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from waiting import eventually

import ipy_autorestart

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


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
    assert packed >= {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "CITATION.cff", "tests/test_release.py"}
    assert {name for name in packed if name.startswith("docs/")} >= {"docs/architecture.md", "docs/index.md"}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = email.message_from_bytes(archive.read(next(name for name in names if name.endswith("/METADATA"))))
    ours = {str(path.relative_to(ROOT)) for path in ROOT.glob("ipy_autorestart/**/*.py")}
    assert {name for name in names if name.startswith("ipy_autorestart/")} == ours | {"ipy_autorestart/py.typed"}
    assert metadata["Version"] == ipy_autorestart.__version__
    assert metadata["License-Expression"] == "BSD-3-Clause"
    links = re.findall(r"\]\(([^)]*)\)", metadata.get_payload())
    assert len(links) > 10
    address = dict(one.split(", ") for one in metadata.get_all("Project-URL"))["Repository"]
    assert all(link.startswith((f"{address}/blob/v", f"{address}/raw/v", "#")) for link in links), links
    assert [link.rpartition("/")[2] for link in links if "/raw/" in link] == ["live-notebook.gif"]
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

    assert run(program, "--version", env=environment) == f"ipy-autorestart {ipy_autorestart.__version__}\n"

    # The README's quick start, in the IPython that has been installed with it.
    [begin, watch, end] = README.partition("## Quick start")[2].split("```")[1].strip().splitlines()
    (tmp_path / "src").mkdir()
    main, out = tmp_path / "main.py", tmp_path / "out"
    main.write_text("print('says', 1, flush=True)")
    environment["IPYTHONDIR"] = str(tmp_path / "ipython")
    with open(out, "w") as file:
        shell = subprocess.Popen(
            [python, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"],
            cwd=tmp_path, env=environment, text=True, stdin=subprocess.PIPE, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        shell.stdin.write(f"{begin}\n{watch}\n")
        shell.stdin.flush()
        eventually(lambda: "says 1" in out.read_text())
        main.write_text("print('says', 2, flush=True)")
        eventually(lambda: "says 2" in out.read_text())
        shell.communicate(f"{end}\nexit\n", timeout=30)
    finally:
        shell.kill()
        shell.wait()
    assert "watch ended" in out.read_text()


def test_make_lab_installs_the_buttons_and_starts_as_root_too():
    said = run("make", "--dry-run", "--always-make", "lab", cwd=ROOT)
    assert ".[all,examples]" in said
    assert ("--allow-root" in said) == (os.getuid() == 0)


def test_the_citation_is_of_this_version():
    assert f"\nversion: {ipy_autorestart.__version__}\n" in (ROOT / "CITATION.cff").read_text()
