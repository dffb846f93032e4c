"""A session: a call between two peers, as the application sees it.

===========  ==========================================  ==========  ========================
state        event                                       next state  told
===========  ==========================================  ==========  ========================
connecting   progress: a device rings (1xx above 100)    progress    "progress"
progress     progress                                    progress    nothing
either       accept: the first 2xx                       open        "open"
either       rejected: every device has rejected         closed      "close"
either       declined: one has, with a 6xx, for all      closed      "close"
either       gone: every device went offline             closed      "close"
either       unavailable: nobody was there at all        closed      "close"
either       canceled: the caller hung up                closed      "close"
either       offline: the caller went offline            closed      "close"
either       timeout: nobody answered                    closed      "close"
either       glare: the callee is calling the caller     closed      "close"
either       failed: the answer could not be passed on   closed      "close"
either       refused: the application did not want it    closed      nothing: it never was
open         ended: one of the two hung up               closed      "close"
open         offline: one of the two went offline        closed      "close"
closed       anything                                    closed      nothing
===========  ==========================================  ==========  ========================

The events that close it are what the application finds in ``session.cause``. 100 is the
only provisional response that tells nothing: it says that a request has arrived, not that
anything rings (RFC 3261 section 17.2.1).
"""

from __future__ import annotations

import difflib
from typing import Any, Callable, Dict

from ...core.errors import UsageError
from ...core.functions import check_function

CONNECTING = "connecting"
PROGRESS = "progress"
OPEN = "open"
CLOSED = "closed"

#: How a call can end before it is answered, and after.
UNANSWERED_ENDINGS = (
    *("rejected", "declined", "gone", "unavailable", "canceled", "offline", "timeout"),
    *("glare", "failed", "refused"),
)
ANSWERED_ENDINGS = ("ended", "offline")

#: (state, event) -> state; the table above. What is not here is ignored.
TRANSITIONS = {
    (CONNECTING, "progress"): PROGRESS,
    (PROGRESS, "progress"): PROGRESS,
    (CONNECTING, "accept"): OPEN,
    (PROGRESS, "accept"): OPEN,
    **{(CONNECTING, cause): CLOSED for cause in UNANSWERED_ENDINGS},
    **{(PROGRESS, cause): CLOSED for cause in UNANSWERED_ENDINGS},
    **{(OPEN, cause): CLOSED for cause in ANSWERED_ENDINGS},
}

#: What ``session.on()`` knows, by the state whose beginning it is.
EVENTS = {PROGRESS: "progress", OPEN: "open", CLOSED: "close"}

Listener = Callable[["Session"], Any]


class Address(Dict[str, str]):
    """A party to a call, as it is written on the wire: ``{"username": ..., "uuid": ...}``.

    >>> Address(username="bob", uuid="b1").username
    'bob'
    """

    @property
    def username(self) -> str:
        """The site's account."""
        return self["username"]

    @property
    def uuid(self) -> str | None:
        """The device; ``None`` while it is not known which will answer."""
        return self.get("uuid")


class Session:
    """One call.

    :ivar path: where requests inside it are sent to (``sessionPath`` on the wire).
    :ivar caller: ``{"username": str, "uuid": str}`` of who calls, an :class:`Address`:
        ``session.caller.username`` will do as well.
    :ivar callee: the same of the device that has answered. Before, ``{"username": str}``,
        with ``uuid`` if that device was called alone. Untrusted: nobody needs to have it.
    :ivar state: connecting, progress, open or closed.
    :ivar started: when the call began, in seconds since the epoch.
    :ivar answered: when it was answered; ``None`` if it was not.
    :ivar ended: when it ended; ``None`` before.
    :ivar cause: why it ended, ``None`` before: one of rejected, declined, gone, unavailable,
        canceled, offline, timeout, glare, failed, refused; ended or offline if it had been
        answered.
    :ivar ended_by: ``{"username": str, "uuid": str}`` of the peer that canceled it, hung up
        or went offline; ``None`` when it ended otherwise.
    :ivar status: what the caller's request was answered with finally; ``None`` before.
    :ivar reason: of the same answer; "" before.
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

    def on(self, event: str, function: Listener | None = None) -> Any:
        """Call ``function(session)`` at "progress", "open" or "close"; also a decorator.

        It runs in Flask contexts of the caller's, in a greenlet of its own; the functions
        of one call run one at a time, in order.

        :raises UsageError: for another event, or what is no function.
        """
        known = list(EVENTS.values())
        if event not in known:
            close = difflib.get_close_matches(str(event), known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"session.on(event, fn) knows {', '.join(known)}, not {event!r}{hint}")

        def decorate(function: Listener) -> Listener:
            self._listeners.setdefault(event, []).append(check_function(function, "fn(session)"))
            return function

        return decorate if function is None else decorate(function)

    def listeners(self, event: str) -> list[Listener]:
        """Return the functions given to :meth:`on` for an event."""
        return list(self._listeners.get(event, ()))

    @property
    def is_listened_to(self) -> bool:
        """Whether :meth:`on` was given anything."""
        return bool(self._listeners)

    @property
    def is_ringing(self) -> bool:
        """Whether it may still be answered."""
        return self.state in (CONNECTING, PROGRESS)

    def enter(self, event: str) -> str | None:
        """Follow the table.

        :returns: the state, if it is a new one; ``None`` when the event changes nothing.
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
        """Return it as the list of calls has it: ``{path, state, caller, callee}``."""
        return {
            "path": self.path,
            "state": self.state,
            "caller": self.caller,
            "callee": self.callee,
        }

    def __repr__(self) -> str:
        return f"<Session {self.path} {self.state}>"
