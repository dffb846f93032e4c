"""A server of gevent in a thread of the test, on a hub of its own; nothing is patched."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Any, Callable, Iterator

import gevent
from gevent.pywsgi import WSGIServer

from .processes import DEADLINE


class HubServer:
    """The server; the thread ends with it.

    :ivar port: the port that it has chosen.
    """

    def __init__(self, app: Any) -> None:
        self._started: queue.Queue[int] = queue.Queue()
        self._app = app
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        self.port = self._started.get(timeout=DEADLINE)

    def _serve(self) -> None:
        self._hub: Any = gevent.get_hub()
        self._server = WSGIServer(("127.0.0.1", 0), self._app, log=None)
        self._server.start()
        self._started.put(self._server.server_port)
        self._server.serve_forever(stop_timeout=0)
        self._hub.destroy(destroy_loop=True)

    def run(self, function: Callable[[], Any]) -> None:
        """Run a function on the hub."""
        self._hub.loop.run_callback_threadsafe(function)

    def stop(self) -> None:
        if self.thread.is_alive():
            self.run(lambda: gevent.spawn(self._server.stop, timeout=0))
            self.thread.join(DEADLINE)
            assert not self.thread.is_alive()


@contextlib.contextmanager
def serve(app: Any) -> Iterator[HubServer]:
    server = HubServer(app)
    try:
        yield server
    finally:
        server.stop()
