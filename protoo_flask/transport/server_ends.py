"""The end of a server: noticed when it closes its listener, and put off while clients are drained.

Servers have no hook for that which a site could use without a line in its configuration. But all
servers of gevent call ``close()`` of their ``gevent.server.BaseServer`` when they end, so a
:class:`ServerEnd` stands in its place:

==================================  ===========================================================
the server is                       then
==================================  ===========================================================
a worker of gunicorn                it calls ``close()`` up to a second after SIGTERM, SIGHUP or
                                    ``max_requests``, and then waits for the greenlets of its pool,
                                    for ``graceful_timeout`` at most. An upgraded connection has
                                    left that pool. So a greenlet that waits for the drain joins it
gevent's own, with or without       ``stop()`` calls ``close()``, and so does
gunicorn                            ``serve_forever()``, which both return after the drain
==================================  ===========================================================

SIGQUIT and SIGINT end a worker of gunicorn without a call of ``close()``, and so does
its timeout: clients are told at the exit of the process.

The server of a request is found on the stack, and gunicorn's worker among the signal handlers that
it has set. Where either is not found, nothing happens here.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from typing import Any, Callable, NamedTuple, Protocol

import gevent
from gevent import socket as gevent_socket
from gevent.baseserver import BaseServer

_log = logging.getLogger(__name__)

#: The function of gevent that runs the handler of a connection, and the variable with a method of
#: the server.
_FUNCTION, _METHOD = "_handle_and_close_when_done", "close"

#: Frames between that function and ours, at most: gunicorn, and WSGI middleware of the site.
DEPTH = 200

#: Signals that a worker of gunicorn handles. A site may have set handlers of its own for some.
_SIGNALS = ("SIGTERM", "SIGUSR1", "SIGABRT", "SIGQUIT", "SIGWINCH")

#: Seconds of ``graceful_timeout`` that are not left to a drain: the worker notices SIGTERM up to a
#: second later, and the end of the drain another second later. Clients have the rest for the
#: closing handshake.
GUNICORN_NEEDS = 3.0

#: Seconds that a look for the successor takes, at most.
LOOK_TIME = 0.5


class Waitable(Protocol):
    """A drain."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is over."""


class Ending(NamedTuple):
    """The end of a server, as it begins.

    :ivar seconds: that the server allows; ``None``: any number.
    :ivar has_successor: tells whether another process accepts connections in its place by now. May
        block, for :data:`LOOK_TIME`.
    :ivar ends_process: whether the process ends with the server.
    """

    seconds: float | None
    has_successor: Callable[[], bool]
    ends_process: bool


#: ``begin(ending)`` returns what is to be waited for; ``None``: nothing.
Begin = Callable[[Ending], "Waitable | None"]


class ServerEnd:
    """Stands in the place of ``close()`` of a server.

    :ivar has_begun: whether the server ends.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._close: Callable[[], None] = server.close
        self._begin: list[Begin] = []
        self._drains: list[Waitable] = []
        self._process = os.getpid()
        self.has_begun = False
        server.close = self

    @property
    def worker(self) -> Any:
        """The worker of gunicorn that the server belongs to; ``None`` if it is another's."""
        return find_worker()

    def then(self, begin: Begin) -> None:
        """Have ``begin(ending)`` called when the server ends."""
        self._begin.append(begin)

    def __call__(self) -> None:
        """Close the listener, and have clients drained: once, whoever calls it how many times."""
        is_first, self.has_begun = not self.has_begun, True
        if os.getpid() != self._process:
            self._close()  # a forked child has a copy of the server
            return
        worker = self.worker
        if is_first:
            self._start_drains(worker)
        if worker is None:
            self._close()
            if _may_block():
                self._wait()
        elif not is_first:
            self._close()  # the worker waits no longer
        elif self._drains:
            self._keep_worker(serves_on=_is_alone(worker))
        else:
            self._close()

    def _start_drains(self, worker: Any) -> None:
        seconds = None if worker is None else find_time(worker)
        look: Callable[[], bool] = _nobody
        if worker is None or not _is_alone(worker):
            look = _look_at(self._server)
        ending = Ending(seconds, look, ends_process=worker is not None)
        for begin in self._begin:
            try:
                drain = begin(ending)
            except Exception:  # noqa: BLE001 (the server has to end whatever happens)
                _log.exception("the clients of this server cannot be drained")
                continue
            if drain is not None:
                self._drains.append(drain)

    def _wait(self) -> None:
        for drain in self._drains:
            drain.wait()

    def _keep_worker(self, serves_on: bool) -> None:
        """Keep the worker until the drains are over.

        :param serves_on: whether it accepts connections meanwhile. gunicorn starts the successor
            of a worker that has handled ``max_requests`` only after its exit. If it is the only
            one, pages of the site would hang until then.
        """
        if not serves_on:
            self._close()
        pool = self._server.pool
        if pool is None:
            gevent.spawn(self._wait_and_close)
        elif pool.full():
            gevent.spawn(pool.spawn, self._wait_and_close)  # it waits for a place
        else:
            pool.spawn(self._wait_and_close)

    def _wait_and_close(self) -> None:
        try:
            self._wait()
        finally:
            self._close()


def watch_server() -> ServerEnd | None:
    """Return the end of the server that handles the current request; ``None`` if it has none."""
    server = find_server()
    if server is None:
        return None
    end = vars(server).get("close")
    if not isinstance(end, ServerEnd) or end._process != os.getpid():
        end = ServerEnd(server)
    return end


def find_server() -> Any:
    """Return the server of gevent in whose greenlet this is called; ``None`` if there is none."""
    frame: Any = sys._getframe(1)
    for _ in range(DEPTH):
        if frame is None:
            return None
        if frame.f_code.co_name == _FUNCTION:
            server = getattr(frame.f_locals.get(_METHOD), "__self__", None)
            return server if isinstance(server, BaseServer) else None
        frame = frame.f_back
    return None


def find_worker() -> Any:
    """Return the worker of gunicorn that this process is; ``None`` if it is none."""
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        handler = None if number is None else signal.getsignal(number)
        worker = getattr(handler, "__self__", None)
        # Not by its class: a site may have one of its own.
        if all(hasattr(worker, attribute) for attribute in ("alive", "cfg", "max_requests")):
            return worker
    return None


def find_time(worker: Any) -> float:
    """Return the seconds that a worker of gunicorn has for a drain."""
    return max(0.0, float(worker.cfg.graceful_timeout) - GUNICORN_NEEDS)


def _is_alone(worker: Any) -> bool:
    """Whether a worker ends by ``max_requests``, and there is no other before it has ended."""
    nr, most = getattr(worker, "nr", 0), getattr(worker, "max_requests", sys.maxsize)
    return bool(nr >= most and worker.cfg.workers == 1)


def _may_block() -> bool:
    return gevent.getcurrent() is not gevent.get_hub()


def _nobody() -> bool:
    return False


def _look_at(server: Any) -> Callable[[], bool]:
    """Return a function that looks whether another process listens where a server does now."""
    sock = getattr(server, "socket", None)
    try:
        assert sock is not None
        family, address = sock.family, sock.getsockname()
    except (AssertionError, OSError, AttributeError):
        return _nobody

    def look() -> bool:
        with gevent_socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(LOOK_TIME)
            try:
                probe.connect(address)
            except OSError:
                return False
            return True

    return look
