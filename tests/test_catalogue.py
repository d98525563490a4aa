"""Each message for users stands in the catalogue, with what causes it and what to do about it."""

import ast
import functools
import re
import string
from pathlib import Path

import pytest

import ipy_autorestart
from ipy_autorestart import catalogue
from ipy_autorestart.catalogue import Hint, Message, Shown, every

ROOT = Path(ipy_autorestart.__file__).parent

#: Errors and refusals that users read: their sentences come from the catalogue.
TOLD = {"BadInput", "UsageError", "CantRestart", "InputNeeded"}

HINTS = {name: value for name, value in vars(catalogue).items() if isinstance(value, Hint)}


@functools.cache
def nodes():
    """Return each node of our code, but for the catalogue's, with the place it is at."""
    files = [path for path in ROOT.rglob("*.py") if path.name != "catalogue.py"]
    found = [(path, node) for path in files for node in ast.walk(ast.parse(path.read_text()))]
    return [(f"{path}:{node.lineno}", node) for path, node in found if isinstance(node, ast.Attribute | ast.Call)]


def fields_of(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def words_in(node):
    """Return what stands literally in an expression, but for what it passes to others."""
    if isinstance(node, ast.Call):
        return ""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(map(words_in, ast.iter_child_nodes(node)))


def test_no_sentence_for_users_stands_elsewhere():
    for place, node in nodes():
        match node:
            case ast.Call(ast.Name(name), args) if name in TOLD:
                literal = "".join(map(words_in, args))
                assert not re.search(r"\w+ \w+", literal), f"{place}: {literal!r} is not in the catalogue"


def test_each_message_is_used_and_gets_its_fields():
    named = set()
    for place, node in nodes():
        match node:
            case ast.Call(ast.Attribute(ast.Name("catalogue"), name), _, keywords) if name in HINTS:
                assert {keyword.arg for keyword in keywords} == fields_of(HINTS[name].text), place
            case ast.Attribute(ast.Name("catalogue"), name):
                named.add(name)
    assert named == HINTS.keys()


def test_a_text_is_one_plain_line():
    for name, hint in HINTS.items():
        assert " ".join(hint.text.split()) == hint.text.lstrip(), name
        assert not hint.text.endswith((".", "!")), name
        assert not re.match(r"[A-Z][a-z]", hint.text), name
        assert len(re.sub(r"\{[^}]*\}", "", hint.text)) <= 180, name


def test_a_message_says_what_causes_it_and_what_to_do():
    for name, message in every().items():
        for words in (message.cause, message.fix):
            assert re.match(r"[A-Z`]", words), name
            assert words.endswith("."), name
            assert fields_of(words) == set(), name
        assert isinstance(message.shown, Shown), name


def test_a_message_is_its_text_with_its_fields():
    message = Message(text="{path}: no such file, got {value!r}", cause="A.", fix="B.")
    assert message(path="{a}", value="x") == "{a}: no such file, got 'x'"
    with pytest.raises(KeyError):
        message(path="a")


def test_no_two_messages_read_the_same():
    texts = [hint.text for hint in HINTS.values()]
    assert len(set(texts)) == len(texts)
