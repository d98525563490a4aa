"""HTML by which a Jupyter page stays where it is while an output is replaced."""

from __future__ import annotations

from typing import Any

#: Seconds within which the rest of some output probably comes; and how long a place is kept for it at most, besides.
MOMENT, LONGEST = 1.0, 10.0

_NAME = "ipy-autorestart-keeps"


def keep_height(seconds: float) -> str:
    """Return what keeps a cell's output as high as it is for so long from now; what was said before is void.

    A page draws between two messages, so what several replace would shrink and grow again, and all below it move.
    Elsewhere than in JupyterLab and Notebook it has no effect.
    """
    return f"""\
<script>(output => {{
    const height = `${{output?.getBoundingClientRect().height}}px`;
    output?.getAnimations().filter(each => each.id === "{_NAME}").forEach(each => each.cancel());
    output?.animate({{minHeight: [height, height]}}, {{id: "{_NAME}", duration: {seconds * 1000:.0f}}});
}})(document.currentScript?.closest(".jp-Cell-outputWrapper"))</script>"""


def keep_while(lasted: float) -> float:
    """Return for how long to do that while new output comes, given how long it took to come before."""
    return MOMENT + min(lasted, LONGEST)


def keeping(seconds: float) -> dict[str, Any]:
    """Return the content of a message that does it where nothing of ours is shown.

    It takes no place, and goes with what it keeps.
    """
    style = f"<style>.jp-OutputArea-child:has(.{_NAME}) {{ position: absolute }}</style>"
    data = {"text/html": f'{style}{keep_height(seconds)}<div class="{_NAME}"></div>'}
    return {"data": data, "metadata": {}, "transient": {}}
