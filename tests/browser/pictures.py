"""Make the pictures of the README: what a person sees after a save, in a real browser.

python tests/browser/pictures.py pictures/
"""

import io
import sys
import time
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import documents
from lab import Page, opened_browser, served_project

CURVE = "import numpy as np\n\n\ndef curve(x):\n    return np.sin({}x) / x\n"
LIVE = [
    "%load_ext ipy_autorestart\n%watch_restart src/ --rerun all",
    "import sys; sys.path.insert(0, 'src')\nfrom curve import curve\nprint(f'{curve(1) = :.3f}')",
    "import matplotlib.pyplot as plt, numpy as np\n"
    "x = np.linspace(0.1, 12, 400)\nplt.figure(figsize=(6, 1.8)); plt.plot(x, curve(x)); plt.show()",
    "import pandas as pd\npd.DataFrame({'x': [1, 2, 3], 'curve': [curve(x) for x in (1, 2, 3)]})",
]
TRAIN = """import sys, time
sys.path.insert(0, "src")
from rate import RATE

loss = 4.0
for step in range(1, 6):
    loss *= 1 - RATE
    print(f"step {step}  rate {RATE}  loss {loss:.3f}", flush=True)
    time.sleep(0.1)
"""
SCRIPT = [
    "%load_ext ipy_autorestart\n%watch_restart src/ train.py",
    "# … while you go on working in other cells\nsum(range(10))",
]


#: The moving picture: data that takes a while to load, and what is made of it by code that is edited beside.
KEPT = [
    LIVE[0],
    "import time\nimport numpy as np, matplotlib.pyplot as plt\n\ntime.sleep(5)  # the data takes a while\n"
    "x = np.linspace(0.1, 12, 400)\nprint('loaded at', time.strftime('%H:%M:%S'))",
    "from src.curve import curve\n\nprint(f'{curve(1) = :.3f}')",
    "plt.figure(figsize=(5.2, 1.7))\nplt.plot(x, curve(x)); plt.show()",
]

#: Opens a file beside the notebook, which alone has the page otherwise.
BESIDE = """async path => {
    const app = window.jupyterapp;
    app.shell.collapseLeft();
    await app.commands.execute("docmanager:open", { path, factory: "Editor", options: { mode: "split-right" } });
}"""

#: Milliseconds of the moving picture: before anybody types, for each key, and to look at the end.
BEFORE, KEY, AFTER = 1500, 110, 4000

#: Its colours, of which a GIF has 256 at most.
COLOURS = 128


def live(page, folder):
    page.run_all()
    page.wait(3, "curve")
    page.wait(0, "running")
    (folder / "src/curve.py").write_text(CURVE.format("3 * "))
    page.wait(0, "3 cells rerun")
    page.until_idle()


def script(page, folder):
    page.run_all()
    page.wait(0, "step 5")
    (folder / "src/rate.py").write_text("RATE = 0.25\n")
    page.wait(0, r"rate 0.25[\s\S]*step 5")
    page.wait(0, "finished")


class Film:
    """Pictures of a part of a page, one after the other, each with its time."""

    def __init__(self, panel):
        self._panel = panel
        self.shots, self.milliseconds = [], []

    def shoot(self, milliseconds=0):
        """Take a picture that is shown for so long, or else until the next one was taken."""
        began = time.monotonic()
        self.shots.append(Image.open(io.BytesIO(self._panel.screenshot())).convert("RGB"))
        self.milliseconds.append(milliseconds)
        return began

    def until(self, condition):
        """Film in real time until something is so."""
        began = self.shoot()
        while True:
            is_over = condition()
            next_began = self.shoot()
            self.milliseconds[-2] = round((next_began - began) * 1000)
            began = next_began
            if is_over:
                return

    def save(self, path):
        """Write it as a GIF, which every index page shows."""
        palette = self.shots[-1].quantize(COLOURS, dither=Image.Dither.NONE)
        first, *rest = [shot.quantize(palette=palette, dither=Image.Dither.NONE) for shot in self.shots]
        first.save(path, save_all=True, append_images=rest, duration=self.milliseconds, loop=0, optimize=True)


def film(page, path):
    """Film a save: code is edited beside a notebook, the cells that use it turn new, and the data stays."""
    page.run_all()
    page.wait(3, "")
    page.page.wait_for_selector(".jp-Cell img", timeout=60_000)
    page.until_idle()
    page.page.evaluate(BESIDE, "src/curve.py")
    text = page.page.locator(".jp-FileEditor .cm-content")
    text.click()
    page.page.keyboard.press("Control+End")
    for _ in ") / x":
        page.page.keyboard.press("ArrowLeft")
    page.page.keyboard.press("ArrowLeft")
    page.page.mouse.move(0, 0)
    page.page.wait_for_timeout(6000)  # a person looks, and a kernel starts ahead
    shown = Film(page.page.locator("#jp-main-dock-panel"))
    shown.shoot(BEFORE)
    for key in "3 * ":
        page.page.keyboard.type(key)
        shown.shoot(KEY)
    shown.milliseconds[-1] = BEFORE // 2
    page.page.keyboard.press("Control+s")
    shown.until(lambda: "cells rerun" in page.text(0))
    page.page.wait_for_timeout(300)
    shown.shoot(AFTER)
    shown.save(path)


def prepare(folder):
    (folder / "src").mkdir()
    (folder / "train.py").write_text(TRAIN)
    write_sources(folder)


def write_sources(folder):
    (folder / "src/curve.py").write_text(CURVE.format("").rstrip())
    (folder / "src/rate.py").write_text("RATE = 0.05\n")


def main():
    target = Path(sys.argv[1])
    target.mkdir(exist_ok=True)
    with opened_browser() as browser, served_project(prepare) as (folder, server):
        for name, sources, act in (("live-notebook", LIVE, live), ("script", SCRIPT, script)):
            documents.write(folder / f"{name}.ipynb", documents.cells(*sources))
            context = browser.new_context(viewport={"width": 900, "height": 1100}, device_scale_factor=1.5)
            page = Page(context.new_page(), f"{server.url}notebooks/{name}.ipynb?token=t")
            act(page, folder)
            cells = page.page.locator(".jp-Notebook .jp-Cell")
            first, last = cells.first.bounding_box(), cells.last.bounding_box()
            height = last["y"] + last["height"] - first["y"]
            clip = {"x": first["x"], "y": first["y"], "width": first["width"], "height": height}
            page.page.mouse.move(0, 0)
            page.page.screenshot(path=target / f"{name}.png", clip=clip)
            context.close()
        write_sources(folder)
        documents.write(folder / "film.ipynb", documents.cells(*KEPT))
        context = browser.new_context(viewport={"width": 1060, "height": 740}, device_scale_factor=1.5)
        film(Page(context.new_page(), f"{server.url}lab/tree/film.ipynb?token=t&reset"), target / "live-notebook.gif")
        context.close()


if __name__ == "__main__":
    main()
