import os
import random
import sys

import pytest
import writers


@pytest.fixture
def modules(project):
    modules = writers.make_project(project)
    project.script(writers.program(modules) + "import time\nif shared_0.V % 2: time.sleep(600)\n")
    return modules


@pytest.fixture
def seed():
    """Of this test's edits, shown where it fails."""
    seed = int(os.environ.get("IPY_AUTORESTART_TEST_SEED", random.randrange(10**6)))
    sys.stdout.write(f"IPY_AUTORESTART_TEST_SEED={seed}\n")
    return seed
