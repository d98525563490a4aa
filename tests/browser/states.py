"""Take a picture of each state that a person may see, light and dark: ``python tests/browser/states.py FOLDER``.

The pictures are to be looked at, not compared.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import documents
from lab import Page, opened_browser, served_project

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

IMG = "<img onerror=alert(1)>.py"

SCRIPTS = {
    "long/main.py": "import time\nprint('one line of output', flush=True)\ntime.sleep(60)\n",
    "short/main.py": "import a\nprint('value', a.V)\n",
    "short/a.py": "V = 1\n",
    "crash/main.py": "def divide(x):\n    return 1 / x\n\ndivide(0)\n",
    "held/main.py": "import time, b\nprint('held', b.V, flush=True)\ntime.sleep(60)\n",
    "held/b.py": "V = 1\n",
    "paused/main.py": "print('waits')\n",
    f"escaped/{IMG}": "print('escaped')\n",
    "figure/main.py": (
        "import matplotlib.pyplot as plt\nplt.figure(figsize=(2.4, 1))\nplt.plot([1, 3, 2])\nplt.show()\n"
        "from tqdm import tqdm\nfor _ in tqdm(range(5)): pass\n"
    ),
    "kernel/k.py": "V = 1\n",
}

CELLS = (
    "%load_ext ipy_autorestart\n%watch_restart long/main.py",
    "%watch_restart short/main.py",
    "%watch_restart crash/main.py",
    "%watch_restart held/main.py",
    "%watch_restart paused/main.py",
    f'%watch_restart "escaped/{IMG}"',
    "%watch_restart figure/main.py --poll 1",
    "%watch_restart kernel/\nimport time\ntime.sleep(3)",
    "%watch_restart --pause paused/main.py\n%watch_restart --now short/main.py\ntime.sleep(1)",
    "%watch_status",
    "%watch_status --why",
    "for _ in range(20): time.sleep(1)",
)


def prepare(folder):
    for name, text in SCRIPTS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    documents.write(folder / "states.ipynb", documents.cells(*CELLS))


def act(page, folder):
    """Bring each watch into its state."""
    page.run_all()
    page.wait(1, "value 1")
    page.wait(3, "held 1")
    page.wait(9, "kernel")
    (folder / "short/a.py").write_text("V = 2\n")
    (folder / "held/b.py").write_text("def f(:\n    return 1\n")
    (folder / "paused/main.py").write_text("print('waits no longer')\n")
    page.wait(1, "value 2")
    page.wait(3, "syntax error")
    page.wait(4, "changed meanwhile")
    page.wait(6, "finished")
    page.wait(0, "running for")
    (folder / "kernel/k.py").write_text("V = 2\n")
    page.wait(7, "waiting for cell")


def main():
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    with opened_browser() as browser:
        for theme, title in THEMES.items():
            with served_project(prepare) as (folder, server):
                context = browser.new_context(viewport={"width": 900, "height": 2700})
                page = Page(context.new_page(), f"{server.url}notebooks/states.ipynb?token=t")
                change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
                page.page.evaluate(change, title)
                act(page, folder)
                page.page.screenshot(path=target / f"states-{theme}.png")
                context.close()


if __name__ == "__main__":
    main()
