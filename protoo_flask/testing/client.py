"""A test client: a device of a user, joined to an app in memory."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Mapping, TypeVar

from flask import Flask, current_app, has_app_context
from flask.testing import FlaskClient

from ..core.close_codes import NORMAL_CLOSURE
from ..core.errors import UsageError
from ..core.names import to_name
from ..core.peers.peer import Peer
from ..core.response import Response
from ..core.wire.dialect import PROTOO
from ..transport.in_process import KEY
from .client_link import ClientLink
from .failures import ExpectationFailed, Refused, Unsettled
from .messages import IncomingNotification, IncomingRequest, SentRequest, StrayResponse
from .server import Server

M = TypeVar("M", bound=IncomingNotification)

#: Headers that Flask's test client writes itself.
_OF_FLASK = {"host"}

#: Options of ``flask_client.open()`` that name the host.
_OF_THE_HOST = ("base_url", "subdomain", "url_scheme")


class TestClient:
    """One device of one user, connected to an app in this process; see ``protoo.test_client()``.

    ::

        with protoo.test_client(app.test_client(), username="alice", uuid="phone") as alice:
            assert alice.request("get", "/echo", {"n": 1}).data == {"n": 1}

    Its methods return when the app has nothing more to do. They wait for nothing but code that
    waits in real time, such as ``gevent.sleep()`` in a handler.

    :ivar username: the user that the site has let in.
    :ivar uuid: the device.
    :ivar inbox: the messages that the test has not taken yet, in the order in which they came.
    """

    #: For pytest, which takes a class of this name for tests.
    __test__ = False

    def __init__(
        self,
        server: Server,
        flask_client: FlaskClient,
        *,
        uuid: str | None = None,
        path: str | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        origin: str | None = None,
        subprotocol: str = PROTOO.subprotocol,
        **options: Any,
    ) -> None:
        self.flask_client = flask_client
        self.username = ""
        self.uuid = uuid or ""
        self.inbox: list[IncomingNotification | StrayResponse] = []
        self._server = server
        self._path = path
        if "query_string" in options:
            raise UsageError(
                "test_client(query={...}) takes the query of the handshake as a dict, and adds the "
                f"uuid to it; query_string={options['query_string']!r} would replace it"
            )
        self._query = _to_dict("query", query)
        self._headers = _to_dict("headers", headers)
        if origin is not None:
            self._headers["Origin"] = origin
        self._subprotocol = subprotocol
        self._options = options
        self._link: ClientLink | None = None
        #: Connections that were lost without a word: the server may not have found out yet.
        self._lost: list[ClientLink] = []
        #: Requests without a final response, and requests of the server, by their ids.
        self._sent: dict[int, SentRequest] = {}
        self._received: dict[int, IncomingRequest] = {}
        self._is_closed = False
        self._connect()
        server.clients.append(self)

    # The connection ----------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open."""
        return self._link is not None and self._link.is_open

    @property
    def close_code(self) -> int | None:
        """The code that the connection was closed with; 1006 without a Close, ``None``: open."""
        return None if self._link is None else self._link.close_code

    @property
    def close_reason(self) -> str:
        """The reason of the Close; "" if there is none."""
        return "" if self._link is None else self._link.close_reason

    @property
    def peer(self) -> Peer | None:
        """The peer that the app has for this device; ``None`` when it is offline."""
        return self._server.site.peer(self.username, self.uuid)

    def drop(self, *, silently: bool = False) -> None:
        """Lose the connection, as in a tunnel: there is no Close.

        :param silently: the server does not notice. It finds out by a ping that nobody answers,
            when the clock is moved.
        """
        link = self._expect_open("drop()")
        if silently:
            link.fall_silent()
            self._lost.append(link)
        else:
            link.drop()
        self._server.run_ready()

    def reconnect(self) -> None:
        """Connect again, as the same device, with the cookies that Flask's test client has now.

        As a real client does, it repeats its requests without a final response. The old connection
        may still be open: the new one takes over.

        :raises Refused: when the site does not let it in any more.
        """
        self._check("reconnect()")
        self._connect()
        if self not in self._server.clients:
            self._server.clients.append(self)
        self._is_closed = False
        for sent in list(self._sent.values()):
            self._send_text(_to_text(_to_message(sent)))
        self._server.run_ready()

    def close(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Close the connection with a code; harmless when it is closed.

        With 1000, the device is offline when this returns, also if it was dropped before. With
        another code, as 1001 of a page that is loaded again, its grace period begins.

        :param code: 1000, 1001, or 3000 to 4999: those that a browser sends.
        :raises UsageError: for a code that no client may send.
        """
        self._check("close()")
        if self._is_closed:
            return
        link = self._link
        is_open = link is not None and not link.has_ended
        if link is not None and is_open:
            link.send_close(code, reason)
            self._server.wait_until(lambda: link.has_ended)
            if self.peer is not None and not self.peer.online:
                return  # in its grace period
        self._is_closed = True
        self._server.clients.remove(self)
        if not is_open and self.peer is not None and self._owns_peer:
            # It dropped, and may still come back: nobody waits for it any more.
            self._server.site.disconnect(self.username, self.uuid, code, reason or "closed")
        while self._lost:
            self._lost.pop().channel.cut()  # the network tells the server at last
        self._server.run_ready()

    def __enter__(self) -> TestClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def _owns_peer(self) -> bool:
        """Whether no other client has taken the device over."""
        others = self._server.clients
        return not any((item.username, item.uuid) == (self.username, self.uuid) for item in others)

    def _connect(self) -> None:
        self._check("test_client()")
        server = self._server
        server.begin_handshake()
        former, self._link = self._link, None
        link = ClientLink(server.loop, self._subprotocol, self._take_text, lambda: None)
        headers = [
            item for item in link.request_headers.raw_items() if item[0].lower() not in _OF_FLASK
        ]
        query = dict(self._query)
        if self.uuid:
            query["uuid"] = self.uuid
        options = {"query_string": query, **self._options}
        base = {KEY: server, **options.pop("environ_base", {})}
        self._link = link
        try:
            with _leave_contexts(server.app):
                response = self.flask_client.open(
                    self._find_path(),
                    headers=[*headers, *self._headers.items()],
                    environ_base=base,
                    **options,
                )
            if response.status_code != 101:
                reason = response.get_data(as_text=True)
                raise Refused(
                    response.status_code, reason, response, self._hint(response.status_code)
                )
            connection = server.begin_connection(link.channel)
            if connection is None:
                raise UsageError(
                    "a WSGI middleware of the app has answered 101 in the place of protoo_flask"
                )
            self.username, self.uuid = connection.device
            server.wait_until(lambda: link.answer is not None)
            answer = link.answer
            if answer is None or answer.status_code != 101:
                status = 500 if answer is None else answer.status_code
                reason = (
                    "" if answer is None or answer.body is None else bytes(answer.body).decode()
                )
                raise Refused(status, reason, None, "")
        except BaseException:
            self._link = former
            raise
        server.run_ready()

    def _find_path(self) -> str:
        path = self._path or self._server.site.configuration.at_registration.path
        if "<" in path:
            raise UsageError(
                f"PROTOO_PATH is {path!r}, which has variable parts: test_client(path=...) takes "
                "the path of this client"
            )
        return path

    def _hint(self, status: int) -> str:
        if status in (301, 302, 303, 307, 308):
            return "\n(a WebSocket client follows no redirect: log in with the Flask client first)"
        if status in (401, 403) and self._server.site.protoo.authorizer is not None:
            return (
                "\n(the site has an authorizer: log in as a browser would, with the Flask client "
                "that test_client() is given)"
            )
        if status == 429:
            return (
                "\n(as in production; Retry-After is in seconds of the clock of the test: "
                "protoo.test_clock.advance(seconds))"
            )
        if status in (401, 403):
            return "\n(test_client(username=...) logs a user in, if the site has no authorizer)"
        return ""

    # Sending -----------------------------------------------------------------------------

    def request(self, method: str, path: str, data: dict[str, Any] | None = None) -> Response:
        """Send a request, and return its final response.

        :raises ExpectationFailed: when none comes before the app is at rest; see :meth:`send`.
        """
        __tracebackhide__ = True
        return self.send(method, path, data).wait()

    def send(self, method: str, path: str, data: dict[str, Any] | None = None) -> SentRequest:
        """Send a request, and return it; its responses come while the test goes on."""
        self._expect_open("send()")
        sent = SentRequest(method, path, data or {}, next(self._server.ids), self._wait)
        text = _to_text(_to_message(sent))  # it may fail, and then nothing is sent
        self._sent[sent.id] = sent
        self._send_text(text)
        self._server.run_ready()
        return sent

    def notify(self, method: str, path: str, data: dict[str, Any] | None = None) -> None:
        """Send a notification; handlers that do not wait have handled it when this returns."""
        self._expect_open("notify()")
        self._send_message({"method": method, "path": path, "data": data or {}})
        self._server.run_ready()

    def send_raw(self, message: str | bytes) -> None:
        """Send a message as it is: text as a text message, bytes as a binary one.

        For tests of what a broken client may send. The answer to a message that nobody can read is
        taken with :meth:`expect_bad_message`.
        """
        link = self._expect_open("send_raw()")
        if isinstance(message, str):
            link.send_text(message.encode())
        elif isinstance(message, (bytes, bytearray, memoryview)):
            link.send_binary(bytes(message))
        else:
            raise UsageError(
                "send_raw() takes a str or bytes, and sends it as it is: json.dumps() makes a str; "
                f"it was given {message!r}"
            )
        self._server.run_ready()

    # Receiving ---------------------------------------------------------------------------

    def expect_request(self, method: str | None = None) -> IncomingRequest:
        """Return the next request of the server, to be answered with its ``reply()``.

        :param method: that it must have. Messages before it stay in the inbox.
        :raises ExpectationFailed: when none comes before the app is at rest.
        """
        __tracebackhide__ = True
        return self._expect(IncomingRequest, "request", method)

    def expect_notification(self, method: str | None = None) -> IncomingNotification:
        """Return the next notification of the server; see :meth:`expect_request`."""
        __tracebackhide__ = True
        return self._expect(IncomingNotification, "notification", method)

    def expect_bad_message(self) -> Response:
        """Return the server's 400 to a message that it could not read.

        :raises ExpectationFailed: when none comes before the app is at rest.
        """
        __tracebackhide__ = True

        def find() -> StrayResponse | None:
            return next((item for item in self.inbox if isinstance(item, StrayResponse)), None)

        self._wait_for(lambda: find() is not None, "the answer to a bad message")
        found = find()
        assert found is not None
        self.inbox.remove(found)
        return found.response

    def expect_close(self, code: int | None = None) -> int:
        """Wait until the connection is closed, and return the code.

        :param code: that it must have.
        :raises ExpectationFailed: when it stays open, or is closed with another code.
        """
        __tracebackhide__ = True
        expected = "a Close" if code is None else f"a Close with {code}"
        self._wait_for(lambda: self.close_code is not None, expected)
        found = self.close_code
        assert found is not None
        if code is not None and found != code:
            raise ExpectationFailed(self._describe(expected, "it was closed with another code"))
        return found

    def expect_nothing(self) -> None:
        """Check that there is no message that the test has not taken, and that none can come.

        It waits until the app is at rest: handlers, other greenlets, and threads that the app has
        started. What waits for the clock comes later, when ``protoo.test_clock`` is moved.

        :raises ExpectationFailed: when there is a message, or the connection is closed.
        :raises Unsettled: when the app does not come to rest, so that nobody can tell.
        """
        __tracebackhide__ = True
        self._check("expect_nothing()")
        activity = self._server.wait_until(lambda: bool(self.inbox))
        if self.inbox or self.close_code is not None:
            raise ExpectationFailed(self._describe("nothing", ""))
        if activity:
            raise Unsettled(self._server.patience, activity)

    def _expect(self, kind: type[M], noun: str, method: str | None) -> M:
        __tracebackhide__ = True

        def find() -> Any:
            for item in self.inbox:
                if type(item) is kind and method in (None, item.method):
                    return item
            return None

        name = "" if method is None else f" {method!r}"
        self._wait_for(lambda: find() is not None, f"a {noun}{name}")
        found: M = find()
        self.inbox.remove(found)
        return found

    def _wait(self, sent: SentRequest, is_done: Callable[[], bool], expected: str) -> None:
        __tracebackhide__ = True
        self._wait_for(is_done, f"{expected} to {sent.method} {sent.path}", sent)

    def _wait_for(
        self, is_done: Callable[[], bool], expected: str, sent: SentRequest | None = None
    ) -> None:
        __tracebackhide__ = True
        self._check("waiting for a message")
        activity = self._server.wait_until(is_done)
        if activity is None:
            return
        why = "the app is at rest, and waits for the test"
        if activity:
            items = "".join(f"\n  - {item}" for item in activity)
            why = f"after {self._server.patience:g} s of real time, these have not ended:{items}"
        raise ExpectationFailed(self._describe(expected, why, sent))

    def _describe(self, expected: str, why: str, sent: SentRequest | None = None) -> str:
        """Return the text of a failure: what was expected, and what came instead."""
        lines = [f"{self!r} expected {expected}" + (f"; {why}" if why else "")]
        if sent is not None:
            lines.append(f"Its responses: {sent!r}")
        if self.inbox:
            lines.append("Messages that the test has not taken, the oldest first:")
            lines += [f"  {number}. {item!r}" for number, item in enumerate(self.inbox, 1)]
        else:
            lines.append("There is no message that the test has not taken.")
        if self.close_code is not None:
            lines.append(f"The connection was closed: {self.close_code} {self.close_reason!r}")
        lines += self._server_lines(sent)
        return "\n".join(lines)

    def _server_lines(self, sent: SentRequest | None) -> list[str]:
        lines = []
        for client in self._server.clients:
            open_ones = [item for item in client._sent.values() if item is not sent]
            lines += [f"{client!r} waits for a response: {item!r}" for item in open_ones]
            asked = [item for item in client._received.values() if not item.is_answered]
            shown = [item for item in asked if item not in self.inbox]
            lines += [f"{client!r} was asked: {item!r}" for item in shown]
        timers = self._server.describe_timers()
        if timers:
            lines.append("When the clock is moved:")
            lines += [f"  - {item}" for item in timers]
        return lines

    # Messages that come ------------------------------------------------------------------

    def _take_text(self, text: str) -> None:
        message = json.loads(text)
        id, data = message.get("id"), message.get("data") or {}
        if "method" in message:
            self._take_request(message["method"], id, data, message.get("sender"))
            return
        response = Response(message["status"], message.get("reason", ""), data, id=id)
        sent = self._sent.get(id)
        if sent is None:
            self.inbox.append(StrayResponse(response))
            return
        sent.responses.append(response)
        if response.is_final:
            del self._sent[id]

    def _take_request(
        self, method: str, id: int | None, data: dict[str, Any], sender: dict[str, str] | None
    ) -> None:
        if id is None:
            self.inbox.append(IncomingNotification(method, data, sender))
            return
        known = self._received.get(id)
        if known is None:
            request = IncomingRequest(method, data, sender, id, self._answer)
            self._received[id] = request
            self.inbox.append(request)
        elif known.final is not None:
            # The answer was lost with a connection, so the server asks again.
            self._send_text(known.final)

    def _answer(self, request: IncomingRequest, text: bytes) -> None:
        self._check("reply()")
        self._send_text(text)
        self._server.run_ready()

    def _send_message(self, message: dict[str, Any]) -> None:
        self._send_text(_to_text(message))

    def _send_text(self, text: bytes) -> None:
        # Without a connection, it is sent over the next one: see reconnect().
        if self.is_connected:
            assert self._link is not None
            self._link.send_text(text)

    def _check(self, call: str) -> None:
        self._server.check_thread(call)

    def _expect_open(self, call: str) -> ClientLink:
        self._check(call)
        link = self._link
        if link is None or not link.is_open:
            why = ", by close() or at the end of the test" if self._is_closed else ""
            raise UsageError(
                f"{call}: {self!r} is not connected ({self.close_code} {self.close_reason!r}{why});"
                " reconnect() connects it again"
            )
        return link

    def __repr__(self) -> str:
        return f"{self.username}/{self.uuid}"


def _to_text(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


def _to_dict(option: str, value: Any) -> dict[str, Any]:
    try:
        return dict(value or {})
    except (TypeError, ValueError):
        raise UsageError(
            f"test_client({option}=...) takes a dict, such as {{'token': 'secret'}}, not {value!r}"
        ) from None


@contextmanager
def _leave_contexts(app: Flask) -> Iterator[None]:
    """Let a request of a Flask client have a ``flask.g`` of its own, as in production.

    Flask gives a request the application context that is active, with all that ``g`` holds. In a
    suite that holds one around each test, Flask-Login would find the user of the request before
    there, and let in a stranger.
    """
    if not has_app_context() or current_app != app:
        yield
        return
    wsgi_app = app.wsgi_app

    def call(environ: Any, start_response: Any) -> Any:
        # Not around the whole call of the Flask client, which may keep its contexts afterwards.
        with app.app_context():
            return wsgi_app(environ, start_response)

    app.wsgi_app = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        app.wsgi_app = wsgi_app  # type: ignore[method-assign]


def _to_message(sent: SentRequest) -> dict[str, Any]:
    return {"method": sent.method, "path": sent.path, "id": sent.id, "data": sent.data}


def check_arguments(flask_client: Any, username: Any) -> None:
    """Check that a test has given a Flask client and a username, each in its place.

    :raises UsageError: if not.
    """
    if isinstance(flask_client, Flask):
        raise UsageError(
            "test_client(flask_client) takes a test client of the app, whose cookies are those of "
            "one browser, and not the app itself: give it app.test_client()"
        )
    if flask_client is not None and not isinstance(flask_client, FlaskClient):
        raise UsageError(
            "test_client(flask_client, username=None, uuid=None) takes a test client of Flask, "
            f"which app.test_client() returns; it was given {flask_client!r}"
        )
    if isinstance(username, FlaskClient):
        raise UsageError(
            f"username={username!r} is a test client of Flask: protoo_clients(client=...) takes it"
        )
    if username is not None:
        to_name(username, "test_client(username=...)")


def log_in(flask_client: FlaskClient, key: str, username: str, options: Mapping[str, Any]) -> None:
    """Put a username into the session of a Flask client, as the login of a simple site does.

    :param key: ``PROTOO_SESSION_KEY``.
    :param options: of the handshake; cookies are for the host that some of them name.
    :raises UsageError: when another user has logged in there.
    """
    place = {name: options[name] for name in _OF_THE_HOST if name in options}
    with flask_client.session_transaction(**place) as session:
        found = session.get(key)
        if found is not None and found != username:
            raise UsageError(
                f"this Flask client has logged in as {found!r}, and its cookies are those of one "
                f"browser: give {username!r} a client of its own, app.test_client()"
            )
        if found is None:
            session[key] = username
