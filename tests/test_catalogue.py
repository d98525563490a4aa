"""Each message for users stands in the catalogue, with what causes it and what to do about it."""

import ast
import functools
import re
import string
from pathlib import Path

import pytest

import ipy_autorestart
from ipy_autorestart import catalogue
from ipy_autorestart.catalogue import ADVICE, Hint, Message, Shown, every

ROOT = Path(ipy_autorestart.__file__).parent

HINTS = {name: value for name, value in vars(catalogue).items() if isinstance(value, Hint)}


@functools.cache
def nodes():
    """Return each node of our code, but for the catalogue's, with the place it is at."""
    files = [path for path in ROOT.rglob("*.py") if path.name != "catalogue.py"]
    found = [(path, node) for path in files for node in ast.walk(ast.parse(path.read_text()))]
    return [(f"{path}:{node.lineno}", node) for path, node in found if isinstance(node, ast.Attribute | ast.Call)]


def fields_of(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


#: Whose sentences nobody reads but in a traceback: mistakes in our own code, and faults that are caught and told.
MISTAKES = {
    "TypeError",
    "ValueError",
    "AttributeError",
    "FileNotFoundError",
    "FileExistsError",
    "TimeoutError",
    "ImportError",
}

#: What is done to sentences of the log.
LOGS = {"logged", "_lose", "debug", "info", "warning", "error", "exception"}

#: Sentences of other pages than that of the messages: the help of a command, which is made of the options.
HELP = {"cli.py", "magics.py", "protocol/options.py", "protocol/request.py"}

#: Names for what a process has from the system, for the log.
INNER = {"reexec/surroundings.py"}

#: Other things of several words than sentences: names that others have given, and words that nobody is shown.
NAMES = {
    "Traceback (most recent call last):",  # Python's
    "expected one argument",  # argparse's
    "ignored explicit argument",
    "Callback with id",  # asyncio's
    "new code",  # for the log of a Dask worker
    "rerun: false",  # why a cell is not run again, if nobody has to be told
    "not marked",
}

#: Where this package is not: the sentences stand there, and in the catalogue.
ELSEWHERE = {
    *(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("shim/*.py")),
    *("cluster/remote.py", "cluster/on_engine.py"),
}


def is_exempt(node):
    """Whether what stands in a node is read by nobody, or is none of a person's language."""
    match node:
        case ast.Expr(ast.Constant()) | ast.keyword("help"):  # a docstring, an option
            return True
        case ast.Call(ast.Name(name) | ast.Attribute(_, name)):
            return name in LOGS | MISTAKES
        case ast.ClassDef(bases=bases):  # whose values are for programs
            return any(ast.unparse(base).endswith("Enum") for base in bases)
    return False


#: Several words; and what is markup, a template of a program, or a name of the import system's.
SEVERAL, CODE = re.compile(r"[a-z']+[,:;]? +[a-z]{2,}"), re.compile(r"[<\n\\]|-left: |-size: ")


def sentences(node):
    """Yield what stands literally in code and has several words, with `{}` for what is filled in, and its line."""
    if is_exempt(node):
        return
    text = pattern(node)
    if text is not None and SEVERAL.search(text) and not CODE.search(text):
        yield node.lineno, text
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            is_told = text is not None and isinstance(child, ast.Constant | ast.BinOp)
            if isinstance(child, ast.AST) and name not in ("annotation", "returns") and not is_told:
                yield from sentences(child)


def pattern(node):
    """Return text with `{}` for what is filled in; None where there is none."""
    match node:
        case ast.Constant(str(text)):
            return text
        case ast.JoinedStr(values):
            return "".join(value.value if isinstance(value, ast.Constant) else "{}" for value in values)
        case ast.BinOp(left, ast.Add(), right):
            parts = pattern(left), pattern(right)
            return None if parts == (None, None) else "".join("{}" if part is None else part for part in parts)
    return None


def found_in(name):
    return [(line, text) for line, text in sentences(ast.parse((ROOT / name).read_text())) if text not in NAMES]


def test_no_sentence_for_users_stands_elsewhere():
    files = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py")} - ELSEWHERE - HELP - INNER
    found = [f"{name}:{line}: {text!r}" for name in sorted(files - {"catalogue.py"}) for line, text in found_in(name)]
    assert not found, "not in the catalogue"


def told_elsewhere():
    """Return each sentence of code that can't import the catalogue, and its place."""
    return {text: f"{name}:{line}" for name in ELSEWHERE for line, text in found_in(name)}


def as_pattern(hint):
    return re.sub(r"{[^}]*}", "{}", hint.text)


def test_code_that_can_not_import_the_catalogue_says_what_stands_there():
    known = set(map(as_pattern, HINTS.values()))
    assert {text: place for text, place in told_elsewhere().items() if text not in known} == {}


def test_each_message_is_used_and_gets_its_fields():
    there = told_elsewhere()
    named = {name for name, hint in HINTS.items() if as_pattern(hint) in there}
    for place, node in nodes():
        match node:
            case ast.Call(ast.Attribute(ast.Name("catalogue"), name), _, keywords) if name in HINTS:
                assert {keyword.arg for keyword in keywords} == fields_of(HINTS[name].text), place
            case ast.Call(ast.Attribute(ast.Attribute(ast.Name("catalogue"), name), "counted"), _, keywords):
                fields = {"count", *(keyword.arg for keyword in keywords)}
                assert fields == {"count"} | fields_of(HINTS[name].text) == fields_of(HINTS[name].many), place
            case ast.Attribute(ast.Name("catalogue"), name) if name in HINTS:
                named.add(name)
    assert named == HINTS.keys()


def test_a_text_is_one_plain_line():
    for name, hint in HINTS.items():
        assert " ".join(hint.text.split()) == hint.text.strip(), name
        assert not hint.text.endswith((".", "!")), name
        assert not re.match(r"(?!Python )[A-Z][a-z]", hint.text), name
        assert len(re.sub(r"\{[^}]*\}", "", hint.text)) <= 180, name


def test_a_message_says_what_causes_it_and_what_to_do():
    for name, message in every().items():
        assert message.fix or message.shown in ADVICE, name
        for words in filter(None, (message.cause, message.fix)):
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
