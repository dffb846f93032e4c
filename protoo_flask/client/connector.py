"""A connector: connects, reads, and connects again, in a thread of its own.

Its states and their changes are those of protoo.js:

==========  ==========================================  ==========
state       event                                       next state
==========  ==========================================  ==========
idle        connect()                                   connecting
connecting  the handshake succeeds                      open
connecting  a refusal                                   closed
connecting  the handshake fails otherwise               waiting (1)
open        the connection ends with 1000, 3000, 3001   closed
open        it ends otherwise                           waiting (1)
waiting     the time is up; connect()                   connecting
closed      connect()                                   connecting
each        close()                                     closed
==========  ==========================================  ==========

(1) closed, if it is not to reconnect
"""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import Callable, cast

from ..core.close_codes import (
    ABNORMAL_CLOSURE,
    AUTHORIZATION_REVOKED,
    NORMAL_CLOSURE,
    ONLINE_ELSEWHERE,
    TOO_BIG,
)
from ..core.errors import ProtooError
from ..core.excerpts import excerpt
from ..core.link import Link
from ..core.transactions.client_outbound import ClientOutbound
from ..transport.closing import CLOSE_TIMEOUT
from .events import Closed, Disconnected, Refused
from .handshake import Handshake
from .listeners import Listeners
from .pipe import Pipe
from .websocket import FAILURES, WebSocket, connect

_log = logging.getLogger("protoo_flask.client")

#: Close codes after which a client does not come back by itself.
FINAL_CODES = (NORMAL_CLOSURE, ONLINE_ELSEWHERE, AUTHORIZATION_REVOKED)

#: Seconds: a server that accepts and drops at once must not reset the backoff.
STABLE_AFTER = 5.0

#: Doublings of the backoff: it grows beyond every maximum, and to no infinity.
MAX_DOUBLINGS = 40


