"""The proxy as a program, which a kernel becomes by exec."""

from __future__ import annotations

import os
import signal
import sys

if not __package__:  # started by its path, as the supervisor is
    import importlib.util

    packages = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    spec = importlib.util.spec_from_file_location("ipy_autorestart", os.path.join(packages, "__init__.py"))
    assert spec is not None
    assert spec.loader is not None
    sys.modules["ipy_autorestart"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)

from ipy_autorestart.proxy.signals import Signals
from ipy_autorestart.reexec import STATE
from ipy_autorestart.reexec.process import ProxyState


def main() -> None:
    """Run the proxy of the kernel that this process was, and end as the last kernel behind it ends."""
    signals = Signals()
    state = ProxyState.read(int(os.environ.pop(STATE)))
    state.keep_from_children()
    sys.path.append(state.packages)  # the kernel may have found pyzmq by what it has done to `sys.path`
    from ipy_autorestart.proxy.proxy import Proxy

    status = Proxy(state, signals).run()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -status)
    os._exit(status)  # whatever PYTHONINSPECT says


if __name__ == "__main__":
    main()
