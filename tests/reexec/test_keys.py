"""The keys of tasks in a process that restarts itself, with Dask imported before or after."""

import json
import subprocess
import sys

import pytest

# In a process of its own: Dask would change this one for the tests of what is imported.
PROGRAM = """
import json, os, sys, types
from ipy_autorestart.protocol.keyed import Keyed
from ipy_autorestart.reexec.keys import name_no_versions, name_versions

told, salt, order = sys.argv[1:]
keyed = Keyed(told, salt)

def say(version):
    with open(told + ".new", "w") as file:
        json.dump({"version": version, "roots": ["/project/src"]}, file)
    os.replace(told + ".new", told)

ours, theirs = (types.ModuleType(name) for name in ("ours", "theirs"))
ours.__file__, theirs.__file__ = "/project/src/ours.py", "/elsewhere/theirs.py"
for module in (ours, theirs):
    sys.modules[module.__name__] = module
    exec("def f(x): return x", module.__dict__)

def tokens():
    from dask.base import tokenize
    return [tokenize(one) for one in (ours.f, theirs.f)]

if order == "before":
    unnamed = tokens()
name_versions(keyed)
if order == "after":
    import asyncio, dask
    from distributed.preloading import process_preloads  # as each client does
    asyncio.run(process_preloads(None, dask.config.get("distributed.client.preload"), []).start())
    unnamed = tokens()
found = [tokens() == unnamed]  # the workers have nothing yet
say("3f2a")
first = tokens()
name_versions(keyed)  # of the same watch, in the next image
found += [[one == other for one, other in zip(unnamed, first)], tokens() == first]
say("9c01")
found += [[one == other for one, other in zip(first, tokens())]]
os.unlink(told)
found += [tokens() == first]  # the last that was said holds on
name_no_versions(keyed)
print(json.dumps([*found, tokens() == unnamed]))
"""


@pytest.mark.e2e
@pytest.mark.parametrize("order", ["before", "after"])
def test_keys_name_the_version_that_the_workers_have_by_now(tmp_path, order):
    from ipy_autorestart.cluster.helper import SALT

    words = [sys.executable, "-c", PROGRAM, tmp_path / "told", SALT, order]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")  # nor is a word said of it
    assert json.loads(done.stdout) == [True, [False, True], True, [False, True], False, True]
