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

from ..core.close_codes import ABNORMAL_CLOSURE, FINAL_CODES, TOO_BIG
from ..core.errors import ProtooError
from ..core.excerpts import excerpt
from ..core.link import Link
from ..core.tracebacks import log_error
from ..core.transactions.client_outbound import ClientOutbound
from ..transport.closing import CLOSE_TIMEOUT
from .events import Closed, Disconnected, Refused
from .listeners import Listeners
from .pipe import Pipe
from .retry_after import parse_close_hint
from .websocket import FAILURES, WebSocket

_log = logging.getLogger("protoo_flask.client")

#: Seconds: a server that accepts and drops at once must not reset the backoff.
STABLE_AFTER = 5.0


class Connector:
    """The connections to a server, one after the other.

    :param attempt: connects: :func:`.websocket.connect`, which needs no more than ``begin``.
    :param reconnect: seconds between attempts, ``(min, max)``; ``None``: never.
    :ivar state: see above.
    """

    def __init__(
        self,
        attempt: Callable[[Callable[[Pipe], object]], WebSocket],
        outbound: ClientOutbound,
        listeners: Listeners,
        reconnect: tuple[float, float] | None,
    ) -> None:
        self.state = "idle"
        self._attempt = attempt
        self._outbound = outbound
        self._listeners = listeners
        self._reconnect = reconnect
        self._error: ProtooError | None = None
        self._openings = 0
        #: For the state and the fields below.
        self._changed = threading.Condition()
        #: The thread that connects; of an earlier one, nothing is told any more.
        self._thread: threading.Thread | None = None
        self._pipe: Pipe | None = None
        self._socket: WebSocket | None = None

    def connect(self, timeout: float | None) -> None:
        """Return when open; see :meth:`.client.Client.connect`."""
        with self._changed:
            if self.state in ("idle", "closed"):
                self._error = None
                self._enter("connecting")
                self._outbound.may_wait = True
                self._listeners.keep_thread(True)
                self._thread = threading.Thread(target=self._run, name="protoo-client", daemon=True)
                self._thread.start()
            elif self.state == "waiting":
                self._enter("connecting")
            before = self._openings
            # A listener of "open" may close the client before this thread runs.
            if not self._changed.wait_for(
                lambda: self.state in ("open", "closed") or self._openings > before,
                None if timeout is None else min(timeout, threading.TIMEOUT_MAX),
            ):
                after = "" if self._error is None else f": {self._error}"
                raise Disconnected(f"not connected within {timeout} s{after}")
            if self._openings == before and self.state == "closed":
                raise self._error or Disconnected("client closed")

    def close(self, code: int, reason: str) -> None:
        """Close for good, and wait for the server; harmless when closed."""
        with self._changed:
            thread, pipe, socket = self._thread, self._pipe, self._socket
            self._finish(Disconnected("client closed"), Closed(code, reason, False, None, 0))
        if socket is not None:
            socket.close(code, reason)
        elif pipe is not None:
            pipe.abort()
        if thread is not None and thread is not threading.current_thread():
            thread.join(CLOSE_TIMEOUT)
            if thread.is_alive() and pipe is not None:
                pipe.abort()

    def rest(self, seconds: float) -> None:
        """Wait, or return earlier when the client is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self.state == "closed", seconds)

    def wait_for_room(self) -> None:
        """Wait while too much waits for a server that reads slowly."""
        if (pipe := self._pipe) is not None:
            pipe.wait_for_room()

    # The thread that connects and reads -----------------------------------------------

    def _run(self) -> None:
        least, most = self._reconnect or (0.0, 0.0)
        limit = least  # of the delay; it doubles with each attempt
        while True:
            began = time.monotonic()
            code, reason = ABNORMAL_CLOSURE, ""
            try:
                socket = self._attempt(self._begin)
                began = time.monotonic()
                self._serve(socket)
                code, reason = socket.code, socket.close_message or ""
                error: ProtooError = Disconnected(
                    f"connection lost ({code} {reason}".rstrip() + ")"
                )
                if time.monotonic() - began >= STABLE_AFTER:
                    limit = least
            except Refused as refused:
                error, reason = refused, f"refused: {refused}"
            except Exception as failure:  # noqa: BLE001 (whoever waits for this thread is told)
                if not isinstance(failure, FAILURES):
                    log_error(_log, failure, "error in the thread that connects")
                what = "cannot connect" if self._socket is None else "connection lost"
                reason = f"{what}: {str(failure) or type(failure).__name__}"
                error = Disconnected(reason)
            if not self._lose(code, reason, error, random.uniform(0, limit)):
                return
            limit = min(most, limit * 2)

    def _begin(self, pipe: Pipe) -> None:
        with self._changed:
            if self._is_current():
                self._pipe = pipe
            else:
                pipe.abort()

    def _serve(self, socket: WebSocket) -> None:
        """Read all that comes by a connection."""
        with self._changed:
            if self._is_current():
                self._socket = socket
                with self._outbound.lock:
                    self._outbound.attach(cast(Link, socket))
                self._openings += 1
                self._enter("open")
                self._listeners.tell("open")
            else:
                socket.close()
        socket.run()

    def _is_current(self) -> bool:
        """Whether this thread is the client's: close() and connect() may have come meanwhile."""
        return self._thread is threading.current_thread() and self.state != "closed"

    def _lose(self, code: int, reason: str, error: ProtooError, delay: float) -> bool:
        """Take note of the end of a connection or attempt; returns when the next one is due.

        :returns: ``False``: there is none.
        """
        with self._changed:
            if not self._is_current():
                return False
            self._socket = self._pipe = None
            self._error = error
            refused = error if isinstance(error, Refused) else None
            is_final = refused is not None and refused.is_final
            # A proxy may answer 404 or 403 while the server behind it restarts.
            if self._openings and refused is not None and not refused.verdict:
                is_final = refused.status < 400
            if is_final or self._reconnect is None or code in FINAL_CODES:
                self._finish(error, Closed(code, reason, False, None, 0))
                return False
            # One of the requests was too big: it would end the next connection, too.
            self._outbound.lose(code != TOO_BIG, str(error))
            # Random also behind a time that the server may have told to all of its clients.
            asked = refused.retry_after if refused else parse_close_hint(code, reason)
            delay += asked
            self._enter("waiting")
            self._listeners.tell("close", Closed(code, reason, True, delay, asked))
            _log.warning("%s; the next attempt is made in %.1f s", excerpt(str(error)), delay)
            self._changed.wait_for(lambda: self.state != "waiting", delay)
            if self._is_current():
                self._enter("connecting")
            return self._is_current()

    def _enter(self, state: str) -> None:
        self.state = state
        self._changed.notify_all()

    def _finish(self, error: ProtooError, closed: Closed) -> None:
        """Close. Holds the lock."""
        if self.state == "closed":
            return
        self._error = error
        self._enter("closed")
        self._pipe = self._socket = self._thread = None
        self._outbound.close()
        self._outbound.finish_all(410, str(error))
        self._outbound.runtime.transactions.clear()
        if isinstance(error, Refused) and error.is_final:
            self._listeners.tell("refused", error)
        self._listeners.tell("close", closed)
        self._listeners.keep_thread(False)
