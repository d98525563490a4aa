"""Keep a kernel busy in a call that lets none of its threads run, for as long as it takes."""

import contextlib
import os

#: ``PyDLL`` keeps the interpreter's lock.
CALL = """\
import ctypes, os
held = os.open({path!r}, os.O_RDWR)
os.rename({path!r}, {path!r} + "-read")
ctypes.PyDLL(None).read(held, ctypes.create_string_buffer(1), 1)
os.close(held)
"""


@contextlib.contextmanager
def busy(kernel, folder, *, then=""):
    """Hold a kernel in a call of C; yields the cell that makes it. Beside the folder a pipe is made to end it.

    After the call the cell does what is to be done ``then``.
    """
    path = f"{folder}-held"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR)
    cell = kernel.send(CALL.format(path=path) + then)
    try:
        kernel.wait(lambda: os.path.exists(f"{path}-read"))
        yield cell
    finally:
        os.write(fd, b"x")
        kernel.wait(lambda: cell.done)
        os.close(fd)
