"""The end of a terminal in which something runs."""

from waiting import eventually


def hang_up(child):
    """Close the terminal of a child of pexpect's, as its window does, and wait until that has ended.

    pexpect itself sends signals of its own to what has not ended within 0.1 s.
    """
    child.ptyproc.fileobj.close()
    eventually(lambda: not child.isalive(), what="the end of what ran in the terminal")
    child.close()
