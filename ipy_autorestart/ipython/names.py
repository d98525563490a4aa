"""The global names that the code of a cell uses, binds and changes."""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterator
from typing import NamedTuple


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
        top, tree = symtable.symtable(code, "cell", "exec"), ast.parse(code)
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
    changed = set()
    looked_at = tree.body[-1] if shows else None
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=inner, ctx=ast.Store() | ast.Del()):
                changed.add(_root(inner))
            case ast.Subscript(value=inner, ctx=ast.Store() | ast.Del()):
                changed.add(_root(inner))
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=inner))) if node is not looked_at:
                changed.add(_root(inner))
            case ast.AugAssign(target=ast.Name(id=name)):
                used.add(name)
            case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")))):
                used.update(_words(node))
    return Names(frozenset(used), frozenset(bound), frozenset(changed & (used | bound)))


def _root(node: ast.expr) -> str:
    """Return the name at the beginning of ``name.part[key].other``, nothing if there is none."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _words(call: ast.Call) -> Iterator[str]:
    for argument in call.args:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            yield from re.findall(r"[^\W\d]\w*", argument.value)
