"""The site: it builds without a warning, its links lead somewhere, and the program takes the lines that it shows."""

import ast
import doctest
import html.parser
import inspect
import json
import re
import shlex
import subprocess
import sys
import urllib.parse
from pathlib import Path

import documents
import generated
import play
import pytest
from IPython.core.inputtransformer2 import TransformerManager

import ipy_autorestart
from ipy_autorestart.protocol.options import Options
from ipy_autorestart.protocol.parse import BACK, HELPING, parse, without_comment
from ipy_autorestart.protocol.request import Kernel

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
MAGICS = {
    "autoreload",
    "config",
    "load_ext",
    "unload_ext",
    "pdb",
    "pip",
    "unwatch",
    "watch_restart",
    "watch_status",
    "writefile",
}
BY_HAND = {"--now", "--pause", "--resume", BACK, *HELPING}


class Page(html.parser.HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.anchors.add(named.get("id"))
        self.links += [named[name] for name in ("href", "src") if name in named]


@pytest.mark.e2e
def test_the_site_is_built_and_its_links_lead_somewhere(tmp_path):
    pytest.importorskip("myst_nb", reason="needs the extra `docs`")
    pytest.importorskip("furo", reason="needs the extra `docs`")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    built = subprocess.run(
        [*command, "--doctree-dir", tmp_path / "doctrees", DOCS, tmp_path / "site"], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    site = tmp_path / "site"
    pages = {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}
    assert {page.relative_to(DOCS).with_suffix(".html") for page in PAGES if "figures" not in page.parts} <= {
        path.relative_to(site) for path in pages
    }
    for path, page in pages.items():
        for link in page.links:
            to = urllib.parse.urlsplit(link)
            if to.scheme:
                assert to.scheme == "data" or (to.scheme in ("http", "https") and to.netloc), f"{path.name}: {link}"
                continue
            target = (path.parent / urllib.parse.unquote(to.path)).resolve() if to.path else path
            assert target.exists(), f"{path.name}: {link}"
            if to.fragment and target in pages and path.name not in ("genindex.html", "search.html"):
                assert urllib.parse.unquote(to.fragment) in pages[target].anchors, f"{path.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_what_a_page_takes_from_the_code_is_as_it_is_there(page):
    assert page.read_text() == generated.filled(page.read_text()), "python docs/generated.py"


def blocks(page):
    """Yield the fenced blocks of a page: what they are in, and their text."""
    for _, kind, text in re.findall(r"^( *)```([^\n]*)\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL):
        yield kind, inspect.cleandoc(text)


def lines(page):
    """Yield the lines of a page that are for IPython or a shell, without what stands for something else."""
    for kind, text in blocks(page):
        if kind in ("", "console", "ipython3"):
            lines = map(str.lstrip, text.splitlines())
            yield from (line.removeprefix("$ ") for line in lines if line.startswith(("%", "$ ")))
    inline = re.findall(r"(?<!`)`(%\w+ [^`]*|ipy-autorestart [^`]*)`(?!`)", page.read_text())
    yield from (line for line in inline if not re.search(r"[\[…<|]|TARGET", line))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_program_takes_the_lines_of_a_page(page):
    for line in lines(page):
        line = re.sub(r"^python -m ipy_autorestart\b", "ipy-autorestart", line)
        command, *words = shlex.split(without_comment(line))
        if command == "%watch_restart" and not BY_HAND.intersection(words):
            parse(words, defaults=Options())
        elif command == "ipy-autorestart" and words:
            words = [word for word in shlex.split(line.partition(" | ")[0])[1:] if word not in ("<", "input.txt")]
            assert not isinstance(parse(words, defaults=Options(), kernel=False).target, Kernel), line
        elif command.startswith("%"):
            assert command.lstrip("%") in MAGICS, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_python_of_a_page_is_python(page):
    for kind, text in blocks(page):
        if kind in ("python", "ipython3"):
            ast.parse(TransformerManager().transform_cell(text))


@pytest.mark.e2e
@pytest.mark.parametrize("name", ipy_autorestart.__all__)
def test_the_examples_of_a_public_name_show_what_happens(name, project, monkeypatch):
    public = getattr(ipy_autorestart, name)
    (project / "src").mkdir(exist_ok=True)
    (project / "main.py").write_text("print('hello')\n")
    monkeypatch.chdir(project)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    shown = {one: getattr(ipy_autorestart, one) for one in ipy_autorestart.__all__}
    for test in doctest.DocTestFinder(recurse=False).find(public, name, globs=shown):
        said = []
        runner.run(test, out=said.append)
        assert runner.failures == 0, "".join(said)
    assert inspect.getdoc(public)


@pytest.mark.parametrize("name", ["what-counts"])
def test_a_page_quotes_what_the_program_says(name):
    code = "".join(path.read_text() for path in (ROOT / "ipy_autorestart").rglob("*.py"))
    tables = re.findall(r"^\| it says .*\n((?:\|.*\n)+)", (DOCS / f"{name}.md").read_text(), re.MULTILINE)
    said = re.findall(r"`([^`]+)`", "\n".join(row.split("|")[1] for table in tables for row in table.splitlines()))
    assert len(said) > 5
    for part in (part.strip() for words in said for part in words.split("…")):
        assert part in code, part


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_the_site_shows_a_notebook_as_it_is_now(path):
    there, shown = (json.loads(one.read_text())["cells"] for one in (path, DOCS / "notebooks" / path.name))
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in shown] == [
        (cell["cell_type"], "".join(cell["source"])) for cell in there
    ], "make notebooks"
    assert any(cell.get("outputs") for cell in shown)


@pytest.mark.e2e
def test_a_played_notebook_keeps_what_a_page_would_show(tmp_path):
    documents.write(tmp_path / "n.ipynb", documents.cells("1"))
    bar = {"kind": "stream", "name": "stderr", "text": "10%\r 50%\r100%\n"}
    shown = {"kind": "display_data", "data": {"text/plain": "x"}, "metadata": {}, "transient": {"display_id": "d"}}
    [cell] = play.with_outputs(tmp_path / "n.ipynb", [play.Cell("", "1", outputs=[bar, shown])]).cells
    assert [cell.outputs[0].text, cell.outputs[1].data] == ["100%\n", {"text/plain": "x"}]
    assert cell.execution_count == 1
