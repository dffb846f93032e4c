"""A response: the status, reason and data that answer a request."""

from __future__ import annotations

from typing import Any

from .errors import UsageError
from .excerpts import excerpt_of

#: Seconds: nobody waits longer, whatever a server says.
MAX_RETRY_AFTER = 3600.0


class Response:
    """One response, received from a peer or made to be sent.

    :ivar status: 100..699, the classes of SIP (RFC 3261 section 7.2).
    :ivar reason: a short text, may be empty.
    :ivar id: the id of the request it answers, ``None`` before that is known.
    :ivar data: a JSON object as a dict. Untrusted when it came from a peer.
    :ivar peer: the :class:`~protoo_flask.Peer` that sent it; ``None`` for one made here.
    :ivar is_local: made by this server because nothing came from the peer:
        408 timeout, 410 offline, 487 canceled, 400 unsendable.

    >>> Response(200, "OK").is_accept
    True
    """

    __slots__ = ("data", "id", "is_local", "peer", "reason", "status")

    #: A Peer. Its type is not named, as peers are built on responses: no circle of modules,
    #: not even for types.
    peer: Any

    def __init__(
        self,
        status: int,
        reason: str = "",
        data: dict[str, Any] | None = None,
        *,
        id: int | None = None,
        peer: Any = None,
        is_local: bool = False,
    ) -> None:
        if type(status) is not int:
            status = _as_int(status)
        if not 100 <= status <= 699:
            raise UsageError(f"a status is an integer from 100 to 699, not {excerpt_of(status)}")
        if not isinstance(reason, str):
            raise UsageError(f"a reason is a string, not {excerpt_of(reason)}")
        self.status = status
        self.reason = reason
        self.data: dict[str, Any] = {} if data is None else data
        self.id = id
        self.peer = peer
        self.is_local = is_local

    @property
    def is_provisional(self) -> bool:
        """1xx: more will come."""
        return self.status < 200

    @property
    def is_final(self) -> bool:
        """2xx to 6xx: the last one."""
        return self.status >= 200

    @property
    def is_accept(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    @property
    def is_reject(self) -> bool:
        """3xx to 6xx."""
        return self.status >= 300

    @property
    def retry_after(self) -> float:
        """Seconds after which a limit that refused the request (429, 503) may let it pass; 0:
        unknown. They are ``data["retryAfter"]``, an hour at most.

        >>> Response(429, "too many requests", {"retryAfter": 0.5}).retry_after
        0.5
        """
        seconds = self.data.get("retryAfter") if self.status in (429, 503) else None
        if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and seconds > 0:
            return float(min(seconds, MAX_RETRY_AFTER))
        return 0.0

    def __repr__(self) -> str:
        local = " local" if self.is_local else ""
        return f"<Response {self.status} {excerpt_of(self.reason)}{local}>"


class ReceivedResponse(Response):
    """A response that a peer sent; the wire format has been checked."""

    __slots__ = ()

    def __init__(
        self, status: int, reason: str, data: dict[str, Any] | None, id: int, peer: Any
    ) -> None:
        self.status = status
        self.reason = reason
        self.data = {} if data is None else data
        self.id = id
        self.peer = peer
        self.is_local = False


def _as_int(status: Any) -> int:
    """Return the number of an ``http.HTTPStatus``, say; ``True`` is no status."""
    if isinstance(status, int) and not isinstance(status, bool):
        return int(status)
    raise UsageError(f"a status is an integer from 100 to 699, not {excerpt_of(status)}")
