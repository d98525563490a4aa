"""An argument line in, a request out."""

import os
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipy_autorestart import BadInput, Kernel, Options, Script, Supervisor
from ipy_autorestart.protocol.messages import encode
from ipy_autorestart.protocol.options import each
from ipy_autorestart.protocol.parse import cell_of, parse, parser, without_comment
from ipy_autorestart.protocol.plain import from_json
from ipy_autorestart.protocol.request import Launch, Request


def read(*words, **how):
    return parse(words, defaults=Options(), cwd="/p", **how)


def test_the_last_python_file_is_the_script_and_the_rest_is_watched():
    request = read("lib/", "a.py", "main.py", "data")
    assert request.target == Script("main.py", cwd="/p")
    assert request.paths == ("lib/", "a.py", "data")


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("src/ main.py  # run it", "src/ main.py  "),
        ("# nothing but that", ""),
        ("a#b.py c#", "a#b.py c#"),
        (r"""main.py '# one' \# "a # \" #" # two""", r"""main.py '# one' \# "a # \" #" """),
        ("it's # open", "it's "),
    ],
)
def test_a_line_ends_at_its_comment(line, left):
    assert without_comment(line) == left


def test_no_script_means_the_kernel():
    assert read("src/").target == Kernel()
    assert read("src/", "b/") == Request(Kernel(), ("src/", "b/"), Options(), "/p")


def test_options_may_stand_anywhere():
    request = read("--debounce", "1", "src/", "--pattern=*.toml", "main.py", "--pattern", "*.csv", "--", "--debounce")
    assert request.options == Options(debounce=1.0, pattern=("*.toml", "*.csv"))
    assert request.target == Script("main.py", args=["--debounce"], cwd="/p")


def test_what_follows_a_module_is_its_arguments():
    request = read("src/", "-m", "uvicorn", "app:app", "--debounce", "2", "--", "--port", "80")
    assert request.target == Script(module="uvicorn", args=["app:app", "--port", "80"], cwd="/p")
    assert request.paths == ("src/",)
    assert request.options.debounce == 2.0


def test_a_value_may_be_two_dashes():
    request = read("--pattern=--", "--pattern=*.toml", "--cwd=--", "main.py", "--", "x")
    assert request.options.pattern == ("--", "*.toml")
    assert request.target == Script("/p/main.py", cwd="/p/--", args=["x"])


def test_given_options_go_before_the_configured_ones():
    defaults = Options(debounce=3, pattern=("*.yml",))
    request = parse(["src/", "--debounce=1"], defaults=defaults, cwd="/p")
    assert request.options == Options(debounce=1.0, pattern=("*.yml",))


def test_without_a_path_the_place_of_the_first_imports_is_watched():
    assert read("a/main.py").roots == ("/p/a",)
    assert read("-m", "pkg").roots == ("/p",)
    assert read("src", "a/main.py").roots == ("/p/src",)


def test_the_script_and_named_files_always_count(tmp_path):
    (tmp_path / "notes.txt").touch()
    request = parse([f"{tmp_path}/notes.txt", "main.py"], defaults=Options(), cwd="/p")
    assert request.files == ("/p/main.py", f"{tmp_path}/notes.txt")


def test_a_folder_that_ends_in_py_is_no_script(tmp_path):
    (tmp_path / "odd.py").mkdir()
    assert parse(["odd.py"], defaults=Options(), cwd=str(tmp_path)).target == Kernel()


def programs(folder):
    """Make what ``python`` runs though its name doesn't say so, and what it doesn't."""
    for name in ("app", "pkg", "data"):
        (folder / name).mkdir()
    for name in ("app/__main__.py", "pkg/__init__.py", "pkg/__main__.py", "notes.txt", "plain"):
        (folder / name).write_text("x = 1\n")
    (folder / "tool").write_text("#!/usr/bin/env python3\nx = 1\n")
    (folder / "uv").write_text("#!/usr/bin/env -S uv run --script\n")
    (folder / "shell").write_text("#!/bin/sh\n# python\n")
    (folder / "a.pyz").write_bytes(b"PK")


