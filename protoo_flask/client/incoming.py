"""The messages of a server: responses go to their transactions, requests to the listeners."""

from __future__ import annotations

import logging
from typing import Any, Callable, cast

from ..core.errors import BadMessage
from ..core.excerpts import excerpt
from ..core.request import Request
from ..core.response import ReceivedResponse
from ..core.tracebacks import log_error
from ..core.transactions.client_outbound import ClientOutbound
from ..core.transactions.given_replies import GivenReplies
from ..core.wire.client_messages import FromServer, parse_from_server
from ..core.wire.messages import serialize_response
from .listeners import Listeners

_log = logging.getLogger("protoo_flask.client")


class IncomingRequest(Request):
    """A request of the server, or of a peer (``sender``). ``reply()`` answers it.

    A listener may reply later, and in another thread. The server waits for 10 seconds by default.
    """

    __slots__ = ()

    def __init__(
        self, incoming: Incoming, method: str, data: Any, id: int | None, sender: Any
    ) -> None:
        super().__init__(method, data)
        self.id = id
        self.sender = sender
        self._responder = incoming

    def keep_open(self) -> None:
        """Do nothing: only the server has a time limit."""

    def __repr__(self) -> str:
        id = "notification" if self.id is None else self.id
        return f"<Request {excerpt(self.method)} {id}>"


class Incoming:
    """The messages of a server, one after the other.

    :param outbound: takes the responses, and sends those of this client.
    """

    def __init__(self, outbound: ClientOutbound, listeners: Listeners) -> None:
        self._outbound = outbound
        self._listeners = listeners
        self._replies = GivenReplies(outbound.runtime.scheduler.lock())

    def receive(self, text: str) -> None:
        """Take a text message."""
        try:
            message = parse_from_server(text)
        except BadMessage as error:
            _log.error("unreadable message of the server: %s", excerpt(str(error)))
            if error.id:
                self._outbound.reply(serialize_response(400, error.reason, error.id, {}))
            return
        id = message.id or None
        if message.status:
            self._receive_response(message)
        elif id is None:
            self._call_listeners("notification", message, None)
        else:
            latest = self._replies.admit(id)
            if latest is None:
                self._call_listeners("request", message, id)
            elif latest:
                self._outbound.reply(latest)

    def _receive_response(self, message: FromServer) -> None:
        if message.id:
            status, id = cast(int, message.status), message.id
            response = ReceivedResponse(status, message.reason, message.data, id, None)
            self._outbound.receive(id, response)
        else:
            _log.error("the server could not read a message: %s", excerpt(message.reason))

    def _call_listeners(self, event: str, message: FromServer, id: int | None) -> None:
        sender = message.sender
        names = None if sender is None else {"username": sender.username, "uuid": sender.uuid}
        request = IncomingRequest(self, cast(str, message.method), message.data, id, names)
        functions = self._listeners.of(event)
        if self._listeners.is_full:
            _log.error("too many messages wait for the listeners: %r is dropped", request)
            request.reply(503, "too busy")
        elif functions:
            self._listeners.run_errand(self._call, tuple(functions), request)
        else:
            request.reply(404, "no listener for requests")

    @staticmethod
    def _call(functions: tuple[Callable[..., Any], ...], request: IncomingRequest) -> None:
        for function in functions:
            try:
                function(request)
            except (Exception, SystemExit) as error:  # noqa: BLE001 (the thread goes on)
                log_error(_log, error, "error in a listener, at %r", request)
                if not request.ended:
                    request.reply(500, "listener failed")

    def respond(self, request: Any, status: int, reason: str, data: dict[str, Any]) -> None:
        """Send a response; ``request.reply()`` calls this.

        :raises Unsendable: when the data is not JSON.
        """
        if request.id is not None:
            payload = serialize_response(status, reason, request.id, data)
            self._replies.keep(request.id, payload, status >= 200)
            self._outbound.reply(payload)

    def wait_longer(self, request: Any) -> None:
        """Do nothing: only the server has a time limit."""
