"""Front ends that only print are told from those that show cells."""

from types import SimpleNamespace

from ipy_autorestart.kernel.consoles import KIND, Consoles


def request(session, **metadata):
    return {"header": {"session": session}, "metadata": metadata}


def test_who_asks_whether_code_is_complete_is_a_console_unless_its_cells_have_ids():
    asked = []
    kernel = SimpleNamespace(shell_handlers={KIND: lambda *args: asked.append(args) or "done"})
    original = kernel.shell_handlers[KIND]
    consoles = Consoles(kernel)
    assert not consoles.has_sent(request("a"))
    assert kernel.shell_handlers[KIND]("stream", b"ident", request("a")) == "done"
    assert asked == [("stream", b"ident", request("a"))]
    assert consoles.has_sent(request("a"))
    assert not consoles.has_sent(request("a", cellId="x"))
    assert not consoles.has_sent(request("b"))
    assert not consoles.has_sent({})
    consoles.close()
    assert kernel.shell_handlers[KIND] is original


def test_what_another_has_put_in_its_place_stays():
    kernel = SimpleNamespace(shell_handlers={KIND: print})
    consoles = Consoles(kernel)
    kernel.shell_handlers[KIND] = repr
    consoles.close()
    assert kernel.shell_handlers == {KIND: repr}
    Consoles(None).close()
