"""The end of a kernel's life, as far as there is no kernel in it."""

from ipy_autorestart.kernel.handover import _Registered


def test_a_function_is_found_by_being_compared():
    met, missed = _Registered(print), _Registered(repr)
    assert print == met
    assert not print == missed  # noqa: SIM201  # as atexit compares
    assert (met.was_found, missed.was_found) == (True, False)
