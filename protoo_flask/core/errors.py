"""Everything protoo_flask raises, in three families.

::

    ProtooError
    +-- ProtocolError        the peer broke the protocol; carries the status to answer with
    |   +-- BadMessage       a message that breaks the wire format
    |   +-- BadPath          a path with parameters that do not decode
    |       +-- CostlyPath   a path that the patterns of the site take too long to match
    +-- Reject               the application refuses, with a status and a reason
    |   +-- LimitReached     a limit of this package refuses
    +-- NotAdmitted          a client may not connect now; carries the code to close with
    +-- UsageError           the developer misused the API; tells the expected and the given
    |   +-- PatternError     a path pattern that cannot be compiled
    |   +-- BadName          a username or uuid of a type that is not converted
    |   +-- RegistrationClosed
    |   +-- AlreadyReplied
    +-- DeliveryError        a message cannot arrive
        +-- Unsendable       data that is not JSON
        +-- WaitTimeout      nothing final came within the time given to ``wait()``
        +-- ServerStopped    the thread that serves the app has ended, or is blocked
"""

from __future__ import annotations

import math
from typing import Any

from .excerpts import excerpt, excerpt_of


class ProtooError(Exception):
    """The root of every error of this package."""


class ProtocolError(ProtooError):
    """The peer sent something it must not send.

    :ivar status: the status of the response that says so (100..699).
    :ivar reason: the fault, for the client's developer.
    """

    status = 400

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BadMessage(ProtocolError):
    """A message that breaks the wire format.

    :ivar id: the ``id`` to answer with; 0 when the message had no usable one.
    """

    def __init__(self, reason: str, id: int = 0) -> None:
        super().__init__(reason)
        self.id = id


class BadPath(ProtocolError):
    """A path with a percent-escape that does not decode to UTF-8."""


class CostlyPath(BadPath):
    """A path so long that matching it with all patterns of the site would take too long."""

    status = 414


class Reject(ProtooError):
    """Raised by the application to refuse a handshake or a request.

    :param code: an HTTP status for a handshake (400..599), any final status
        (300..699) inside a middleware.
    :param reason: shown to the client.
    :param retry_after: seconds after which the client may try again; ``None``: unknown. A request
        is told by ``data.retryAfter``, a handshake by the header Retry-After.

    >>> raise Reject(403, "banned until Monday")
    Traceback (most recent call last):
    protoo_flask.core.errors.Reject: 403 banned until Monday
    """

    retry_after: float | None = None

    def __init__(self, code: int, reason: str = "", retry_after: float | None = None) -> None:
        if isinstance(code, bool) or not isinstance(code, int) or not 300 <= code <= 699:
            raise UsageError(
                f"Reject(code, reason) takes a status from 300 to 699 as its code, not "
                f"{excerpt_of(code)}"
            )
        if retry_after is not None and not _is_positive(retry_after):
            raise UsageError(
                "Reject(retry_after=...) takes a positive number of seconds, or None, not "
                f"{excerpt_of(retry_after)}"
            )
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        if retry_after is not None:
            self.retry_after = retry_after

    def __str__(self) -> str:
        # For tracebacks. The peer gets the reason as it is.
        return f"{self.code} {excerpt(str(self.reason))}".rstrip()


class LimitReached(Reject):
    """A limit refuses a request; it has been counted and logged already."""


def tell_retry(error: object) -> dict[str, float] | None:
    """Return the data of the response to an error: ``retryAfter``, rounded up to hundredths.

    :returns: ``None`` if the error tells no seconds. One of a class of the site may tell anything.
    """
    seconds = error.retry_after if isinstance(error, Reject) else None
    if seconds is None or not _is_positive(seconds):
        return None
    return {"retryAfter": max(math.ceil(seconds * 100 - 1e-6), 1) / 100}


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < value < math.inf


class NotAdmitted(ProtooError):
    """A client may not connect, for a reason that is not the application's.

    :ivar code: closes a WebSocket whose handshake is answered already.
    :ivar reason: goes with the code.
    :ivar status: an HTTP status that answers the handshake, if it is not answered yet; ``None``:
        it is answered as if all were well, and the code follows.
    :ivar retry_after: seconds that go with the status; ``None``: unknown.
    """

    status: int | None = None
    retry_after: float | None = None

    def __init__(self, code: int, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        if status is not None:
            self.status = status


class UsageError(ProtooError):
    """The API was called in a way that cannot work; the message tells a way that can."""


class PatternError(UsageError, ValueError):
    """A path pattern that cannot be compiled; the message points at the place.

    :ivar pattern: the pattern as it was given.
    :ivar position: index of the offending character, or ``None``.
    """

    def __init__(self, pattern: object, problem: str, position: int | None = None) -> None:
        super().__init__(pattern, problem, position)
        self.pattern = pattern
        self.problem = problem
        self.position = position

    def __str__(self) -> str:
        text = f"bad path pattern {self.pattern!r}: {self.problem}"
        if self.position is None:
            return text
        return f"{text}\n    {self.pattern}\n    {' ' * self.position}^"


class BadName(UsageError, TypeError):
    """A username or uuid of a type that is not converted to a string."""


class RegistrationClosed(UsageError, RuntimeError):
    """A route or handler was registered after the first connection."""


class AlreadyReplied(UsageError, RuntimeError):
    """A request was answered again after its final response."""


class DeliveryError(ProtooError):
    """A message cannot be delivered."""


class Unsendable(DeliveryError, TypeError):
    """Data that JSON (or this wire format) cannot carry."""


class ServerStopped(DeliveryError, RuntimeError):
    """A call from another thread than that which serves the app, and that one does not run.

    Under gevent, one hub owns all peers of an app. Calls from other threads are handed over
    to it.
    """


class WaitTimeout(DeliveryError, TimeoutError):
    """``wait(timeout)`` gave up; the transaction itself goes on."""
