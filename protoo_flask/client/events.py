"""What a client tells about its connections."""

from __future__ import annotations

from typing import NamedTuple

from ..core.errors import DeliveryError, ProtooError
from ..core.excerpts import excerpt

#: HTTP statuses among 3xx and 4xx that may be gone at the next attempt.
PASSING_STATUSES = (408, 425, 426, 429)


class Refused(ProtooError):
    """The server has answered the handshake with an HTTP status.

    :ivar status: such as 403.
    :ivar reason: the text of the answer, or of its status line. Of a redirect, where it leads.
    :ivar retry_after: seconds that the server wants the client to stay away; 0: not said.
    :ivar verdict: the header ``Protoo-Handshake``: ``"refused"``, ``"later"``, or ``""`` without
        it. The route of a Protoo sets it, and a proxy does not.
    """

    def __init__(self, status: int, reason: str, retry_after: float = 0, verdict: str = "") -> None:
        super().__init__(status, reason)
        self.verdict = verdict
        self.status = status
        self.reason = reason
        self.retry_after = retry_after

    @property
    def is_final(self) -> bool:
        """Whether another attempt would end in the same way.

        The verdict tells. Without one, 3xx and most of 4xx are final.
        """
        if self.verdict:
            return self.verdict == "refused"
        return 300 <= self.status < 500 and self.status not in PASSING_STATUSES

    def __str__(self) -> str:
        return f"{self.status} {excerpt(self.reason)}".rstrip()


class Disconnected(DeliveryError, ConnectionError):
    """The client is not connected, and will not try again."""


class Closed(NamedTuple):
    """A connection, or an attempt to connect, is over.

    :ivar code: of RFC 6455 section 7.4; 1006: without a Close frame.
    :ivar reason: a text for people.
    :ivar will_reconnect: whether the client tries again.
    :ivar delay: seconds until then; ``None`` if it does not.
    :ivar retry_after: seconds of the delay that the server has asked for, because it restarts or
        has too much to do; 0: it has not.
    """

    code: int
    reason: str
    will_reconnect: bool
    delay: float | None
    retry_after: float
