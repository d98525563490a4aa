"""A front before a kernel that connects, as a proxy is one: clients connect to the front."""

import os
import shutil
import tempfile
import threading

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from play import Player, until_ready

CHANNELS = ("shell", "control", "stdin", "iopub", "hb")


class Front:
    """Binds the sockets of a connection and passes on what comes from either side, until it is closed.

    Attributes
    ----------
    folder
        Where the kernel connects: to ``ipc://{folder}/{channel}``.
    player
        A client of the kernel behind it.
    """

    def __init__(self, key):
        self.folder = tempfile.mkdtemp(prefix="front-")
        self._context = zmq.Context()
        self._pairs = {}
        self.info = {"ip": "127.0.0.1", "transport": "tcp", "key": key, "signature_scheme": "hmac-sha256"}
        self._poller = zmq.Poller()
        for channel in CHANNELS:
            before = self._socket(zmq.XPUB if channel == "iopub" else zmq.ROUTER)
            self.info[f"{channel}_port"] = before.bind_to_random_port("tcp://127.0.0.1")
            behind = before
            if channel != "hb":
                behind = self._socket(zmq.PULL if channel == "iopub" else zmq.DEALER)
                behind.bind(f"ipc://{self.folder}/{channel}")
            self._pairs |= {before: None if channel == "iopub" else behind, behind: before}
        self._end, end = os.pipe()
        self._poller.register(self._end, zmq.POLLIN)
        self._thread = threading.Thread(target=self._run, name="front")
        self._thread.start()
        self._client = BlockingKernelClient()
        self._client.load_connection_info(self.info)  # type: ignore[arg-type]  # all that is needed
        self._client.session.copy_threshold = 1 << 30  # pyzmq keeps a thread for ever for what isn't copied
        self._client.start_channels(hb=False)
        self._close = end
        self.player = Player(None, self._client)  # type: ignore[arg-type]  # nobody manages it

    def _socket(self, kind):
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.set_hwm(0)
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def _run(self):
        while True:
            for source, _ in self._poller.poll():
                if source == self._end:
                    return
                frames = source.recv_multipart()
                if target := self._pairs[source]:
                    target.send_multipart(frames)

    def until_ready(self):
        until_ready(self._client)
        return self.player

    def control(self, kind, content=None, timeout=30):
        """Send a control request and return the reply's content."""
        message = self._client.session.msg(kind, content or {})
        self._client.control_channel.send(message)
        while True:
            reply = self._client.get_control_msg(timeout=timeout)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply["content"]

    def close(self):
        self._client.stop_channels()
        os.write(self._close, b"x")
        self._thread.join()
        self._context.destroy()
        for fd in (self._end, self._close):
            os.close(fd)
        shutil.rmtree(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
