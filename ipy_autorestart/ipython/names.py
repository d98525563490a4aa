"""The global names that the code of a cell uses, binds and changes."""

from __future__ import annotations

import ast
import contextlib
import re
import symtable
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Names(NamedTuple):
    """Global names in a cell's code."""

    used: frozenset[str] = frozenset()
    bound: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()  # their objects seem to be changed in place


def names_of(code: str, *, shows: bool) -> Names:
    """Return the names in code that IPython has made Python of; none if it isn't any.

    ``shows`` tells that the last expression's value was shown: it was looked at, not changed. Of what a magic is given
    only words are known.
    """
    try:
        with _unheard():
            tree = ast.parse(code, _AGAIN)
            if _INLINES and any(isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp) for node in ast.walk(tree)):
                code = ast.unparse(_Apart().visit(tree))
            top = symtable.symtable(code, _AGAIN, "exec")
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):  # all that the parser raises
        return Names()
    used, bound = set(), set()
    tables = [top]
    for table in tables:
        tables += table.get_children()
        for symbol in table.get_symbols():
            if table is top or symbol.is_global():
                if symbol.is_referenced():
                    used.add(symbol.get_name())
                if symbol.is_assigned() or symbol.is_imported():
                    bound.add(symbol.get_name())
    changed = set[str]()
    looked_at = tree.body[-1] if shows else None
    for statement in _statements(tree.body):
        match statement:
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                changed |= _changed(targets)
            case ast.AugAssign(target=ast.Name(id=name)):  # which the symbol table has as bound alone
                used.add(name)
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target) | ast.For(target=target):
                changed |= _changed([target])
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=inner))) if statement is not looked_at:
                changed.add(_root(inner))
        match statement:
            case ast.Expr(value=call) | ast.Assign(value=call):
                used |= _words(call)
    return Names(frozenset(used), frozenset(bound), frozenset(changed & (used | bound)))


#: Whether symbol tables have the names of a comprehension as those of the code around it (PEP 709).
_INLINES = sys.version_info >= (3, 12)


class _Apart(ast.NodeTransformer):
    """Makes generators of comprehensions, for these have a table of their own in each version."""

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp) -> ast.AST:  # as `ast` calls it
        return self.generic_visit(ast.GeneratorExp(node.elt, node.generators))

    visit_SetComp = visit_ListComp  # noqa: N815

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        pair = ast.Tuple([node.key, node.value], ast.Load())
        return self.generic_visit(ast.GeneratorExp(pair, node.generators))


#: What the parser calls the code, so that a filter of warnings tells it from all else.
_AGAIN = "<a cell that ipy_autorestart parses again>"
_FILTER = ("ignore", None, Warning, re.compile(re.escape(_AGAIN)), 0)


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Silence the parser's warnings, which the user has got already, in no other thread and for no other code.

    The functions of `warnings` would count as a change of its filters, and each warning that is shown once would come
    again.
    """
    filters: Any = warnings.filters  # declared read-only
    filters.insert(0, _FILTER)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # another thread has reset them
            filters.remove(_FILTER)


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Return statements with those inside of them; the nodes of expressions are many."""
    for statement in body:
        yield statement
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(statement, part, ()))


def _changed(targets: Iterable[ast.expr]) -> set[str]:
    """Return the names of objects whose parts are assigned or deleted."""
    nodes = (node for target in targets for node in ast.walk(target))
    parts = (node for node in nodes if isinstance(node, ast.Attribute | ast.Subscript))
    return {_root(node) for node in parts if not isinstance(node.ctx, ast.Load)}


def _root(node: ast.expr) -> str:
    """Return the name at the beginning of ``name.part[key].other``, nothing if there is none."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _words(call: ast.expr) -> set[str]:
    """Return the words that a magic is given, none if this calls no magic."""
    match call:
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython"))), args=args):
            given = [one.value for one in args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            return set(re.findall(r"[^\W\d]\w*", " ".join(given)))
    return set()
