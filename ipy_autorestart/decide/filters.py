"""Decide from names alone which folders are entered and which files count.

Names are matched relative to the root, and never against a path that the user named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from ipy_autorestart import catalogue
from ipy_autorestart.decide.compiled import COMPILED

#: Folders that are never entered. They may hold more folders than the project, and each would cost a watch.
HEAVY = (
    *(".git", ".hg", ".svn", ".venv", "venv", "node_modules", ".tox", ".nox", ".mypy_cache", ".ruff_cache"),
    *(".pytest_cache", ".hypothesis", ".eggs", ".idea", ".vscode", ".cache", ".direnv", ".dvc", ".pixi"),
    *("__pypackages__", "site-packages", "*.egg-info"),
)

#: Folders that are never entered either, but flat and in many places: planning around them would cost more
#: threads than it saves watches.
LIGHT = ("__pycache__", ".ipynb_checkpoints")

#: Files that editors and tools leave beside a file while they save it.
DROPPINGS = (
    *("4913", "*~", ".*.sw?", "#*#", ".#*", ".~*", "*.tmp", "sed??????", ".goutputstream*"),
    *("*___jb_*___", "flycheck_*", ".nfs*", ".fuse_hidden*", "*.py[co]"),
)

#: Large trees have few names of files, each in many folders; verdicts on so many are remembered.
REMEMBERED_MAX = 4096

_ENVIRONMENT = frozenset({"pyvenv.cfg", "conda-meta"})


@dataclass(frozen=True, slots=True)
class Filter:
    """The rules for what counts below a root.

    Paths are absolute, and ``root`` is a leading part of them. A pattern without a slash matches a name at
    any depth, one with a slash the path relative to the root; ``**`` spans folders, a slash at the end means
    folders only. What is left out by its name, as hardly anybody means it, counts where a pattern spells that name:
    ``*.tmp``, ``node_modules/ours/*.js``.

    Attributes
    ----------
    patterns
        Files that count besides Python sources and compiled code.
    ignores
        Files that don't count and folders that aren't entered.
    verdicts
        What `picks` says of files of some names, wherever they are.
    excluded
        Says of an absolute path, and whether it is a folder, that it doesn't count (``.gitignore``).
    """

    patterns: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()
    excluded: Callable[[str, bool], bool] | None = None
    verdicts: dict[str, bool] = field(init=False, repr=False, compare=False, default_factory=dict)
    _entered: dict[str, bool] = field(init=False, repr=False, compare=False, default_factory=dict)
    _counting: _Globs = field(init=False, repr=False, compare=False)
    _named: _Globs = field(init=False, repr=False, compare=False)
    _spelt: _Globs = field(init=False, repr=False, compare=False)
    _spelt_folders: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _not: _Globs = field(init=False, repr=False, compare=False)
    _ignored: _Globs = field(init=False, repr=False, compare=False)
    _outside: _Globs = field(init=False, repr=False, compare=False)
    _by_name: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ignores = [name for name in self.ignores if name.strip("/")]
        # A pattern for folders must not hit a file of the same name.
        files = [name for name in ignores if not name.endswith("/")]
        put = object.__setattr__
        put(self, "_counting", _Globs(("*.py", *COMPILED, *self.patterns)))
        put(self, "_named", _Globs(self.patterns))
        put(self, "_spelt", _Globs(pattern for pattern in self.patterns if _HARDLY.hit("", _name(pattern))))
        put(self, "_spelt_folders", tuple(filter(None, map(_literal_folder, self.patterns))))
        put(self, "_not", _Globs(files))
        put(self, "_ignored", _Globs(ignores, below=True))
        put(self, "_outside", _Globs((*HEAVY, *LIGHT, *ignores), below=True))
        put(self, "_by_name", not any("/" in name.rstrip("/") for name in (*self.patterns, *ignores)))

    def enters(self, root: str, folder: str) -> bool:
        """Whether a folder below ``root`` is entered, judged by its own name and those above it."""
        relative = _relative(root, folder)
        if not relative or not self._outside.hit(relative, relative.split("/")):
            return True
        return self.spells(root, folder) and not self._ignored.hit(relative, relative.split("/"))

    def enters_next(self, root: str, folder: str) -> bool:
        """Whether a folder below ``root`` is entered, that around it being entered."""
        if not self._by_name:
            return self.enters(root, folder)
        name = _name(folder)
        entered = self._entered.get(name[0])
        if entered is None:
            if len(self._entered) >= REMEMBERED_MAX:
                self._entered.clear()
            entered = self._entered[name[0]] = not self._outside.hit("", name)
        return entered

    def spells(self, root: str, folder: str) -> bool:
        """Whether a pattern spells a folder below ``root``: it leads there, or to a folder in it or around it."""
        relative = _relative(root, folder)
        for spelt in self._spelt_folders:
            rest = relative[len(spelt) + 1 :] if is_below(relative, spelt) else ""
            if is_below(spelt, relative) or (rest and not _NEVER.hit(rest, rest.split("/"))):
                return True
        return False

    def counts(self, root: str, path: str) -> bool:
        """Whether a file below ``root`` counts, judged by its name and those of its folders."""
        return self.picks(root, path) and self.enters(root, path[: path.rfind("/")])

    def picks(self, root: str, path: str) -> bool:
        """Whether a file below ``root`` counts, its folder being entered."""
        names = _name(path)
        if not self._by_name:
            return self._picks(_relative(root, path), names)
        picked = self.verdicts.get(names[0])
        if picked is None:
            if len(self.verdicts) >= REMEMBERED_MAX:
                self.verdicts.clear()
            picked = self.verdicts[names[0]] = self._picks("", names)
        return picked

    def _picks(self, relative: str, names: tuple[str]) -> bool:
        return (
            self._counting.hit(relative, names)
            and not self._not.hit(relative, names)
            and (not _HARDLY.hit(relative, names) or self._spelt.hit(relative, names))
        )

    def names(self, root: str, path: str) -> bool:
        """Whether a pattern names a file below ``root``, which then counts whatever the target used."""
        return self._named.hit(_relative(root, path), _name(path))

    def may_be_used(self, root: str, path: str) -> bool:
        """Whether a file below ``root`` may count because the target read it, whatever its kind."""
        relative, names = _relative(root, path), _name(path)
        left_out = _DROPPINGS.hit(relative, names) or self._not.hit(relative, names)
        return not left_out and self.enters(root, path[: path.rfind("/")])

    def why_not(self, root: str, path: str) -> str:
        """Say why a file below ``root`` that doesn't count doesn't; nothing where nobody would expect it to."""
        relative, names = _relative(root, path), _name(path)
        if _HARDLY.hit(relative, names) or _NEVER.hit(relative, relative.split("/")):
            return ""
        if not self.may_be_used(root, path):
            return catalogue.WHY_IGNORED()
        return catalogue.WHY_NO_SOURCE()

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


def _name(path: str) -> tuple[str]:
    return (path[path.rfind("/") + 1 :],)


def _relative(root: str, path: str) -> str:
    if path == root:
        return ""
    return path[len(root) + (not root.endswith("/")) :]


class _Globs:
    """Patterns, sorted by what they cost: plain names, names with wildcards, relative paths.

    ``below`` has patterns for paths hit what lies in a match, too.
    """

    __slots__ = ("_names", "_paths", "_plain")

    def __init__(self, patterns: Iterable[str], *, below: bool = False) -> None:
        bodies = [pattern.rstrip("/") for pattern in patterns]
        single = [body for body in bodies if "/" not in body]
        self._plain = frozenset(body for body in single if not _TOKEN.search(body))
        self._names = _compiled([body for body in single if body not in self._plain], r"\Z")
        paths = [body.lstrip("/") for body in bodies if "/" in body]
        self._paths = _compiled(paths, r"(?:/|\Z)" if below else r"\Z") if paths else None

    def hit(self, relative: str, names: Iterable[str]) -> bool:
        """Whether a pattern hits one of ``names``, or ``relative`` as a whole."""
        plain, matches = self._plain, self._names.match
        for name in names:
            if name in plain or matches(name):
                return True
        return self._paths is not None and self._paths.match(relative) is not None


def _compiled(bodies: Iterable[str], end: str) -> re.Pattern[str]:
    alternatives = "|".join(map(_body, bodies)) or "(?!)"
    return re.compile(f"(?:{alternatives}){end}", re.DOTALL)


_TOKEN = re.compile(r"(?P<deep>\*\*/)|(?P<all>\*\*)|(?P<some>\*)|(?P<one>\?)|\[(?P<not>!?)(?P<set>\]?[^]]*)\]")
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


def _literal_folder(pattern: str) -> str:
    """Return the folder that a pattern leads to before its first wildcard."""
    path = pattern.strip("/")
    wild = _TOKEN.search(path)
    return path[: wild.start() if wild else None].rpartition("/")[0]


#: Files and folders that are left out by their names.
_DROPPINGS, _HARDLY = _Globs(DROPPINGS), _Globs((*DROPPINGS, "*.ipynb"))
_NEVER = _Globs((*HEAVY, *LIGHT), below=True)
