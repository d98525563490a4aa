"""Install the wheel in dist/ where nothing else is, and play the quick start there.

    python tests/smoke.py [newest] [oldest]

Each time the environment is made from nothing: with the newest versions of what the wheel needs, and with the oldest
that it allows. `make smoke` builds the wheel first.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

#: A notebook is played with this extra.
EXTRA = "demo"

#: Says which package a kernel would load, from a folder that isn't the checkout.
WHERE = "import ipy_autorestart as it; print(it.__version__, it.__file__)"


def oldest():
    """Return the oldest versions of what the wheel needs that it allows, as pins."""
    needs = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][EXTRA]]
    return [re.sub(r">=([^,]+).*", r"==\1", need) for need in needs]


def run(*words, **options):
    subprocess.run([str(word) for word in words], check=True, **options)


def play(wheel, pins, folder):
    """Install the wheel with these pins into a new environment in this folder, and play the quick start there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    python = folder / "venv/bin/python"
    run(sys.executable, "-m", "venv", python.parent.parent, env=environment)
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(*pip, "install", f"{wheel}[{EXTRA}]", *pins, env=environment)
    run(*pip, "check", env=environment)
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    run(python, "-c", WHERE, cwd=folder, env=environment)
    run(python, "notebooks/play.py", "notebooks/quickstart.ipynb", cwd=folder, env=environment)


def main():
    [wheel] = (ROOT / "dist").glob("*.whl")
    kinds = {"newest": [], "oldest": oldest()}
    for kind in sys.argv[1:] or kinds:
        print(f"── {kind} {' '.join(kinds[kind])}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            play(wheel, kinds[kind], Path(folder))
    print("── the quick start has been played")


if __name__ == "__main__":
    main()
