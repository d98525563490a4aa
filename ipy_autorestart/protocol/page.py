"""HTML by which a Jupyter page stays where it is while an output is replaced."""

from __future__ import annotations

from typing import Any

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


#: Seconds in which what follows on a clear probably comes.
MOMENT = 1.0

#: Content of the message that does this where nothing of ours is shown: it takes no place, and goes with what it keeps.
KEPT: dict[str, Any] = {
    "data": {
        "text/html": f"<style>.jp-OutputArea-child:has(.{_NAME}) {{ position: absolute }}</style>"
        f'{keep_height(MOMENT)}<div class="{_NAME}"></div>'
    },
    "metadata": {},
    "transient": {},
}
