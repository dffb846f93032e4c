"""A session: a call between two peers, in the view of the application.

===========  ==========================================  ==========  ========================
state        event                                       next state  listeners of
===========  ==========================================  ==========  ========================
connecting   progress: a device rings (1xx above 100)    progress    "progress"
progress     progress                                    progress    nothing
either       accept: the first 2xx                       open        "open"
either       rejected: every device has rejected         closed      "close"
either       declined: one device, with a 6xx, for all   closed      "close"
either       gone: every device went offline             closed      "close"
either       unavailable: no device was online           closed      "close"
either       canceled: the caller hung up                closed      "close"
either       offline: the caller went offline            closed      "close"
either       timeout: no device answered in time         closed      "close"
either       glare: the callee is calling the caller     closed      "close"
either       failed: the answer could not be relayed     closed      "close"
either       lost: other nodes took this one for dead    closed      "close"
either       refused: by the application                 closed      nothing: it never rang
open         ended: one party hung up                    closed      "close"
open         offline: one party went offline             closed      "close"
open         lost: other nodes took this one for dead    closed      "close"
closed       anything                                    closed      nothing
===========  ==========================================  ==========  ========================

The event that closes a session is its ``session.cause``. A 100 causes no event: it says that
a request has arrived, not that a device rings (RFC 3261 section 17.2.1).
"""

from __future__ import annotations

from typing import Any, Callable, Dict, overload

from ...core.errors import UsageError
from ...core.excerpts import excerpt
from ...core.functions import Decorator, F, check_function, show
from ...core.suggestions import hint

CONNECTING = "connecting"
PROGRESS = "progress"
OPEN = "open"
CLOSED = "closed"

#: The events that end a call before the answer, and after it.
UNANSWERED_ENDINGS = (
    *("rejected", "declined", "gone", "unavailable", "canceled", "offline", "timeout"),
    *("glare", "failed", "lost", "refused"),
)
ANSWERED_ENDINGS = ("ended", "offline", "lost")

#: (state, event) -> state; the table above. A pair that is not here is ignored.
TRANSITIONS = {
    (CONNECTING, "progress"): PROGRESS,
    (PROGRESS, "progress"): PROGRESS,
    (CONNECTING, "accept"): OPEN,
    (PROGRESS, "accept"): OPEN,
    **{(CONNECTING, cause): CLOSED for cause in UNANSWERED_ENDINGS},
    **{(PROGRESS, cause): CLOSED for cause in UNANSWERED_ENDINGS},
    **{(OPEN, cause): CLOSED for cause in ANSWERED_ENDINGS},
}

#: The names that ``session.on()`` accepts, by the state that is entered.
EVENTS = {PROGRESS: "progress", OPEN: "open", CLOSED: "close"}

#: What others call these: ``{name: ours}``.
FOREIGN_EVENTS = {
    **dict.fromkeys(["alerting", "provisional", "ring", "trying"], "progress"),
    **dict.fromkeys(["answer", "answered", "accept", "accepted", "confirmed"], "open"),
    **dict.fromkeys(["connect", "connected", "established", "start"], "open"),
    **dict.fromkeys(["bye", "closed", "end", "ended", "hangup", "terminated"], "close"),
    **dict.fromkeys(["cancel", "canceled", "failed", "rejected", "offline"], "close"),
}

Listener = Callable[["Session"], Any]


class Address(Dict[str, str]):
    """A party of a call, as on the wire: ``{"username": ..., "uuid": ...}``.

    >>> Address(username="bob", uuid="b1").username
    'bob'
    """

    @property
    def username(self) -> str:
        """The site's account."""
        return self["username"]

    @property
    def uuid(self) -> str | None:
        """The device; ``None`` before one has answered a call to all devices of a user."""
        return self.get("uuid")


class Session:
    """One call.

    :ivar path: the path for requests inside the call (``sessionPath`` on the wire).
    :ivar caller: ``{"username": str, "uuid": str}``, an :class:`Address`, so
        ``session.caller.username`` works as well.
    :ivar callee: the same for the device that has answered. Before the answer it is
        ``{"username": str}``, with ``uuid`` in a call to one device. Untrusted: there may be
        no such user.
    :ivar state: connecting, progress, open or closed.
    :ivar started: the time at which the call began, in seconds since the epoch.
    :ivar answered: the time of the answer; ``None`` without one.
    :ivar ended: the time of the end; ``None`` before.
    :ivar cause: the event that ended the call, ``None`` before. For an unanswered call it is
        rejected, declined, gone, unavailable, canceled, offline, timeout, glare, failed,
        lost or refused; for an answered one, ended, offline or lost.
    :ivar ended_by: ``{"username": str, "uuid": str}`` of the peer that canceled the call,
        hung up or went offline; ``None`` when it ended otherwise.
    :ivar status: of the final response to the caller's request; ``None`` before.
    :ivar reason: of the same response; "" before.
    """

    def __init__(
        self,
        path: str,
        caller: dict[str, str],
        callee: dict[str, str],
        now: Callable[[], float],
    ) -> None:
        self.path = path
        self.caller = Address(caller)
        self.callee = Address(callee)
        self.state = CONNECTING
        self.started = now()
        self.answered: float | None = None
        self.ended: float | None = None
        self.cause: str | None = None
        self.ended_by: dict[str, str] | None = None
        self.status: int | None = None
        self.reason = ""
        self._now = now
        self._listeners: dict[str, list[Listener]] = {}

    @overload
    def on(self, event: str, function: None = None) -> Decorator: ...

    @overload
    def on(self, event: str, function: F) -> F: ...

    def on(self, event: str, function: Listener | None = None) -> Any:
        """Call ``function(session)`` at "progress", "open" or "close"; also a decorator.

        It runs in Flask contexts of the caller, in a greenlet of its own. The functions of
        one call run one at a time, in order.

        :raises UsageError: for another event, or a function with other parameters.
        """
        known = list(EVENTS.values())
        if event not in known:
            raise UsageError(
                f"session.on(event, fn) knows {', '.join(known)}, not {show(event)}"
                + hint(event, known, FOREIGN_EVENTS)
            )

        def decorate(function: Listener) -> Listener:
            self._listeners.setdefault(event, []).append(check_function(function, "fn(session)"))
            return function

        return decorate if function is None else decorate(function)

    def listeners(self, event: str) -> list[Listener]:
        """Return the functions that :meth:`on` has registered for an event."""
        return list(self._listeners.get(event, ()))

    @property
    def is_listened_to(self) -> bool:
        """Whether any event has a listener."""
        return bool(self._listeners)

    @property
    def is_ringing(self) -> bool:
        """Whether the call may still be answered."""
        return self.state in (CONNECTING, PROGRESS)

    def enter(self, event: str) -> str | None:
        """Follow the table.

        :returns: the new state; ``None`` when the event changes nothing.
        """
        state = TRANSITIONS.get((self.state, event))
        if state is None or state == self.state:
            return None
        self.state = state
        if state is OPEN:
            self.answered = self._now()
        elif state is CLOSED:
            self.cause = event
            self.ended = self._now()
        return state

    def describe(self) -> dict[str, Any]:
        """Return the entry for the list of calls: ``{path, state, caller, callee}``."""
        return {
            "path": self.path,
            "state": self.state,
            "caller": self.caller,
            "callee": self.callee,
        }

    def __repr__(self) -> str:
        return f"<Session {excerpt(self.path)} {self.state}>"
