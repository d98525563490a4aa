"""Processes that clean up after this one, in real ones."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.e2e

TRACKED = """
import os, signal
from multiprocessing import Manager, Pool, resource_tracker
from multiprocessing.shared_memory import SharedMemory
from ipy_autorestart.reexec.trackers import end_trackers, left_to_multiprocessing, trackers
assert trackers() == left_to_multiprocessing() == set()
segment = SharedMemory(create=True, size=100)
[tracker] = trackers()
segment.unlink()
left = SharedMemory(create=True, size=100)
manager = Manager()
pool = Pool(1)
worker = pool.apply(os.getpid)
assert left_to_multiprocessing() == {manager._process.pid, worker}
pool.terminate()
pool.join()
manager.shutdown()
assert left_to_multiprocessing() == set()
os.kill(tracker, signal.SIGTERM)
end_trackers()
assert not os.path.exists("/dev/shm/" + left.name)
try: os.kill(tracker, 0)
except ProcessLookupError: print("gone")
assert trackers() == set()
resource_tracker.register("/late", "shared_memory")
assert trackers() == set()
left.close()
"""


def test_a_tracker_cleans_up_at_the_end_of_its_pipe_and_no_other_is_started():
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", TRACKED], capture_output=True, text=True, timeout=30)
    assert (ended.stdout, ended.stderr) == ("gone\n", "")


HELD = """
import os, time
from multiprocessing import get_context
from multiprocessing.shared_memory import SharedMemory
from ipy_autorestart.reexec.trackers import end_trackers
segment = SharedMemory(create=True, size=100)
child = get_context("fork").Process(target=time.sleep, args=(60,), daemon=True)
child.start()
end_trackers()
print(os.path.exists("/dev/shm/" + segment.name), child.is_alive(), flush=True)
child.kill()
child.join()
while os.path.exists("/dev/shm/" + segment.name): time.sleep(0.001)
print("gone")
segment.close()
"""


def test_a_tracker_whose_pipe_a_child_holds_is_left_to_it():
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", HELD], capture_output=True, text=True, timeout=30)
    assert (ended.stdout, ended.stderr) == ("True True\ngone\n", "")