class Connector:
    """The connections to a server, one after the other.

    :param receive: called with each text message.
    :param ping_interval: seconds of silence after which the server is pinged.
    :param reconnect: seconds between attempts, ``(min, max)``; ``None``: never.
    :ivar state: see above.
    """

    def __init__(
        self,
        handshake: Handshake,
        outbound: ClientOutbound,
        listeners: Listeners,
        receive: Callable[[str], object],
        ping_interval: float,
        reconnect: tuple[float, float] | None,
    ) -> None:
        self.state = "idle"
        self._handshake = handshake
        self._outbound = outbound
        self._listeners = listeners
        self._receive = receive
        self._ping_interval = ping_interval
        self._reconnect = reconnect
        self._error: ProtooError | None = None
        self._openings = 0
        #: For the state and the fields below.
        self._changed = threading.Condition()
        #: The thread that connects; of an earlier one, nothing is told any more.
        self._thread: threading.Thread | None = None
        self._pipe: Pipe | None = None
        self._socket: WebSocket | None = None
        outbound.may_wait = True

    def connect(self, timeout: float | None) -> None:
        """Return when open; see :meth:`.client.Client.connect`."""
        with self._changed:
            if self.state in ("idle", "closed"):
                self.state, self._error = "connecting", None
                self._outbound.may_wait = True
                self._listeners.keep_thread(True)
                self._thread = threading.Thread(target=self._run, name="protoo-client", daemon=True)
                self._thread.start()
            elif self.state == "waiting":
                self._enter("connecting")
            before = self._openings
            # A listener of "open" may close the client before this thread runs.
            self._changed.wait_for(
                lambda: self.state in ("open", "closed") or self._openings > before, timeout
            )
            if self.state == "open" or self._openings > before:
                return
            raise self._error or Disconnected(f"not connected within {timeout} s")

    def close(self, code: int, reason: str) -> None:
        """Close for good, and wait for the server; harmless when closed."""
        thread, pipe, socket = self._thread, self._pipe, self._socket
        if not self._finish(Disconnected("client closed"), Closed(code, reason, False, None)):
            return
        if socket is not None:
            socket.close(code, reason)
        elif pipe is not None:
            pipe.abort()
        if thread is not None and thread is not threading.current_thread():
            thread.join(CLOSE_TIMEOUT)
            if thread.is_alive() and pipe is not None:
                pipe.abort()

    def wait_for_room(self) -> None:
        """Wait while too much waits for a server that reads slowly."""
        socket = self._socket
        if socket is not None:
            socket.wait_for_room()

    # The thread that connects and reads -----------------------------------------------

    def _run(self) -> None:
        attempts = 0
        while True:
            retry_after = 0.0
            try:
                socket = connect(self._handshake, self._receive, self._ping_interval, self._begin)
            except Refused as refused:
                error: ProtooError = refused
                closed = ABNORMAL_CLOSURE, f"refused: {refused}"
                retry_after = refused.retry_after
            except FAILURES as failure:
                closed = ABNORMAL_CLOSURE, f"cannot connect: {failure or type(failure).__name__}"
                error = Disconnected(closed[1])
            else:
                began = time.monotonic()
                if not self._open(socket):
                    socket.close()
                socket.run()
                closed = socket.code, socket.close_message or ""
                error = Disconnected(f"connection lost ({closed[0]} {closed[1]}".rstrip() + ")")
                if time.monotonic() - began >= STABLE_AFTER:
                    attempts = 0
            if not self._lose(*closed, error, retry_after, attempts):
                return
            attempts += 1

    def _begin(self, pipe: Pipe) -> None:
        with self._changed:
            if self._is_current():
                self._pipe = pipe
            else:
                pipe.abort()

    def _open(self, socket: WebSocket) -> bool:
        with self._changed:
            if not self._is_current():
                return False
            self._socket = socket
            with self._outbound.lock:
                self._outbound.attach(cast(Link, socket))
            self._openings += 1
            self._enter("open")
        self._listeners.tell("open")
        return True

    def _is_current(self) -> bool:
        """Whether this thread is the client's: close() and connect() may have come meanwhile."""
        return self._thread is threading.current_thread() and self.state != "closed"

    def _lose(
        self, code: int, reason: str, error: ProtooError, retry_after: float, attempts: int
    ) -> bool:
        """Take note of the end of a connection or attempt; returns when the next one is due.

        :returns: ``False``: there is none.
        """
        with self._changed:
            if not self._is_current():
                return False
            self._socket = self._pipe = None
            is_refused = isinstance(error, Refused) and error.is_final
            if is_refused:
                self._listeners.tell("refused", error)
            if is_refused or self._reconnect is None or code in FINAL_CODES:
                self._finish(error, Closed(code, reason, False, None))
                return False
            # One of the requests was too big: it would end the next connection, too.
            self._outbound.lose(code != TOO_BIG, str(error))
            least, most = self._reconnect
            most = min(most, least * 2 ** min(attempts, MAX_DOUBLINGS))
            delay = retry_after + random.uniform(0, most)
            self._listeners.tell("close", Closed(code, reason, True, delay))
            _log.warning("%s; the next attempt is made in %.1f s", excerpt(str(error)), delay)
            self._enter("waiting")
            self._changed.wait_for(lambda: self.state != "waiting", delay)
            if not self._is_current():
                return False
            self._enter("connecting")
            return True

    def _enter(self, state: str) -> None:
        self.state = state
        self._changed.notify_all()

    def _finish(self, error: ProtooError, closed: Closed) -> bool:
        """Close; ``False`` when it was closed before."""
        with self._changed:
            if self.state == "closed":
                return False
            self._error = error
            self._enter("closed")
            self._pipe = self._socket = self._thread = None
            self._outbound.close()
        self._outbound.finish_all(410, str(error))
        self._outbound.runtime.transactions.clear()
        self._listeners.tell("close", closed)
        self._listeners.keep_thread(False)
        return True
