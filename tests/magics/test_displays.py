"""What a script displays, in the cell that started the watch."""

import pytest
from processes import until_warm
from waiting import DEADLINE

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("kernel_of_module"), pytest.mark.xdist_group("displays")]


def watch(kernel, project, code, options="", until="finished in"):
    project.script(code)
    cell = kernel.run(f"%watch_restart main.py {options}")
    kernel.wait(lambda: until in cell.text)
    return cell


def again(kernel, project, cell, code, runs):
    project.script(code)
    kernel.wait(lambda: f"run {runs}" in cell.text and "finished in" in cell.text)
    return kinds(cell)


def kinds(cell):
    """Return what a cell shows below its status, without the texts of figures."""
    return [
        output["text"]
        if "text" in output
        else sorted(set(output["data"]) - {"text/plain"}) or output["data"]["text/plain"]
        for output in cell.shown[1:]
    ]


FIGURE = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\n"
OPEN = FIGURE + "print('end')\n"


def test_figures_are_shown_by_show_and_at_the_end(kernel, project):
    code = "print('a')\n" + FIGURE + "plt.show()\nplt.show()\nprint('b')\n" + OPEN + "plt.figure()\n"
    cell = watch(kernel, project, code)
    shown = ["a\n", ["image/png"], "b\nend\n", ["image/png"], "<Figure size 640x480 with 0 Axes>"]
    assert kinds(cell) == shown
    kernel.wait(lambda: "ahead" in (status := kernel.run("%watch_status").text) and "being made" not in status)
    until_warm(kernel.pid)
    assert again(kernel, project, cell, code + "x = 0\n", 2) == shown
    assert "warm" in kernel.run("%watch_status").text
    chosen = (
        "import matplotlib\nmatplotlib.use('Agg')\n" + OPEN + "plt.savefig('a.png')\nprint(plt.get_backend().lower())\n"
    )
    assert again(kernel, project, cell, chosen, 3) == ["end\nagg\n"]
    assert (project / "a.png").exists()


@pytest.mark.own_kernel
def test_formats_are_those_of_the_notebook(kernel, project):
    kernel.run("%matplotlib inline\n%config InlineBackend.figure_formats = ['svg']")
    cell = watch(kernel, project, FIGURE + "from IPython.display import display\ndisplay(plt.gcf())\n")
    assert kinds(cell) == [["image/svg+xml"]] * 2
    assert cell.shown[1]["data"]["image/svg+xml"].startswith("<?xml")
    kernel.run("%config InlineBackend.figure_formats = ['retina']")
    kernel.run("%config InlineBackend.print_figure_kwargs = {'bbox_inches': None}")
    cell = kernel.run("%watch_restart main.py")
    kernel.wait(lambda: "finished in" in cell.text)
    assert kinds(cell) == [["image/png"]] * 2
    assert [output["metadata"] for output in cell.shown[1:]] == [{"image/png": {"width": 640, "height": 480}}] * 2


def test_a_backend_that_the_user_has_chosen_is_taken(kernel, project):
    assert kinds(watch(kernel, project, OPEN + "plt.show()\n", "--env MPLBACKEND=agg"))[0].startswith("end\n")
    project.save("matplotlibrc", "backend: svg\n")
    project.save("other.py", OPEN + "print(plt.get_backend())\n")
    cell = kernel.run("%watch_restart other.py")
    kernel.wait(lambda: "finished in" in cell.text)
    assert kinds(cell) == ["end\nsvg\n"]


ORDER = """
import random, sys
from IPython.display import HTML, display
for number in range(100):
    print("before", number, end=random.choice(["", "\\n"]))
    if number % 3 == 0: print("error", number, file=sys.stderr)
    display(HTML(f"{number}"))
    print("after", number)
"""


def test_text_and_displays_come_in_their_order(kernel, project):
    cell = watch(kernel, project, ORDER)

    def words(stream):  # the order between the two is not known
        texts = [one.get("text", " HTML ") for one in cell.shown[1:] if one.get("name") in (stream, None)]
        return "".join(texts).split()

    numbers = list(map(str, range(100)))
    assert words("stdout") == [word for n in numbers for word in ("before", n, "HTML", "after", n)]
    assert words("stderr") == [word for n in numbers for word in (*(["error", n] * (int(n) % 3 == 0)), "HTML")]


