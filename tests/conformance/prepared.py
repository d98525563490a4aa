"""Kernels that are watched, and have restarted in place, before anybody but us has talked to them.

Whoever starts a kernel by ``jupyter_client`` gets one of these where ``JUPYTER_DEFAULT_PROVISIONER_NAME`` says so: the
process is started by the same command as ever, and prepared before ``start_kernel`` returns, by a client of its own and
by silent requests. So the kernel then counts from 1, and has no history, as one that was just started.
"""

import os
import re
import shutil
import tempfile
import time
from queue import Empty

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

#: Names a file to which the process id of each kernel is added.
LOG = "IPY_AUTORESTART_CONFORMANCE_LOG"

#: Seconds that each step may take, on a machine that does much else.
DEADLINE = 60

#: Names of those kernels here that are behind a proxy.
BEHIND = ("behind-proxy", "switched")


class Plain(LocalProvisioner):
    """Starts a kernel as outside of pytest, where ipykernel publishes what is written to descriptors 1 and 2 too."""

    async def pre_launch(self, **options):
        options = await super().pre_launch(**options)
        options["env"].pop("PYTEST_CURRENT_TEST", None)
        return options


class Prepared(Plain):
    """Starts a kernel, begins a watch in it, and restarts it in place."""

    options = ""
    restarts = 0
    is_behind_proxy = False
    folder = ""

    async def post_launch(self, **options):
        await super().post_launch(**options)
        self.folder = self.folder or tempfile.mkdtemp(prefix="watched-")
        client = AsyncKernelClient()
        client.load_connection_info(self.connection_info)
        client.start_channels(stdin=False, hb=False, control=False)
        try:
            pid = await Preparation(self, client).carry_out(self.folder, self.options, self.restarts)
            assert (pid == str(self.pid)) == (not self.is_behind_proxy), f"{pid} answers for {self.pid}"
        finally:
            client.stop_channels()
            client.context.destroy()
        if LOG in os.environ:
            with open(os.environ[LOG], "a") as log:
                log.write(f"{self.pid}\n")

    async def cleanup(self, restart=False):  # noqa: FBT002  # jupyter_client's
        await super().cleanup(restart=restart)
        if not restart:
            shutil.rmtree(self.folder, ignore_errors=True)


class Restarted(Prepared):
    """A kernel that has restarted three times by exec."""

    restarts = 3


class BehindProxy(Prepared):
    """A kernel behind a proxy: the first restart has made one of the process that was launched."""

    options = "--rerun all"
    restarts = 1
    is_behind_proxy = True


class Switched(BehindProxy):
    """A kernel that is the third to follow the first one behind a proxy."""

    restarts = 4


class Preparation:
    """What is done in a kernel that has just been launched."""

    def __init__(self, provisioner, client):
        self._provisioner = provisioner
        self._client = client

    async def carry_out(self, folder, options, restarts):
        """Return the id of the process that the kernel then is, as it says itself."""
        await self._be_heard()
        await self._run(f"%load_ext ipy_autorestart\n%watch_restart {folder} {options}")
        await self._until_shown(r" · running\b")
        for number in range(1, restarts + 1):
            await self._run("before_the_restart = True\n%watch_restart --now")
            await self._until_shown(rf" · running\b.* · {number} restarts?\b")
            (left,) = await self._run("", "'before_the_restart' in globals()")
            assert left == "False", f"restart {number} has left the namespace as it was"
        (pid,) = await self._run("", "__import__('os').getpid()")
        return pid

    async def _be_heard(self):
        """Wait until what the kernel publishes comes here."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            request = self._client.kernel_info()
            try:
                while (await self._client.get_shell_msg(timeout=1))["parent_header"].get("msg_id") != request:
                    pass
                while not _ends(await self._client.get_iopub_msg(timeout=1), request):
                    pass
            except Empty:
                await self._check()
            else:
                return
        raise TimeoutError("the kernel does not answer")

    async def _run(self, code, *expressions):
        """Run code silently and return, as text, what expressions are then."""
        asked = {str(number): expression for number, expression in enumerate(expressions)}
        request = self._client.execute(code, silent=True, store_history=False, user_expressions=asked)
        reply = await self._take(self._client.get_shell_msg, lambda message: _answers(message, request), what=code)
        assert reply["content"]["status"] == "ok", reply["content"]
        return [reply["content"]["user_expressions"][number]["data"]["text/plain"] for number in asked]

    async def _until_shown(self, pattern):
        """Wait until the status line reads so."""

        def reads(message):
            return re.search(pattern, message["content"].get("data", {}).get("text/plain", ""))

        await self._take(self._client.get_iopub_msg, reads, what=pattern)

    async def _take(self, get, until, *, what):
        """Take messages of a channel; return the first that is meant."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            try:
                message = await get(timeout=1)
            except Empty:
                await self._check()
            else:
                if until(message):
                    return message
        raise TimeoutError(f"waited {DEADLINE} s for {what}")

    async def _check(self):
        status = await self._provisioner.poll()
        assert status is None, f"the kernel has ended with status {status}"


def _answers(message, request):
    return message["parent_header"].get("msg_id") == request


def _ends(message, request):
    return _answers(message, request) and message["content"].get("execution_state") == "idle"
