"""A room: a session with many members.

========  ====================================  ========  ==================================
state     event                                 next      actions and notifications
========  ====================================  ========  ==================================
opening   open: the application accepts it      open      waiting joins continue
opening   refuse: the application refuses it    closed    waiting joins start again
opening   close                                 closed    waiting joins start again
open      empty: the last member has left       closing   "close" is told
open      close                                 closing   each member is sent ``end``; "leave"
                                                          is told for each, then "close"
closing   told: all listeners have been called  closed    waiting joins start again
========  ====================================  ========  ==================================

A room is *opening* while ``on_room`` runs, which may block. Other joins wait meanwhile, so
that the application is asked once for each room.

A room is *closing* until its listeners have been told everything. Only then the next room
of the same path is made. Otherwise an application that keeps a record of its rooms could
hear of the end of the old room after the beginning of the new one. A room without listeners
is closed at once.

Members are in a room once at most, and only in an open room. An event that is not in the
table for a state is ignored.
"""

from __future__ import annotations

from typing import Any, Callable, ContextManager, Protocol, overload

from ...core.errors import UsageError
from ...core.excerpts import excerpt, excerpt_of
from ...core.functions import Decorator, F, check_function, show
from ...core.peers.peer import Peer, broadcast, check_peer
from ...core.request import Request
from ...core.scheduling import Scheduler
from ...core.suggestions import hint
from ...core.transactions.client import ClientTransaction, OnResponse

OPENING = "opening"
OPEN = "open"
CLOSING = "closing"
CLOSED = "closed"

#: (state, event) -> state; the table above.
TRANSITIONS = {
    (OPENING, "open"): OPEN,
    (OPENING, "refuse"): CLOSED,
    (OPENING, "close"): CLOSED,
    (OPEN, "empty"): CLOSING,
    (OPEN, "close"): CLOSING,
    (CLOSING, "told"): CLOSED,
}

#: The names that ``room.on()`` accepts. Listeners of questions run within the request, and
#: may answer it; listeners of events run afterwards.
QUESTIONS = ("join_request", "request")
EVENTS = ("join", "leave", "close")

#: What others call these: ``{name: ours}``.
FOREIGN_EVENTS = {
    **dict.fromkeys(["ask", "knock", "before_join", "joining"], "join_request"),
    **dict.fromkeys(["message", "method", "data"], "request"),
    **dict.fromkeys(["joined", "enter", "entered", "online", "connect"], "join"),
    **dict.fromkeys(["left", "exit", "offline", "disconnect", "removed"], "leave"),
    **dict.fromkeys(["closed", "end", "ended", "empty"], "close"),
}

#: How the listeners of events are called; those of questions are ``fn(room, req)``.
FORMS = {"join": "fn(room, peer)", "leave": "fn(room, peer)", "close": "fn(room)"}


class RoomOwner(Protocol):
    """The rooms of an app, as far as one room needs them; see :class:`.rooms.Rooms`.

    :ivar lock: held during every change of a room.
    :ivar scheduler: of the app, whose owner makes the changes.
    """

    lock: ContextManager[Any]
    scheduler: Scheduler

    def remove(self, room: Room, peer: Peer, reason: str) -> bool:
        """See :meth:`Room.remove`."""

    def close(self, room: Room, reason: str) -> int:
        """See :meth:`Room.close`."""


