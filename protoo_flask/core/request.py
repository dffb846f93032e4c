"""A request: received from a peer and answered, or made to be sent to one."""

from __future__ import annotations

from typing import Any, Protocol

from .errors import AlreadyReplied, Unsendable, UsageError
from .excerpts import excerpt, excerpt_of
from .names import to_address
from .peers.peer import Peer
from .response import Response
from .sendable import Sendable


class Responder(Protocol):
    """The way back of a request: its response is sent there."""

    def respond(self, request: Any, status: int, reason: str, data: dict[str, Any]) -> None:
        """Send a response to a request.

        :raises Unsendable: when the data is not JSON; nothing has been sent then.
        """

    def wait_longer(self, request: Any) -> None:
        """Wait for the answer without a time limit."""


#: Stands for the sender of a request that nobody has asked for: most are never asked for.
_NOT_MADE: Any = object()


class Request(Sendable):
    """One request (or notification: a request whose ``id`` is ``None``).

    A middleware receives one and answers it with :meth:`reply`; ``Request(method,
    data)`` makes one for ``peer.send(request)``.

    :ivar method: such as ``"message"``; any non-empty string.
    :ivar path: the rest of the path at this depth of the routing; starts with "/".
    :ivar original_path: the path as the peer sent it.
    :ivar base_path: the part that the routers above have matched; "" on top.
    :ivar id: integer, or ``None`` for a notification, which is never answered.
    :ivar data: a JSON object as a dict, untrusted.
    :ivar peer: the :class:`~protoo_flask.Peer` that sent it. A request made for sending has
        ``None``; its type does not say so, for the sake of handlers, where there is a peer.
    :ivar sender: ``{"username": str, "uuid": str}`` of that peer, or ``None``.
    :ivar app: the :class:`~protoo_flask.Protoo`.
    :ivar params: parameters of the layer that is running, ``{name: str}``.
    :ivar route: the :class:`~protoo_flask.core.routing.route.Route` that is running, or ``None``.
    :ivar ended: whether the final response has been given.
    :ivar admitted_at: the time at which it was about to be handled, by the clock of the app's
        scheduler. It has none if nobody observes the app, or if it was refused before.
    """

    __slots__ = (
        "_attributes",
        "_given",
        "_responder",
        "_sender",
        "admitted_at",
        "app",
        "base_path",
        "effort",
        "ended",
        "fingerprint",
        "id",
        "is_left_open",
        "last_handler",
        "origin",
        "original_path",
        "params",
        "path",
        "peer",
        "repetition",
        "route",
    )

    #: Set by the router, if it counts the steps of matching the path.
    effort: Any

    admitted_at: float

    def __init__(self, method: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(method, data)
        self._begin(method, "/", None, self.data)

    def _begin(
        self,
        method: str,
        path: str,
        id: int | None,
        data: dict[str, Any],
        peer: Peer | None = None,
        app: Any = None,
        origin: object = None,
        fingerprint: int = 0,
    ) -> None:
        self.method = method
        self.data = data
        self.path = self.original_path = path
        self.base_path = ""
        self.id = id
        self.peer: Peer = peer  # type: ignore[assignment]
        self.app = app
        self.params: dict[str | int, str] = {}
        self.route: Any = None
        self.ended = False
        #: The final response, or its parts, from which it is made when somebody asks for it.
        self._given: Response | tuple[int, str, dict[str, Any]] | None = None
        #: See :class:`.transactions.inquiry.Inquiry`.
        self.origin = origin
        self.fingerprint = fingerprint
        self.repetition: tuple[bytes, ...] = ()
        self.is_left_open = False
        self._attributes: dict[str, Any] | None = None
        #: The function that was called last, for the log when nobody answers.
        self.last_handler: Any = None
        self._responder: Responder | None = None if peer is None else peer.requests
        self._sender: dict[str, str] | None = _NOT_MADE

    @property
    def sender(self) -> dict[str, str] | None:
        """``{"username": str, "uuid": str}`` of the peer that sent it, or ``None``."""
        sender = self._sender
        if sender is _NOT_MADE:
            peer = self.peer
            sender = None if peer is None else {"username": peer.username, "uuid": peer.uuid}
            self._sender = sender
        return sender

    @sender.setter
    def sender(self, sender: dict[str, str] | None) -> None:
        self._sender = None if sender is None else to_address(sender, "request.sender")

    @property
    def response(self) -> Response | None:
        """The final :class:`~protoo_flask.Response`, ``None`` before; for a logger, say."""
        given = self._given
        if type(given) is tuple:
            given = self._given = Response(*given)
        return given  # type: ignore[return-value]

    @property
    def is_notification(self) -> bool:
        """Whether nobody waits for an answer."""
        return self.id is None

    @property
    def is_received(self) -> bool:
        """Whether it came from a peer, and may be answered."""
        return self._responder is not None

    def set(self, name: str, value: Any) -> None:
        """Keep a value for the middleware further down the chain."""
        if self._attributes is None:
            self._attributes = {}
        self._attributes[name] = value

    def get(self, name: str) -> Any:
        """Return the value that :meth:`set` kept, or ``None``."""
        return None if self._attributes is None else self._attributes.get(name)

    def keep_open(self) -> None:
        """Let the answer take longer than ``PROTOO_RESPONSE_TIMEOUT``.

        For a handler that makes sure itself that an answer comes in the end.
        """
        self.last_handler = None  # no function is to blame for the silence
        if self._responder is not None:
            self._responder.wait_longer(self)
            self.peer.workload.be_patient(self)

    def create_response(
        self, status: int, reason: str = "", data: dict[str, Any] | None = None
    ) -> Response:
        """Make a response to this request without sending it: ``req.reply(response)`` does."""
        return Response(status, reason, data, id=self.id)

    def reply(
        self,
        status: int | Response,
        reason: str = "",
        data: dict[str, Any] | None = None,
    ) -> None:
        """Answer: any number of provisional responses (1xx), then one final (200..699).

        ``req.reply(200, "OK", {"n": 1})`` or ``req.reply(response)``, where ``response``
        may be one received from another peer. Answering a notification sends nothing.

        :raises AlreadyReplied: after the final response.
        :raises UsageError: when the status is not 100..699; the request stays open.
        :raises Unsendable: when the data is not JSON; the request stays open.
        """
        response = None
        if type(status) is not int or not 100 <= status <= 699 or type(reason) is not str:
            # A Response, or arguments that are not quite right: Response() checks them.
            response = status if isinstance(status, Response) else Response(status, reason, data)
            status, reason, data = response.status, response.reason, response.data
        if self.ended:
            raise AlreadyReplied(
                f"{self!r} has had its final response; {status} {excerpt_of(reason)} came too late"
            )
        responder = self._responder
        if responder is None:
            raise UsageError(f"{self!r} was made here to be sent; only a received one is answered")
        if data is None:
            data = {}
        # Sent first: data that cannot be written must leave the request open.
        responder.respond(self, status, reason, data)
        if status >= 200:
            self.ended = True
            self._given = response or (status, reason, data)

    def __repr__(self) -> str:
        id = "notification" if self.id is None else self.id
        return f"<Request {excerpt(self.method)} {excerpt(self.original_path)} {id}>"


class ReceivedRequest(Request):
    """A request that a peer sent; the wire format has been checked."""

    __slots__ = ()

    __init__ = Request._begin


def answer(request: Request, response: Response, fails_early: bool = False) -> bool:
    """Answer a request whatever its state; with the response of another peer, say.

    :param fails_early: a provisional response that cannot be written ends the request with
        500, as a final one does. Otherwise it is left out: the final one is still to come.
    :returns: ``False`` when the request was answered by somebody else, or not at all.
    """
    if request.ended:
        return False
    try:
        request.reply(response)
    except AlreadyReplied:
        return False  # by the time limit, or by another device, in another thread
    except Unsendable as error:
        # Nested so deeply that it could just be read, and cannot be written here.
        if response.is_final or fails_early:
            answer(request, Response(500, str(error)))
        return False
    return True


def relay_answer(request: Request, response: Response) -> bool:
    """Answer a request with a response that was relayed, as it is; see :func:`answer`."""
    return answer(request, response, True)


# ``peer.send(req, on_response=req.reply)`` is a relay, and needs no code of the site. See
# Peer.call_back(), which finds this attribute through the bound method.
Request.reply.relays_to = relay_answer  # type: ignore[attr-defined]