def test_displays_have_updates_names_and_no_shell(kernel, project):
    mine = kernel.run("from IPython.display import display\nh = display('mine', display_id='name')")
    code = (
        "from IPython.display import *\nimport IPython, inspect, sys\n"
        "handle = display(HTML('one'), display_id='name')\nupdate_display(HTML('two'), display_id='name')\n"
        "other = DisplayHandle()\nother.display(1)\nother.update(2)\n"
        "print(IPython.get_ipython(), IPython.core.interactiveshell.InteractiveShell.initialized())\n"
        "print(list(inspect.signature(display).parameters)[:3], inspect.signature(clear_output))\n"
        "display({'text/plain': 'raw', 'application/json': {'a': [1]}}, raw=True)\n"
    )
    cell = watch(kernel, project, code)
    assert cell.shown[1]["data"]["text/html"] == "two"
    assert kinds(cell)[1:] == [
        "2",
        "None False\n['objs', 'include', 'exclude'] (wait=False)\n",
        ["application/json"],
    ]
    assert mine.outputs[0]["data"]["text/plain"] == "'mine'"


def test_a_script_clears_what_it_has_shown(kernel, project):
    code = (
        "from IPython.display import display, clear_output\nfor number in range(3):\n    clear_output(wait=True)\n"
        "    print('number', number)\nclear_output(wait=True)\n"
    )
    cell = watch(kernel, project, code)
    assert kinds(cell) == ["number 2\n"]
    assert again(kernel, project, cell, code.replace("(wait=True)", "()"), 2) == []


HOSTILE = """
import os, pickle, json
class Bomb:
    def __reduce__(self): return (open, ("exploded", "w"))
    def _repr_mimebundle_(self, **_): return {"text/plain": "…", "application/x": float("nan"), "x" * 300 + "/": 1}
from IPython.display import display
display(Bomb())
display({"text/plain": "\\ud800"}, raw=True)
display({"text/plain": "x" * 20_000_000}, raw=True)
display("well")
os.write(201, pickle.dumps(Bomb()))
display("lost")
print("goes on")
"""


def test_what_is_not_as_it_should_be_is_dropped(kernel, project):
    cell = watch(kernel, project, HOSTILE)
    assert kinds(cell) == ["?", "… a display of 20.0 MB left out …", "'well'", "goes on\n"]
    assert not (project / "exploded").exists()


FORKS = """
import os
from IPython.display import display
for child in range(4):
    if os.fork() == 0:
        for number in range(5):
            display({"text/plain": f"{child} " * 50_000}, raw=True)
        os._exit(0)
for child in range(4): os.wait()
"""


def test_displays_of_forked_children_do_not_mix(kernel, project):
    shown = kinds(watch(kernel, project, FORKS))
    assert sorted(shown) == sorted([f"{child} " * 50_000 for child in range(4)] * 5)


def test_in_a_flood_of_displays_the_kernel_answers(kernel, project):
    code = "from IPython.display import display\nwhile True: display({'text/plain': 'x' * 9999}, raw=True)\n"
    cell = watch(kernel, project, code, until="xxx")
    for number in range(10):
        assert kernel.run(f"print({number})", timeout=DEADLINE).streams() == f"{number}\n"
    assert again(kernel, project, cell, "print('calm')\n", 2) == ["calm\n"]


BARS = """
import sys, time
from tqdm import tqdm
from rich.progress import Progress
for i in tqdm(range(3), desc="single", ascii=True, file=sys.stdout):
    time.sleep(0.12)
for i in tqdm(range(3), desc="outer"):
    for j in tqdm(range(3), desc="inner", position=1, leave=False):
        time.sleep(0.03)
    time.sleep(0.06)
with Progress() as progress:
    for name in ("left", "right"): progress.add_task(name, total=4)
    for step in range(4):
        for task in progress.task_ids: progress.advance(task)
        time.sleep(0.06)
        if step == 2: progress.console.print("said between")
print("done")
"""


def test_progress_bars_look_as_in_a_terminal(kernel, project):
    cell = watch(kernel, project, BARS)
    displays = [output["data"]["text/plain"] for output in cell.shown[1:] if "data" in output]
    outer, bars = displays
    assert outer.startswith("outer: 100%|")
    assert "\n" not in outer
    said, left, right = bars.split("\n")
    assert said == "said between"
    assert "left" in left
    assert "100%" in left
    assert "right" in right
    assert "100%" in right
    assert cell.streams().startswith("\rsingle:   0%|")
    assert cell.streams().endswith("done\n")
    assert "\x1b[A" not in cell.text


def test_what_is_printed_after_a_bar_comes_below_it(kernel, project):
    code = "import time\nfrom tqdm import tqdm\nfor i in tqdm(range(5), ascii=True): time.sleep(0.11)\nprint('done')\n"
    bar, done = watch(kernel, project, code).shown[1:]
    assert "5/5" in bar["text"].split("\r")[-1]
    assert bar["text"].endswith("\n")
    assert done["text"] == "done\n"