@pytest.mark.parametrize(
    ("line", "script", "alone"),
    [
        ("data tool", "tool", "tool"),
        ("data ./tool notes.txt", "./tool", "./tool"),
        ("uv data", "uv", "uv"),
        ("data a.pyz", "a.pyz", "a.pyz"),
        ("data app", "app", "app"),
        ("data app/", "app/", "app/"),
        ("main.py tool app a.pyc", "a.pyc", "a.pyc"),
        ("app main.py", "main.py", "main.py"),
        ("data pkg", "", "pkg"),  # a package may be to be watched, where a kernel can be restarted
        ("pkg -- x", "pkg", "pkg"),
        ("data --env A=1 plain", "plain", "plain"),
        ("data plain", "", "plain"),
        ("data shell", "", "shell"),
        ("data notes.txt", "", "notes.txt"),
        ("data", "", ""),
    ],
)
def test_whatever_python_runs_is_the_script(tmp_path, line, script, alone):
    programs(tmp_path)
    for kernel, expected in ((True, script), (False, alone)):
        request = parse(line.split(), defaults=Options(), cwd=str(tmp_path), kernel=kernel)
        assert (request.target.path if isinstance(request.target, Script) else "") == expected


def test_the_main_module_of_a_folder_is_the_script_and_the_folder_its_home(tmp_path):
    programs(tmp_path)
    script = Script("app", cwd=tmp_path)
    request = Request(script, ("data",), cwd=str(tmp_path))
    request.check()
    assert (script.file, script.home) == (f"{tmp_path}/app/__main__.py", f"{tmp_path}/app")
    assert request.files == (script.file,)
    with pytest.raises(BadInput, match=r"data: this folder has no __main__.py to run; name a script, or -m MODULE"):
        Request(Script("data", cwd=tmp_path), cwd=str(tmp_path)).check()


def test_home_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    request = read("~/src", "~/main.py")
    assert request.roots == ("/home/me/src",)
    assert request.target.file == "/home/me/main.py"


def test_an_unreadable_folder_is_refused(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    (tmp_path / "main.py").touch()
    tmp_path.chmod(0o755)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything
    try:
        with pytest.raises(BadInput, match="closed: can't be read \\(Permission denied\\); check its permissions"):
            parse(["closed", "main.py"], defaults=Options(), cwd=str(tmp_path)).check()
    finally:
        os.seteuid(user)
        closed.chmod(0o700)


def test_the_api_checks_before_any_effect(tmp_path):
    with pytest.raises(BadInput, match=r"nope.py: there is no such script"):
        Supervisor(Script("nope.py", cwd=tmp_path), cwd=tmp_path)
    with pytest.raises(ValueError, match="only a Jupyter kernel"):
        Supervisor(Kernel(), [tmp_path])
    with pytest.raises(BadInput, match="expected either a script or a module"):
        Script()
    with pytest.raises(BadInput, match="--debounce: expected seconds"):
        Options(debounce=-1)
    with pytest.raises(BadInput, match="--pattern: expected a glob"):
        Options(pattern=("",))


def test_every_option_has_a_help_and_a_default_that_passes_its_own_check():
    assert [option.flag for option in each()]
    for option in each():
        assert option.help
        values = option.default if option.many else [option.default]
        assert [option.check(value) for value in values] == list(values)


def test_options_on_both_sides_of_a_module_add_up():
    request = read("--ignore", "a", "--env", "A=1", "-mapp", "x", "--ignore", "b", "--env=B=2")
    assert request.options.ignore == ("a", "b")
    assert request.target == Script(module="app", args=["x"], env=["A=1", "B=2"], cwd="/p")


def test_a_script_is_seen_from_the_folder_that_it_runs_in():
    assert read("sub/main.py", "--cwd", "sub").target == Script("main.py", cwd="/p/sub")
    assert read("main.py", "--cwd", "/q").target == Script("/p/main.py", cwd="/q")
    assert read("-m", "app", "--cwd", "sub").roots == ("/p/sub",)


def test_a_script_that_looks_like_a_flag_is_none():
    assert Script("-x.py", cwd="/p").argv == ("./-x.py",)


@pytest.mark.parametrize("args", [[80], ["a\0b"]])
def test_arguments_are_text(args):
    with pytest.raises(BadInput, match="expected arguments as text"):
        Script("main.py", args=args)


def test_a_module_that_cannot_be_imported_ahead_is_told_at_once(tmp_path, monkeypatch):
    (tmp_path / "main.py").touch()
    (tmp_path / "own.py").touch()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "beside.py").touch()

    def check(name, **how):
        Request(Script("main.py", cwd=tmp_path, **how), options=Options(preload=(name,)), cwd=str(tmp_path)).check()

    for name in ("json,own", "sys.path", "pytest"):
        check(name)
    check("beside", env={"PYTHONPATH": f"{tmp_path}/lib"})
    with pytest.raises(BadInput, match="--preload: there is no module nosuch; install it, or check its name"):
        check("json,nosuch.sub")
    with pytest.raises(BadInput, match=r"--preload: there is no module owm; did you mean own\?"):
        check("owm")
    check("nosuch", python=sys.executable)  # which may have others


