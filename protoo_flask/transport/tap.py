"""The tap: what simple-websocket has in the place of the server's socket.

flask-sock has simple-websocket answer the handshake before its view runs, and simple-websocket
has a thread (on a patched process, a greenlet) that reads from then on. So a tap stands in the
environ where simple-websocket looks for the socket. Nothing passes it until the view has decided:

==========  ======================  ==========  ===========================================
state       event                   next state  action
==========  ======================  ==========  ===========================================
undecided   ``bind``: it is served  bound       the environ is as it was
undecided   ``release``             released    the thread of simple-websocket ends
undecided   nothing for PATIENCE    released    the same: the view waits for messages
bound       ``lend``                lent        the thread reads for the connection, to its end
bound       ``release``             released    the thread ends
==========  ======================  ==========  ===========================================

So the site can refuse by an HTTP status until then, nothing that was read is lost, and the 101 is
sent by the connection, when others can reach the client's peer. The answer that simple-websocket
has written is thrown away: the connection has one of its own, with the cookies of the site.
"""

from __future__ import annotations

import functools
import io
import socket
import threading
from types import SimpleNamespace
from typing import Any, Callable, MutableMapping

from ..core.errors import UsageError
from .websocket.frames import CLOSE, PING, PONG

#: The key of the environ with the tap of a request.
KEY = "protoo_flask.tap"

#: Seconds that a view has, from the handshake to the call that serves the WebSocket.
PATIENCE = 30.0

#: The keys of an environ under which simple-websocket finds a socket.
_KEYS = ("werkzeug.socket", "gunicorn.socket")

#: The headers that simple-websocket gets to see, besides the key and the sub-protocol: none that it
#: may stumble over, and no offer of compression, of which our encoder knows nothing.
_HEADERS = {
    "HTTP_CONNECTION": "Upgrade",
    "HTTP_HOST": "localhost",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_UPGRADE": "websocket",
}

#: The end of the answer to a handshake.
_END_OF_HEAD = b"\r\n\r\n"


class _TapInput(io.BytesIO):
    """The empty body of a handshake under pywsgi, where simple-websocket finds the socket."""

    def __init__(self, tap: Any) -> None:
        super().__init__()
        self.raw = SimpleNamespace(_sock=tap)


class Tap:
    """Stands for the socket of a request until its view has returned.

    :param environ: of the request.
    :param event_class: of simple-websocket's thread: it waits here.
    :ivar is_bound: whether the view has had the WebSocket served.
    :ivar is_kept: whether the response of the request is the connection.
    :ivar was_closed: whether simple-websocket has been told to close, by flask-sock or the view.
    """

    def __init__(
        self, environ: MutableMapping[str, Any], event_class: Callable[[], Any] = threading.Event
    ) -> None:
        self._environ = environ
        self._replaced: dict[str, Any] = {}
        self._headers: dict[str, Any] = {}
        self._decided = event_class()
        self._has_reader = event_class()
        self._reader: Callable[[], None] | None = None
        self._head = b""
        self._written = b""
        #: Held for no longer than it takes to look at these, and by real threads, too.
        self._lock = threading.Lock()
        self.is_bound = False
        self.is_kept = False
        self.was_closed = False

    def put(self, key: str, subprotocol: str) -> None:
        """Put it where simple-websocket looks for the socket; see :meth:`take_out`.

        :param key: of the handshake, which was checked.
        :param subprotocol: the one that was agreed on.
        """
        environ = self._environ
        self._replaced = {key: environ[key] for key in (*_KEYS, "wsgi.input") if key in environ}
        self._headers = {key: environ[key] for key in environ if key.startswith("HTTP_")}
        for name in self._headers:
            del environ[name]
        environ.update(_HEADERS)
        environ["HTTP_SEC_WEBSOCKET_KEY"] = key
        environ["HTTP_SEC_WEBSOCKET_PROTOCOL"] = subprotocol
        environ[KEY] = self
        for key in _KEYS:
            if key in environ:
                environ[key] = self
                return
        if str(environ.get("SERVER_SOFTWARE", "")).startswith("gevent"):
            environ["wsgi.input"] = _TapInput(self)
        else:  # a test in this process, without any socket
            environ[_KEYS[0]] = self

    def take_out(self) -> None:
        """Have the environ as it was."""
        self._show_headers()
        if self._environ.get(_KEYS[0]) is self:
            del self._environ[_KEYS[0]]
        self._environ.update(self._replaced)
        self._replaced = {}

    def _show_headers(self) -> None:
        """Let the site see the headers of its client again."""
        self._environ.update(self._headers)
        self._headers = {}

    def bind(self) -> None:
        """Take note that the WebSocket is going to be served."""
        if self.is_bound:
            raise UsageError("protoo.serve(ws) was called twice for one WebSocket")
        with self._lock:
            if self._decided.is_set():
                raise UsageError(
                    f"protoo.serve(ws) came more than {PATIENCE:.0f} seconds after the "
                    "handshake: the view must not wait for messages of the client before"
                )
            self.is_bound = True
        self.take_out()

    def take_written(self) -> bytes:
        """Return the frames that the view has sent before it had the WebSocket served."""
        return self._written

    def wait_for_reader(self) -> bool:
        """Wait until simple-websocket's thread can be lent; ``False`` if there is none."""
        return bool(self._has_reader.wait(PATIENCE))

    def lend(self, reader: Callable[[], None]) -> None:
        """Have simple-websocket's thread run ``reader()``, which returns at the end."""
        self._reader = reader
        self._decided.set()

    def release(self) -> None:
        """Let simple-websocket's thread end, if nothing was lent. Harmless when it has ended."""
        self.take_out()
        self._decided.set()

    def end_request(self) -> None:
        """Release it, unless the response of the request is the connection."""
        if not self.is_kept:
            self.release()

    # The methods of a socket, for simple-websocket -----------------------------------

    def dup(self) -> Tap:
        return self

    def fileno(self) -> int:
        """Return a descriptor that can always be read: it is to wait in :meth:`recv` instead."""
        return dead_end()

    def recv(self, size: int) -> bytes:
        """Read for the connection, to its end."""
        self._has_reader.set()
        while not self._decided.wait(PATIENCE):
            with self._lock:
                if not self.is_bound:
                    self._decided.set()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader()
        return b""

    def send(self, data: bytes) -> int:
        """Keep the bytes of the view; nobody has got the 101 yet."""
        if not self._head.endswith(_END_OF_HEAD):
            self._head += data
            self._show_headers()  # simple-websocket has read what it needs
        elif data[0] & 0x0F in (PING, PONG):
            pass  # the connection has pings of its own, and a site a short ping_interval, maybe
        elif self.is_bound:
            raise UsageError("protoo.serve(ws) must come last: the view must not send any more")
        elif data[0] & 0x0F == CLOSE:
            self.was_closed = True
        else:
            self._written += data
        return len(data)

    def close(self) -> None:
        """Do nothing: the socket is the server's."""


def dead_end() -> int:
    """Return the descriptor of a socket with a closed other end: one for the whole process."""
    return _dead_end()


@functools.lru_cache(maxsize=None)
def _dead_end() -> int:
    """Make that socket.

    Several owners may hold it at once, as nothing is ever kept in it. A pair of sockets for
    each handshake would cost six system calls instead of one.
    """
    dead, other = socket.socketpair()
    other.close()
    return dead.detach()