class Room:
    """One room: made for the first peer that joins, and released when the last has left.

    :ivar id: the parameter ``room_id`` of its path, decoded; untrusted.
    :ivar path: the path to which members send requests, mount included; unique in the app.
    :ivar state: opening, open, closing or closed; see the table at the top of this module.
    """

    def __init__(self, id: str, path: str, rooms: RoomOwner, maker: Peer) -> None:
        self.id = id
        self.path = path
        self.state = OPENING
        #: Joins wait for this event while the room is opening or closing. It is set at the
        #: end of opening; closing replaces it by a new event, set when the room is closed.
        self.join_gate = maker.runtime.scheduler.event()
        #: The number of joins in progress; the room is not released before they have ended.
        self.joins_in_progress = 0
        #: The peer that asked to join last; listeners of "close" run in its contexts.
        self.last_joiner = maker
        #: ``{(username, uuid): peer}``, in the order of joining.
        self.members: dict[tuple[str, str], Peer] = {}
        self._rooms = rooms
        self._listeners: dict[str, list[Callable[..., Any]]] = {}

    @property
    def peers(self) -> list[Peer]:
        """The members, in the order of joining."""
        return list(self.members.values())

    @overload
    def on(self, event: str, function: None = None) -> Decorator: ...

    @overload
    def on(self, event: str, function: F) -> F: ...

    def on(self, event: str, function: Callable[..., Any] | None = None) -> Any:
        """Call a function when something happens in the room; a call or a decorator.

        ==================  ================================================================
        ``"join_request"``  ``fn(room, req)``: a peer asks to join. The function refuses by
                            a reply or an exception; otherwise the peer joins
        ``"request"``       ``fn(room, req)``: a member has sent a method that the room
                            does not handle. The function has to reply
        ``"join"``          ``fn(room, peer)``: the peer has joined
        ``"leave"``         ``fn(room, peer)``: the peer has left, was removed, or has gone
                            offline
        ``"close"``         ``fn(room)``: the room has closed, and has no members any more
        ==================  ================================================================

        Listeners of the last three are called in order and one at a time, in a greenlet of
        their own and in the Flask contexts of the peer.

        :raises UsageError: for another event, or a function with other parameters.
        """
        if event not in QUESTIONS + EVENTS:
            known = QUESTIONS + EVENTS
            raise UsageError(
                f"room.on(event, fn) knows {', '.join(known)}, not {show(event)}"
                + hint(event, known, FOREIGN_EVENTS)
            )
        form = FORMS.get(event, "fn(room, req)")

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            self._listeners.setdefault(event, []).append(check_function(function, form))
            return function

        return decorate if function is None else decorate(function)

    def listeners(self, event: str) -> list[Callable[..., Any]]:
        """Return the functions that :meth:`on` has registered for an event."""
        return list(self._listeners.get(event, ()))

    def ask(self, question: str, req: Request) -> bool:
        """Call the listeners of a question until one has replied; ``False`` without any."""
        functions = self.listeners(question)
        for function in functions:
            function(self, req)
            if req.ended:
                break
        return bool(functions)

    @property
    def is_observed(self) -> bool:
        """Whether any event has a listener."""
        return any(event in self._listeners for event in EVENTS)

    def send(
        self,
        peer: Peer,
        method: str,
        data: dict[str, Any] | None = None,
        on_response: OnResponse | None = None,
        timeout: float | None = None,
    ) -> ClientTransaction:
        """Send a request from the room, with its ``sessionPath``; never blocks.

        ``room.send(peer, "mute").wait()`` returns the final response. The peer need not be
        a member: the application may ask a joining peer for a password.

        :param timeout: seconds instead of ``PROTOO_REQUEST_TIMEOUT``.
        """
        check_peer(peer, "room.send(peer, ...)")
        return peer.send(Request(method, self.add_path(data)), on_response, timeout)

    def broadcast(
        self,
        method: str,
        data: dict[str, Any] | None = None,
        skip: Peer | None = None,
        sender: dict[str, str] | None = None,
    ) -> int:
        """Send every member the same notification, with ``sessionPath``; serialized once.

        :param skip: a member that does not get the notification.
        :param sender: the ``address`` of the peer that has sent it, if any.
        :returns: the number of recipients.
        :raises Unsendable: when the data is not JSON; nothing has been sent then.
        """
        data = self.add_path(data)
        if skip is not None:
            check_peer(skip, "room.broadcast(skip=peer)")
        return self._rooms.scheduler.call(self._broadcast, method, data, skip, sender)

    def _broadcast(
        self, method: str, data: dict[str, Any], skip: Peer | None, sender: dict[str, str] | None
    ) -> int:
        with self._rooms.lock:
            others = [peer for peer in self.members.values() if peer is not skip]
            return broadcast(others, method, data, sender)

    def remove(self, peer: Peer, reason: str = "removed") -> bool:
        """Remove a member: it gets an ``end`` request, the others a ``leave``.

        :returns: ``False`` when the peer was not a member.
        """
        check_peer(peer, "room.remove(peer)")
        return self._rooms.scheduler.call(self._rooms.remove, self, peer, reason)

    def close(self, reason: str = "room closed") -> int:
        """Send every member an ``end`` request, and release the room.

        :returns: the number of members that were in the room.
        """
        return self._rooms.scheduler.call(self._rooms.close, self, reason)

    def has(self, peer: Peer | None) -> bool:
        """Whether a peer is a member."""
        if peer is None:
            return False
        check_peer(peer, "room.has(peer)")
        return self.members.get((peer.username, peer.uuid)) is peer

    def enter_state(self, event: str) -> bool:
        """Follow the table; ``False`` when the event is not in it for this state."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def add_path(self, data: dict[str, Any] | None) -> dict[str, Any]:
        """Return ``data`` with ``sessionPath``, by which a client tells its rooms apart."""
        if data is not None and not isinstance(data, dict):
            raise UsageError(f"a room sends a dict as data, not {excerpt_of(data)}")
        return {**(data or {}), "sessionPath": self.path}

    def __repr__(self) -> str:
        return f"<Room {excerpt(self.path)} {self.state}, {len(self.members)} in>"
