"""A room: a session with many members.

========  ==================================  ========  ================================
state     event                               next      what is done, and told
========  ==================================  ========  ================================
opening   open: the application has it        open      those who wait for it may join
opening   refuse: the application does not    closed    those who wait begin anew
opening   close                               closed    the same
open      empty: the last one is out          closing   "close"
open      close                               closing   every member is sent ``end``;
                                                        "leave" for each, "close"
closing   told                                closed    those who wait begin anew
========  ==================================  ========  ================================

*Opening* is as long as ``on_room`` runs, which may block; who wants to join meanwhile
waits, so that the application is asked once for each room. *Closing* is as long as its
listeners have not been told everything: the next room of that path is made afterwards,
or an application that keeps books of rooms would be told of the end of the one after the
beginning of the other. Without listeners it takes no time. Nobody who is in the room is
in it twice, and nobody is in one that is not open. What is not in the table is ignored.
"""

from __future__ import annotations

from typing import Any, Callable, ContextManager, Protocol

from ...core.errors import UsageError
from ...core.functions import check_function
from ...core.peers.peer import Peer, broadcast
from ...core.request import Request
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

#: What ``room.on()`` knows: questions that are answered at once, and what is told afterwards.
QUESTIONS = ("join_request", "request")
EVENTS = ("join", "leave", "close")


#: How what is given to ``on()`` is called, where not as ``fn(room, req)``.
FORMS = {"join": "fn(room, peer)", "leave": "fn(room, peer)", "close": "fn(room)"}


class Building(Protocol):
    """The rooms of an app, as one of them sees them; see :class:`.rooms.Rooms`.

    :ivar lock: held while anything changes in a room.
    """

    lock: ContextManager[Any]

    def remove(self, room: Room, peer: Peer, reason: str) -> bool:
        """See :meth:`Room.remove`."""

    def close(self, room: Room, reason: str) -> int:
        """See :meth:`Room.close`."""


class Room:
    """One room, made by the first who joins it, and released when the last has left.

    :ivar id: the parameter ``room_id`` of its path, decoded; untrusted.
    :ivar path: where its members send requests to, with the mount; it tells it from every
        other room of the app.
    :ivar state: see the table at the top of this module.
    """

    def __init__(self, id: str, path: str, rooms: Building, maker: Peer) -> None:
        self.id = id
        self.path = path
        self.state = OPENING
        #: Set when it is opening no longer; replaced by one that is set when it is closed.
        self.settled = maker.runtime.scheduler.event()
        #: How many joins are under way: it is not released before they are through.
        self.joining = 0
        #: In whose contexts "close" is told: who has come to the door last.
        self.latest = maker
        #: ``{(username, uuid): peer}``, in the order in which they have joined.
        self.members: dict[tuple[str, str], Peer] = {}
        self._rooms = rooms
        self._listeners: dict[str, list[Callable[..., Any]]] = {}

    @property
    def peers(self) -> list[Peer]:
        """Who is in, in the order in which they have joined."""
        return list(self.members.values())

    def on(self, event: str, function: Callable[..., Any] | None = None) -> Any:
        """Call a function when something happens in the room; a call or a decorator.

        ==================  ================================================================
        ``"join_request"``  ``fn(room, req)``: somebody wants to join. To refuse, it replies,
                            or raises; who is not refused is in
        ``"request"``       ``fn(room, req)``: a member has sent what the room itself does
                            not know. It is for the function to reply
        ``"join"``          ``fn(room, peer)``: the peer is in
        ``"leave"``         ``fn(room, peer)``: it is out, in whichever way
        ``"close"``         ``fn(room)``: nobody is in any more, and nobody will be
        ==================  ================================================================

        The last three are told in order and one at a time, in a greenlet of their own and
        in the Flask contexts of the peer.
        """
        if event not in QUESTIONS + EVENTS:
            known = ", ".join(QUESTIONS + EVENTS)
            raise UsageError(f"room.on(event, fn) knows {known}, not {event!r}")
        form = FORMS.get(event, "fn(room, req)")

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            self._listeners.setdefault(event, []).append(check_function(function, form))
            return function

        return decorate if function is None else decorate(function)

    def listeners(self, event: str) -> list[Callable[..., Any]]:
        """Return the functions given to :meth:`on`."""
        return list(self._listeners.get(event, ()))

    @property
    def is_observed(self) -> bool:
        """Whether the application wants to be told of anything that has happened."""
        return any(event in self._listeners for event in EVENTS)

    def send(
        self,
        peer: Peer,
        method: str,
        data: dict[str, Any] | None = None,
        on_response: OnResponse | None = None,
        timeout: float | None = None,
    ) -> ClientTransaction:
        """Send a request of the room's, with its ``sessionPath``; never blocks.

        ``room.send(peer, "mute").wait()`` is the final response. The peer need not be a
        member: one that wants to join may be asked for a password.

        :param timeout: seconds instead of ``PROTOO_REQUEST_TIMEOUT``.
        """
        return peer.send(Request(method, self.add_path(data)), on_response, timeout)

    def broadcast(
        self,
        method: str,
        data: dict[str, Any] | None = None,
        skip: Peer | None = None,
        sender: dict[str, str] | None = None,
    ) -> int:
        """Send every member the same notification, written once, with ``sessionPath``.

        :param skip: the member that does not get it.
        :param sender: the ``address`` of the peer it comes from, if it does.
        :returns: how many are there to receive it.
        :raises Unsendable: when the data is not JSON; nobody has got anything then.
        """
        data = self.add_path(data)
        with self._rooms.lock:
            others = [peer for peer in self.members.values() if peer is not skip]
            return broadcast(others, method, data, sender)

    def remove(self, peer: Peer, reason: str = "removed") -> bool:
        """Put a member out: it is sent an ``end`` request, the others a ``leave``.

        :returns: ``False`` when it was not in.
        """
        return self._rooms.remove(self, peer, reason)

    def close(self, reason: str = "room closed") -> int:
        """Send everybody an ``end`` request, and release the room; returns how many were in."""
        return self._rooms.close(self, reason)

    def has(self, peer: Peer | None) -> bool:
        """Whether a peer is in."""
        return peer is not None and self.members.get((peer.username, peer.uuid)) is peer

    def enter_state(self, event: str) -> bool:
        """Follow the table; ``False`` when the event means nothing now."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def add_path(self, data: dict[str, Any] | None) -> dict[str, Any]:
        """Return ``data`` with ``sessionPath``: a client may be in several rooms."""
        if data is not None and not isinstance(data, dict):
            raise UsageError(f"a room sends a dict as data, not {data!r}")
        return {**(data or {}), "sessionPath": self.path}

    def __repr__(self) -> str:
        return f"<Room {self.path} {self.state}, {len(self.members)} in>"
