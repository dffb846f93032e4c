"""A client: a peer of a server, as a browser is one."""

from __future__ import annotations

import functools
import os
import random
import secrets
import ssl
import threading
import time
from typing import Any, Mapping, overload

from ..core.close_codes import NORMAL_CLOSURE
from ..core.errors import UsageError
from ..core.excerpts import excerpt, excerpt_of
from ..core.functions import Decorator, F
from ..core.response import Response
from ..core.sendable import Sendable
from ..core.transactions.client import ClientTransaction, OnResponse
from ..core.transactions.client_outbound import ClientOutbound
from ..core.transactions.outbound import GONE, TAKEN
from ..transport.threads.loop import ThreadLoop
from .connector import Connector
from .events import Disconnected
from .handshake import Handshake
from .incoming import Incoming
from .listeners import Listeners
from .websocket import connect

#: Bytes of messages that may wait for a connection.
MAX_WAITING = 8 * 1024 * 1024


@functools.lru_cache(maxsize=1)
def _loop_of(process: int) -> ThreadLoop:
    """Return the loop of all clients of a process: one thread waits for the time limits of all."""
    return ThreadLoop()


class Client:
    """A peer of a server, for scripts, bots and probes.

    ::

        web = requests.Session()
        web.post("https://chat.example/login", data={"username": "bot", "password": "..."})

        with Client("https://chat.example/protoo", cookies=web) as client:
            response = client.request("message", "/users/bob", {"text": "hi"})

    :param url: of the WebSocket route: ``ws``, ``wss``, ``http`` or ``https``.
    :param uuid: the name of this device; one is made up. Keep it to be the same device after a
        restart.
    :param cookies: a ``http.cookiejar.CookieJar`` (of urllib, requests, httpx), a
        ``requests.Session``, or a dict. The jar is asked at each attempt, and gets the cookies of
        the answer.
    :param headers: more headers for the handshake.
    :param ssl_context: for a CA of your own: ``ssl.create_default_context(cafile="ca.pem")``.
    :param request_timeout: seconds that a request waits for its final response.
    :param repeat: send unanswered requests again after a reconnection: for a server with
        ``PROTOO_DISCONNECT_GRACE_PERIOD``, which handles none of them twice.
    :param reconnect: seconds between attempts, ``(min, max)``, doubled each time, and random below
        that; ``None``: never.
    :param ping_interval: seconds of silence after which the server is pinged; after as many
        more, the connection counts as broken.
    :raises UsageError: for a value that cannot work.
    """

    def __init__(
        self,
        url: str,
        uuid: str | None = None,
        *,
        cookies: Any = None,
        headers: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        request_timeout: float = 15,
        repeat: bool = False,
        reconnect: tuple[float, float] | None = (0.5, 30),
        ping_interval: float = 25,
    ) -> None:
        #: The name of this device.
        self.uuid = uuid or secrets.token_hex(16)
        handshake = Handshake(url, self.uuid, cookies, headers, ssl_context)
        #: Where it connects to, with the uuid.
        self.url = handshake.url
        self._request_timeout = _check_seconds("request_timeout", request_timeout)
        self._repeat = repeat
        self._listeners = Listeners()
        loop, first_id = _loop_of(os.getpid()), secrets.randbits(48) + 1
        self._outbound = ClientOutbound(
            self._listeners, loop, self._request_timeout, MAX_WAITING, first_id
        )
        receive = Incoming(self._outbound, self._listeners).receive
        patience = _check_seconds("ping_interval", ping_interval)
        self._connector = Connector(
            functools.partial(connect, handshake, receive, patience),
            self._outbound,
            self._listeners,
            _check_range(reconnect),
        )

    def connect(self, timeout: float | None = None) -> Client:
        """Connect, and return when open, after any number of attempts. "waiting": try now.

        :param timeout: seconds; afterwards, the client goes on trying.
        :raises Refused: when the server refuses.
        :raises Disconnected: when there is no next attempt, or the time is up.
        """
        self._connector.connect(timeout)
        return self

    def close(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Close for good, and wait for the server. Requests under way end with a local 410.

        :param code: 1000, or 3000 to 4999. For the server, 1000 is final.
        """
        if type(code) is not int or not (code == NORMAL_CLOSURE or 3000 <= code <= 4999):
            raise UsageError(f"close(code) takes 1000, or 3000 to 4999, not {excerpt_of(code)}")
        self._connector.close(code, reason)

    def __enter__(self) -> Client:
        return self.connect()

    def __exit__(self, *error: object) -> None:
        self.close()

    def send(
        self,
        method: str,
        path: str,
        data: dict[str, Any] | None = None,
        on_response: OnResponse | None = None,
        *,
        timeout: float | None = None,
        repeat: bool | None = None,
    ) -> ClientTransaction:
        """Send a request, now or when there is a connection.

        Iterate over its responses, ``wait()`` for the final one, or ``cancel()``. This blocks
        only while the server reads slowly.

        :param on_response: called with each response, by the thread of the listeners.
        :param timeout: seconds until a local 408; ``float("inf")``: for ever.
        :param repeat: instead of that of the client.
        """
        seconds = self._request_timeout if timeout is None else _check_seconds("timeout", timeout)
        transaction = self._outbound.request(
            Sendable(method, data),
            path,
            on_response,
            None if seconds > threading.TIMEOUT_MAX else seconds,
            self._repeat if repeat is None else repeat,
        )
        self._connector.wait_for_room()
        return transaction

    def request(
        self,
        method: str,
        path: str,
        data: dict[str, Any] | None = None,
        *,
        timeout: float | None = None,
        repeat: bool | None = None,
        retries: int = 0,
    ) -> Response:
        """Send a request, and return its final response.

        It is local (``is_local``) if none came: 400 for data that is not JSON, 408, 410 when the
        connection was lost, 503 when too much waits for a connection.

        :param retries: how many times a request is made again that a limit has refused
            (``response.retry_after``): after that time, and a random one as long at most. Not if
            ``timeout`` is over by then.
        """
        if type(retries) is not int or retries < 0:
            raise UsageError(f"request(retries) takes an integer from 0, not {excerpt_of(retries)}")
        left = self._request_timeout if timeout is None else _check_seconds("timeout", timeout)
        ends = time.monotonic() + left
        while True:
            response = self.send(method, path, data, timeout=left, repeat=repeat).wait()
            # Random, or requests that were refused together would all but one be refused again.
            pause = response.retry_after * random.uniform(1, 2)
            if not retries or not pause or pause >= ends - time.monotonic():
                return response
            self._connector.rest(pause)
            retries -= 1
            left = ends - time.monotonic()
            if left <= 0:
                return response

    def notify(self, method: str, path: str, data: dict[str, Any] | None = None) -> None:
        """Send a notification: a request without an answer.

        Without a connection, it waits for one, for ``request_timeout`` at most.

        :raises Unsendable: when the data is not JSON.
        :raises Disconnected: when the client is closed, or too much waits.
        """
        fate = self._outbound.notify(Sendable(method, data), path)
        if fate is not TAKEN:
            raise Disconnected("client closed" if fate is GONE else "too many messages wait")
        self._connector.wait_for_room()

    @overload
    def on(self, event: str) -> Decorator: ...

    @overload
    def on(self, event: str, function: F) -> F: ...

    def on(self, event: str, function: Any = None) -> Any:
        """Call a function at "open", "close", "refused", "request" or "notification".

        :returns: the function; without one, a decorator.
        """
        self._listeners.check(event)
        if function is None:
            return functools.partial(self.on, event)
        self._listeners.add(event, function)
        return function

    @property
    def state(self) -> str:
        """Return idle, connecting, open, waiting (it will reconnect) or closed (it will not)."""
        return self._connector.state

    def __repr__(self) -> str:
        return f"<Client {excerpt(self.url)} {self.state}>"


def _check_seconds(name: str, value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        raise UsageError(f"{name} takes seconds above 0, not {excerpt_of(value)}")
    return float(value)


def _check_range(reconnect: Any) -> tuple[float, float] | None:
    if reconnect is None:
        return None
    try:
        least, most = (float(seconds) for seconds in reconnect)
    except (TypeError, ValueError):
        least, most = 1.0, 0.0
    if not 0 <= least <= most < threading.TIMEOUT_MAX:
        raise UsageError(
            f"reconnect takes seconds (min, max), or None, not {excerpt_of(reconnect)}"
        )
    return least, most
