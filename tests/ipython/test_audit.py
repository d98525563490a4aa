"""Who listens to audit events, and for how long."""

import subprocess
import sys

CODE = """
import sys
from ipy_autorestart.ipython import audit

class Ear:
    def __init__(self, *events):
        self.heard = []
        self.end = audit.listen(events, self.hear)
    def hear(self, event, args):
        self.heard.append((event, *args))

added, add = [], sys.addaudithook
sys.addaudithook = lambda hook: (added.append(hook), add(hook))
first, second, third = Ear("mine"), Ear("mine", "another"), Ear("mine")
sys.audit("mine", 1)
sys.audit("another", 2)
sys.audit("others")
first.end()
del third
sys.audit("mine", 3)
second.end()
second.end()
sys.audit("mine", 4)
print(first.heard, second.heard, len(added), audit._listeners)
"""


def test_one_hook_serves_all_who_listen_until_they_end():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "[('mine', 1)] [('mine', 1), ('another', 2), ('mine', 3)] 1 {}\n"
