"""Make the pictures of the README: what a person sees after a save, in a real browser.

python tests/browser/pictures.py pictures/
"""

import sys
from pathlib import Path

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


def prepare(folder):
    (folder / "src").mkdir()
    (folder / "src/curve.py").write_text(CURVE.format(""))
    (folder / "src/rate.py").write_text("RATE = 0.05\n")
    (folder / "train.py").write_text(TRAIN)


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


if __name__ == "__main__":
    main()