def test_words_that_switch_off_what_is_on():
    assert read("main.py", "--cold").options.warm is False
    assert Options(preload=("numpy, torch.nn",)).preload == ("numpy,torch.nn",)
    with pytest.raises(BadInput, match="--preload: expected modules such as numpy,torch"):
        read("main.py", "--preload=1x")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["main.py", "--rerun", "all"],
            "--rerun: it is for a kernel, but this restarts the script main.py; leave it out",
        ),
        (
            ["-m", "app", "--on-busy=wait"],
            "--on-busy: it is for a kernel, but this restarts the script -m app; leave it out",
        ),
        (["src/", "--keep"], "--keep: it is for a script, but this restarts the kernel; leave it out"),
        (
            ["main.py", "--checkpoints"],
            "--checkpoints: it is for a kernel, but this restarts the script main.py; leave it out",
        ),
    ],
)
def test_options_for_another_kind_of_target_are_refused(words, message):
    with pytest.raises(BadInput, match=re.escape(message)):
        read(*words)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({}, False),
        ({"checkpoints": True}, True),
        ({"rerun": "marked"}, True),
        ({"rerun": "all", "warm": False}, False),
        ({"checkpoints": True, "warm": False}, False),
    ],
)
def test_checkpoints_are_kept_on_request_or_where_cells_run_again_and_never_cold(said, kept):
    assert Options(**said).keeps_checkpoints is kept


def test_help_for_scripts_alone_has_nothing_of_kernels():
    told, everything = parser("", kinds=("script",)).format_help(), parser("").format_help()
    of_kernels = [one.flag for one in each() if one.only == "kernel"]
    assert "--checkpoints" in of_kernels
    assert [flag for flag in of_kernels if flag in everything] == of_kernels
    assert not [flag for flag in of_kernels if flag in told]


def test_the_help_breaks_between_words_where_a_terminal_is_narrow():
    narrow, wide = (parser("ipy-autorestart", columns=columns).format_help() for columns in (80, 1000))
    assert narrow.split() == wide.split()
    assert max(map(len, narrow.splitlines())) <= 80 < max(map(len, wide.splitlines()))


def test_a_cell_is_named_by_its_number():
    assert cell_of([], [1, 3]) is None
    assert cell_of(["3"], [1, 3]) == 3


@pytest.mark.parametrize(
    ("words", "numbers", "message"),
    [
        (
            ["x"],
            [1, 3],
            "--back: expected the number of a cell, as in its brackets, got 'x'; write --back 3, or --back alone",
        ),
        (["[3]"], [1, 3], "got '[3]'; write --back 3"),
        (["-1"], [1, 3], "got '-1'; write --back 3"),
        (["²"], [1, 3], "got '²'; write --back 3"),
        (["1", "3"], [1, 3], "got '1 3'; write --back 3"),
        (["x"], [], "got 'x'; none has run yet"),
        (["2"], [1, 3], "--back: there is no cell 2; the last are 1, 3"),
        (["99"], range(1, 10), "--back: there is no cell 99; the last are 5, 6, 7, 8, 9"),
        (["2"], [], "--back: there is no cell 2; none has run yet"),
    ],
)
def test_a_cell_that_is_none_is_a_mistake(words, numbers, message):
    with pytest.raises(BadInput, match=re.escape(message) + "$" if message.startswith("-") else re.escape(message)):
        cell_of(words, numbers)


