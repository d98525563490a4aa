"""Decide from names alone which folders are entered and which files count.

Names are matched relative to the root, and never against a path that the user named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

#: Folders that are never entered. They may hold more folders than the project, and each would cost a watch.
HEAVY = (
    *(".git", ".hg", ".svn", ".venv", "venv", "node_modules", ".tox", ".nox", ".mypy_cache", ".ruff_cache"),
    *(".pytest_cache", ".hypothesis", ".eggs", ".idea", ".vscode", ".cache", ".direnv", ".dvc", ".pixi"),
    *("__pypackages__", "site-packages", "*.egg-info"),
)

#: Folders that are never entered either, but flat and in many places: planning around them would cost more
#: threads than it saves watches.
LIGHT = ("__pycache__", ".ipynb_checkpoints")

#: What editors and tools leave beside a file while they save it.
DROPPINGS = (
    *("4913", "*~", ".*.sw?", "#*#", ".#*", ".~*", "*.tmp", "sed??????", ".goutputstream*"),
    *("*___jb_*___", "flycheck_*", ".nfs*", ".fuse_hidden*", "*.py[co]"),
)

_ENVIRONMENT = frozenset({"pyvenv.cfg", "conda-meta"})


@dataclass(frozen=True, slots=True)
class Filter:
    """What counts below a root.

    Paths are absolute, and ``root`` is a leading part of them. A pattern without a slash matches a name at
    any depth, one with a slash the path relative to the root; ``**`` spans folders, a slash at the end means
    folders only.

    Attributes
    ----------
    patterns
        Files that count besides ``*.py``.
    ignores
        Files that don't count and folders that aren't entered.
    excluded
        Says of an absolute path, and whether it is a folder, that it doesn't count (``.gitignore``).
    """

    patterns: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()
    excluded: Callable[[str, bool], bool] | None = None
    _counting: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _dropping: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _outside: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _ignored: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _notebooks: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [name for name in self.ignores if name.rstrip("/")]
        put = object.__setattr__
        put(self, "_counting", _regex(("*.py", *self.patterns)))
        put(self, "_dropping", _regex(DROPPINGS))
        put(self, "_outside", _regex((*HEAVY, *LIGHT, *names), below=True))
        # A pattern for folders must not hit a file of the same name.
        put(self, "_ignored", _regex([name for name in names if not name.endswith("/")]))
        put(self, "_notebooks", any(pattern.endswith(".ipynb") for pattern in self.patterns))

    def enters(self, root: str, folder: str) -> bool:
        """Whether a folder below ``root`` is entered, judged by its own name and those above it."""
        relative = _relative(root, folder)
        return not relative or self._outside.search(relative) is None

    def counts(self, root: str, path: str) -> bool:
        """Whether a file below ``root`` counts, judged by its name and those of its folders."""
        relative = _relative(root, path)
        folder, _, name = relative.rpartition("/")
        return (
            self._counting.search(relative) is not None
            and self.may_be_used(root, path)
            and (self._notebooks or not name.endswith(".ipynb"))
            and (not folder or self._outside.search(folder) is None)
        )

    def may_be_used(self, root: str, path: str) -> bool:
        """Whether a file below ``root`` may count because the target read it, whatever its kind."""
        relative = _relative(root, path)
        folder, _, name = relative.rpartition("/")
        return (
            self._dropping.search(name) is None
            and self._ignored.search(relative) is None
            and (not folder or self._outside.search(folder) is None)
        )

    def excludes(self, path: str, *, folder: bool) -> bool:
        """Whether the predicate rules a path out; unlike all else here it may read files."""
        return self.excluded is not None and self.excluded(path, folder)


def is_heavy(name: str) -> bool:
    """Whether a folder that is not entered is worth planning around."""
    return name not in LIGHT


def is_environment(names: Collection[str]) -> bool:
    """Whether a folder that holds these names is a virtual or conda environment."""
    return not _ENVIRONMENT.isdisjoint(names)


def is_below(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or lies in it."""
    return path == folder or path.startswith(folder if folder.endswith("/") else folder + "/")


def below_any(path: str, folders: Iterable[str]) -> bool:
    """Whether ``path`` is one of ``folders`` or lies in one."""
    return any(is_below(path, folder) for folder in folders)


def _regex(patterns: Iterable[str], *, below: bool = False) -> re.Pattern[str]:
    """Compile patterns into one expression over relative paths; ``below`` also hits what lies in a match."""
    end = r"(?:/|\Z)" if below else r"\Z"
    parts = []
    for pattern in patterns:
        body = pattern.rstrip("/")
        start = r"\A" if "/" in body else r"(?:\A|/)"
        parts.append(start + _body(body.lstrip("/")) + end)
    return re.compile("|".join(parts) or r"(?!)", re.DOTALL)


_TOKEN = re.compile(
    r"(?P<deep>\*\*/)|(?P<all>\*\*)|(?P<some>\*)|(?P<one>\?)|\[(?P<not>!?)(?P<set>\]?[^]]*)\]"
)
_WILD = {"deep": "(?:.*/)?", "all": ".*", "some": "[^/]*", "one": "[^/]"}


def _body(pattern: str) -> str:
    """Translate one pattern; ``glob.translate`` would, but came with Python 3.13."""
    parts = []
    at = 0
    for token in _TOKEN.finditer(pattern):
        parts.append(re.escape(pattern[at : token.start()]))
        at = token.end()
        chosen = token["set"]
        if chosen is None:
            parts.append(_WILD[token.lastgroup or "some"])
        else:
            escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", chosen)
            parts.append(f"[{'^/' if token['not'] else ''}{escaped}]")
    return "".join(parts) + re.escape(pattern[at:])


def _relative(root: str, path: str) -> str:
    if path == root:
        return ""
    return path[len(root) + (not root.endswith("/")) :]
