"""A request: received from a peer and answered, or made to be sent to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from .errors import AlreadyReplied, Unsendable, UsageError
from .response import Response

if TYPE_CHECKING:
    from .peers.peer import Peer


class Asker(Protocol):
    """Where a request came in, and its answer goes."""

    def respond(self, request: Request, status: int, reason: str, data: dict[str, Any]) -> None:
        """Send a response to a request of this one's.

        :raises Unsendable: when the data is not JSON; nothing has been sent then.
        """

    def wait_longer(self, request: Request) -> None:
        """Wait for the answer however long it takes."""


#: The sender of a request that has not been asked for it: most never are.
_UNASKED: Any = object()


class Request:
    """One request (or notification: a request whose ``id`` is ``None``).

    A middleware receives one and answers it with :meth:`reply`; ``Request(method,
    data)`` makes one for ``peer.send(request)``.

    :ivar method: such as ``"message"``; any non-empty string.
    :ivar path: what is left of the path at this depth of the routing; starts with "/".
    :ivar original_path: the path as the peer sent it.
    :ivar base_path: the part that the routers above have matched; "" on top.
    :ivar id: integer, or ``None`` for a notification, which is never answered.
    :ivar data: a JSON object as a dict, untrusted.
    :ivar peer: the :class:`~protoo_flask.Peer` that sent it.
    :ivar sender: ``{"username": str, "uuid": str}`` of that peer, or ``None``.
    :ivar app: the :class:`~protoo_flask.Protoo`.
    :ivar params: parameters of the layer that is running, ``{name: str}``.
    :ivar route: the :class:`~protoo_flask.core.router.Route` that is running, or ``None``.
    :ivar ended: whether the final response has been given.
    """

    __slots__ = (
        "_asker",
        "_attributes",
        "_given",
        "_sender",
        "app",
        "base_path",
        "data",
        "ended",
        "fingerprint",
        "id",
        "last_handler",
        "method",
        "origin",
        "original_path",
        "params",
        "path",
        "peer",
        "repetition",
        "route",
    )

    def __init__(self, method: str, data: dict[str, Any] | None = None) -> None:
        if not isinstance(method, str) or not method:
            raise UsageError(f"Request(method, data) takes a non-empty method, not {method!r}")
        if data is not None and not isinstance(data, dict):
            raise UsageError(f"Request(method, data) takes a dict as data, not {data!r}")
        self._begin(method, "/", None, {} if data is None else data)

    def _begin(
        self,
        method: str,
        path: str,
        id: int | None,
        data: dict[str, Any],
        peer: Peer | None = None,
        asker: Asker | None = None,
        app: Any = None,
        origin: object = None,
        fingerprint: int = 0,
    ) -> Request:
        """Fill it in.

        :param asker: answers it; ``None`` for one that was made here.
        """
        self.method = method
        self.path = self.original_path = path
        self.base_path = ""
        self.id = id
        self.data = data
        self.peer = peer
        self.app = app
        self.params: dict[str | int, str] = {}
        self.route: Any = None
        self.ended = False
        #: The final response, or what it is made of when somebody asks for it.
        self._given: Response | tuple[int, str, dict[str, Any]] | None = None
        #: Of what connection it came, a hash of its text, and what is to be said again when
        #: it is repeated, written: see server_transactions.py.
        self.origin = origin
        self.fingerprint = fingerprint
        self.repetition: tuple[bytes, ...] = ()
        self._attributes: dict[str, Any] | None = None
        #: The function that was called last, for the log when nobody answers.
        self.last_handler: Any = None
        self._asker = asker
        self._sender: dict[str, str] | None = _UNASKED
        return self

    @property
    def sender(self) -> dict[str, str] | None:
        """``{"username": str, "uuid": str}`` of the peer that sent it, or ``None``."""
        sender = self._sender
        if sender is _UNASKED:
            sender = self._sender = None if self.peer is None else self.peer.address
        return sender

    @sender.setter
    def sender(self, sender: dict[str, str] | None) -> None:
        self._sender = sender

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
        return self._asker is not None

    def set(self, name: str, value: Any) -> None:
        """Keep a value for the middleware further down the chain."""
        if self._attributes is None:
            self._attributes = {}
        self._attributes[name] = value

    def get(self, name: str) -> Any:
        """Return what :meth:`set` kept, or ``None``."""
        return None if self._attributes is None else self._attributes.get(name)

    def keep_open(self) -> None:
        """Let the answer take longer than ``PROTOO_RESPONSE_TIMEOUT``.

        For a handler that sees to it itself that an answer comes in the end.
        """
        if self._asker is not None:
            self._asker.wait_longer(self)

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
            # Relayed, or nothing that can be sent, or only nearly: Response() tells.
            response = status if isinstance(status, Response) else Response(status, reason, data)
            status, reason, data = response.status, response.reason, response.data
        if self.ended:
            raise AlreadyReplied(
                f"{self!r} has had its final response; {status} {reason!r} came too late"
            )
        asker = self._asker
        if asker is None:
            raise UsageError(f"{self!r} was made here to be sent; only a received one is answered")
        if data is None:
            data = {}
        # Sending comes first: data that cannot be written must leave the request open.
        asker.respond(self, status, reason, data)
        if status >= 200:
            self.ended = True
            self._given = response or (status, reason, data)

    def __repr__(self) -> str:
        id = "notification" if self.id is None else self.id
        return f"<Request {self.method} {self.original_path} {id}>"


class ReceivedRequest(Request):
    """A request that a peer sent: ``ReceivedRequest().received(method, path, ...)``.

    In two steps, as there is nothing to be checked: calling a class that has an ``__init__``
    written in Python takes some 500 instructions more.
    """

    __slots__ = ()

    __init__ = object.__init__
    received = Request._begin


def answer(request: Request, response: Response, fails_early: bool = False) -> bool:
    """Answer a request, whatever has become of it; with what another answered, say.

    :param fails_early: a provisional response that cannot be written ends the request with
        500, as a final one does. Else it is left out: the final one is still to come.
    :returns: ``False`` when it got another answer, or none.
    """
    if request.ended:
        return False
    try:
        request.reply(response)
    except AlreadyReplied:
        return False  # by the time limit, or by another device, in another thread
    except Unsendable as error:
        # Nested so deeply that it could just be read, and not be written here.
        if response.is_final or fails_early:
            answer(request, Response(500, str(error)))
        return False
    return True


def relay_answer(request: Request, response: Response) -> bool:
    """Answer a request with a response that was relayed, as it is; see :func:`answer`."""
    return answer(request, response, True)
