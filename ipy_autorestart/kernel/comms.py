"""Comms at the end of a kernel, and where one goes back: what the page has of them is to be what the kernel has.

Those of a watch are the watch's to close.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Iterable
from typing import Any

from ipy_autorestart.protocol.messages import WATCH_COMM
from ipy_autorestart.reexec.exec import logged


def close_comms(kernel: Any) -> None:  # an ipykernel Kernel
    """Close all, so that pages drop their widgets: the next kernel doesn't know them."""

    def close() -> None:
        _belong_to_none(kernel)
        for name, comm in list(kernel.comm_manager.comms.items()):
            if not name.startswith(WATCH_COMM):
                with logged("a comm"):
                    comm.close()

    contextvars.Context().run(close)


def renew_comms(kernel: Any, open_now: Iterable[str]) -> None:
    """Close what was opened since the state to which this kernel has gone back, and show widgets as they were then.

    Parameters
    ----------
    kernel
        An ipykernel ``Kernel``.
    open_now
        Ids of the comms that pages have.
    """

    def renew() -> None:
        _belong_to_none(kernel)
        for name in set(open_now) - kernel.comm_manager.comms.keys():
            if name.startswith(WATCH_COMM):
                continue
            content = {"comm_id": name, "data": {}}
            topic = f"comm-{name}".encode()
            kernel.session.send(kernel.iopub_socket, "comm_close", content, parent={}, ident=topic)
        widgets: Any = sys.modules.get("ipywidgets.widgets.widget")
        for widget in list(getattr(widgets, "_instances", {}).values()):
            with logged("a widget"):
                widget.send_state()

    contextvars.Context().run(renew)


def _belong_to_none(kernel: Any) -> None:
    """Have what is published belong to no request."""
    for name, nothing in (("_shell_parent", {}), ("_shell_parent_ident", b"")):
        if isinstance(variable := getattr(kernel, name, None), contextvars.ContextVar):
            variable.set(nothing)  # 7.0 fails without, outside of a request