def test_options_for_another_kind_of_target_may_be_configured():
    request = parse(["main.py"], defaults=Options(rerun="all", stop_timeout=1), cwd="/p")
    assert request.target == Script("main.py", cwd="/p")
    assert request.options.stop_timeout == 1


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("--dobounce", "did you mean --debounce?"),
        ("--checkpoint", "did you mean --checkpoints?"),
        ("--bogus", "put arguments of main.py after --"),
        ("--port", "put arguments of main.py after --"),
        ("-p", "put arguments of main.py after --"),
    ],
)
def test_an_option_is_guessed_only_where_it_is_near(word, fix):
    with pytest.raises(BadInput, match=re.escape(f"{word}: there is no such option; {fix}")):
        read("src/", "main.py", word, "80")


def test_a_title_tells_the_arguments():
    assert read("main.py", "--", "--port", "8 0").target.title == "main.py --port '8 0'"
    assert read("main.py", "--", "--port", "8 0").target.name == "main.py"
    assert read("src/").target.title == "kernel"


def test_a_label_is_as_much_of_the_title_as_a_line_has_room_for():
    assert read("main.py", "--", "--port", "8 0").target.label == "main.py --port '8 0'"
    assert read("src/").target.label == "kernel"
    long = Script("/a/very/long/path/to/somewhere/else/main.py", args=("--epochs", "300", "--rate", "0.001"))
    assert long.label == "…/path/to/somewhere/else/main.py --epochs 300 -…"


@pytest.mark.parametrize("word", ["-m", "-mpkg"])
def test_a_second_module_behind_a_module_is_a_mistake(word):
    with pytest.raises(BadInput, match="-m: expected one module, got 'app' and more; arguments of the script go after"):
        read("-m", "app", word, "other")


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
@pytest.mark.parametrize(
    "line", ["{} main.py", "{}.py", "-m {}", "main.py -- {}", "main.py --pattern={}", "main.py --env=A={}"]
)
def test_a_name_that_no_file_can_have_is_a_mistake(name, line):
    with pytest.raises(BadInput, match="expected"):
        read(*line.format(name).split()).check()


@pytest.mark.parametrize("word", ["a\nb", "a\x1bb", "a\u2028b", "a\ud800b"])
def test_a_message_is_one_line_that_can_be_shown_whatever_was_typed(word):
    with pytest.raises(BadInput) as caught:
        read("main.py", f"--{word}")
    assert str(caught.value).isprintable()
    assert repr(word)[1:-1] in str(caught.value)


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
OPTIONS = st.builds(
    Options,
    pattern=st.lists(TEXT.filter(lambda text: "[" not in text)).map(tuple),
    debounce=st.floats(0, 3600),
    rerun=st.sampled_from(["none", "marked", "all"]),
    warm=st.booleans(),
)
TARGETS = st.builds(Kernel, TEXT) | st.builds(
    lambda path, args, env: Script(f"{path}.py", args=args, env=env, cwd="/p"),
    TEXT,
    st.lists(TEXT),
    st.dictionaries(st.from_regex(r"[A-Z]+", fullmatch=True), TEXT),
)


@given(
    st.builds(
        Launch,
        request=st.builds(Request, TARGETS, st.lists(TEXT).map(tuple), OPTIONS, cwd=TEXT),
        flags=st.lists(TEXT).map(tuple),
        lossless=st.booleans(),
        displays=st.none() | st.just({"formats": ["png"], "options": {"dpi": 72}}),
        since_ns=st.integers(0),
    )
)
def test_a_launch_comes_back_as_it_was_from_one_line(launch):
    line = encode(launch)
    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
    assert from_json(Launch, line) == launch


def test_a_launch_with_an_option_that_cannot_be_is_refused():
    line = encode(Launch(request=read("main.py", "--debounce=2"))).replace(b'"debounce": 2.0', b'"debounce": -1')
    with pytest.raises(ValueError, match="--debounce: expected seconds"):
        from_json(Launch, line)


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("8000", "127.0.0.1:8000"),
        ("0.0.0.0:080", "0.0.0.0:80"),
        ("[::1]:8000", "[::1]:8000"),
        ("localhost:1", "localhost:1"),
    ],
)
def test_an_address_is_a_port_or_host_and_port(given, address):
    assert Options(socket=(given,)).socket == (address,)


@pytest.mark.parametrize(
    "given", ["", "x", "0", "65536", ":80", "::1:80", "[]:80", "[a]:80", "a:b", "٣", 80, "-1", "a:"]
)
def test_anything_else_is_no_address(given):
    with pytest.raises(BadInput, match=r"--socket: expected a port, or host and port, such as 8000"):
        Options(socket=(given,))
