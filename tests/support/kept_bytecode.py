"""Have Python keep what it compiles from now on, whatever the environment says.

Else each worker compiles all tests and all of hypothesis, each time: seconds.
"""

import sys

sys.dont_write_bytecode = False
