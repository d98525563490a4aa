"""While a kernel's process becomes a proxy nobody is answered: it imports what it needs at once, and no more."""

import subprocess
import sys

import pytest

CODE = """
import sys
import ipy_autorestart.proxy.__main__, ipy_autorestart.proxy.proxy
print(*sys.modules)
"""

#: What a supervisor, the fork server's side of a proxy, or the end of one needs.
LATER = ("decide.events", "decide.use", "protocol.messages", "protocol.request", "script.preloader", "script.streams")


@pytest.mark.e2e
def test_a_proxy_begins_without_what_it_needs_later():
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout.split()
    assert "ipy_autorestart.proxy.proxy" in found
    assert not {f"ipy_autorestart.{name}" for name in LATER}.intersection(found)
    assert not {"IPython", "shutil", "tempfile"}.intersection(found)
