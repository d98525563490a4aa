"""A notebook's page: its cells by their ids, as a front end sends them and shows what comes back."""

import ast
import contextlib

from play import DEADLINE, Cell, Player


def ask(player, expression, timeout=DEADLINE):
    """Return the value of an expression, by a request of which no page shows anything; None if it is no literal.

    Such a request prolongs no batch, as a cell does, for whose end a kernel waits.
    """
    content = {"code": "", "silent": True, "store_history": False, "user_expressions": {"asked": expression}}
    message = player.client.session.msg("execute_request", {**content, "allow_stdin": False, "stop_on_error": False})
    asked = player.cells[message["header"]["msg_id"]] = Cell(message["header"]["msg_id"], expression)
    player.client.shell_channel.send(message)
    player.wait(lambda: asked.reply is not None, timeout=timeout, what=expression)
    del player.cells[asked.id]
    answer = (asked.reply or {}).get("user_expressions", {}).get("asked", {})
    if answer.get("status") == "error":
        raise AssertionError("\n".join(answer["traceback"]))
    with contextlib.suppress(KeyError):
        return ast.literal_eval(answer["data"]["text/plain"])
    return None


class Page(Player):
    """A kernel, and the cells that a page has of it."""

    def __init__(self, manager, client):
        super().__init__(manager, client)
        self.shown = {}  # by the id of a cell, its last execution
        self._deleted = []

    def begin(self, key, code, *, stops=False):
        """Send a cell and return at once; what was deleted since the last one goes with it.

        It may have what is queued behind it aborted, where it fails.
        """
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        message = self.client.session.msg("execute_request", {**content, "allow_stdin": False, "stop_on_error": stops})
        message["metadata"] = {"cellId": key, "deletedCells": self._deleted}
        self._deleted = []
        self.client.shell_channel.send(message)
        number = message["header"]["msg_id"]
        cell = self.cells[number] = self.shown[key] = Cell(number, code)
        return cell

    def delete(self, key):
        """Delete a cell."""
        if self.shown.pop(key, None):
            self._deleted.append(key)

    def until_idle(self, timeout=DEADLINE):
        """Wait until all that was sent has ended."""
        cells = list(self.shown.values())
        self.wait(lambda: all(cell.done for cell in cells), timeout=timeout, what="the cells")

    def ask(self, expression, timeout=DEADLINE):
        """Return the value of an expression, by a request of which no page shows anything."""
        return ask(self, expression, timeout)
