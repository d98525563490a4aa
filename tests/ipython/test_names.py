"""The names in the code of a cell."""

import threading
import warnings

import pytest

from ipy_autorestart.ipython.names import Names, names_of


def names(code, *, shows=False):
    return [set(each) for each in names_of(code, shows=shows)]


@pytest.mark.parametrize(
    ("code", "used", "bound"),
    [
        ("x = y", {"y"}, {"x"}),
        ("import math, os.path as p\nfrom a import b as c", set(), {"math", "p", "c"}),
        ("x += 1", {"x"}, {"x"}),
        ("for i in items: total = i", {"items", "i"}, {"i", "total"}),
        ("def f(a):\n    b = a + g\n    return b", {"g"}, {"f"}),
        ("def f():\n    global x\n    x = 1", set(), {"f", "x"}),
        ("class C(Base):\n    y = z\n    def m(self): return w", {"Base", "z", "w"}, {"C"}),
        ("[n * k for n in ns if (last := n)]", {"ns", "k"}, {"last"}),
        ("x = {k: [v for v in vs] for k, vs in d.items()}\n{k for k in ks}", {"d", "ks"}, {"x"}),
        ("def f(): return [n for n in w]", {"w"}, {"f"}),
        ("f'{x!r:>{width}}'", {"x", "width"}, set()),
        ("await x\nasync with y as z: pass", {"x", "y"}, {"z"}),
        ("get_ipython().run_line_magic('timeit', 'f(x)')", {"get_ipython", "timeit", "f", "x"}, set()),
        ("get_ipython().run_cell_magic('time', '', 'a = b\\n')", {"get_ipython", "time", "a", "b"}, set()),
        ("this is no Python", set(), set()),
        ("x = '\0'", set(), set()),
        ("x = '\\d'", set(), {"x"}),  # of which the compiler warns
    ],
)
def test_used_and_bound(code, used, bound):
    assert names(code)[:2] == [used, bound]


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("df['c'] = 1", {"df"}),
        ("df.loc[0, 'c'] = 1", {"df"}),
        ("config.section.name = 1", {"config"}),
        ("del cache['x']", {"cache"}),
        ("df['a'], (df2.b, *c) = 1, (2, 3)", {"df", "df2"}),
        ("for table.row in rows: pass", {"table"}),
        ("try:\n    x.y += 1\nexcept E:\n    z.append(1)\nfinally:\n    w[0] = 1", {"x", "z", "w"}),
        ("found.append(1)\nfound", {"found"}),
        ("if x: model.layers[0].fit(y)", {"model"}),
        ("print(df)\nlen(df)", set()),
        ("f().x = 1", set()),
        ("def f(local):\n    local.x = 1", set()),
        ("y = df.copy()", set()),
    ],
)
def test_changed(code, changed):
    assert names(code)[2] == changed


def test_what_was_shown_was_looked_at():
    assert names("df.head()", shows=True)[2] == set()
    assert names("df.sort()", shows=False)[2] == {"df"}
    assert names("df.sort()\nother.head()", shows=True)[2] == {"df"}


def test_code_of_any_depth():
    for code in ("(" * 1000 + ")" * 1000, "x = " + "-" * 100_000 + "1"):
        assert names_of(code, shows=False) == Names()


def test_what_a_user_is_warned_of_once_is_told_once():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        before = list(warnings.filters)
        for _ in range(2):
            warnings.warn("once for each place", stacklevel=1)
            assert names("x = '\\d'; y = 1 is 1")[1] == {"x", "y"}
        assert list(warnings.filters) == before
    assert [str(warning.message) for warning in told] == ["once for each place"]


def test_no_other_warning_is_silenced_meanwhile():
    over, code = threading.Event(), "\n".join(f"x{number} = '\\d'" for number in range(1000))

    def parse():
        while not over.is_set():
            names(code)

    parsing = threading.Thread(target=parse)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        parsing.start()
        for _ in range(10_000):
            warnings.warn("mine", stacklevel=1)
        over.set()
        parsing.join()
    assert len(told) == 10_000
