"""The drain of a server that goes away: who is closed when, and when each client comes back.

A client is *busy* while something of it is in progress; :func:`find_state` has the list. A busy
client stays until it is quiet, or until the deadline. The others:

===================  =======================================================================
is there a           then
successor?
===================  =======================================================================
yes                  quiet clients are closed from the beginning, so many for each second that
                     the successor is not flooded
no                   nobody else would serve them, so they stay, and are served, until nobody is
                     busy any more; then all are closed at once
===================  =======================================================================

Each client has a *moment* at which it may come back, and these are ``1 / rate`` apart. A client
that is closed before its moment is told the seconds that are left, in the reason of the Close:
``shutting down; retry-after=2.35``.

New requests keep coming, so on a site with much traffic there is never a moment in which nobody is
busy. Without a successor, it is enough that each client has been quiet once.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Callable, Generic, Iterable, Iterator, NamedTuple, Tuple, TypeVar

from .peers.peer import Peer

C = TypeVar("C")

#: Clients that come back in a second, for each process that takes them. A handshake with a session
#: and an authorizer costs 500 to 730 microseconds of CPU (docs/performance.md): one core
#: serves some 1500 in a second. So the moments of 10 000 are within 8 seconds, and requests of
#: those that are back are served in between: benchmarks/README.md, "Restarts". With a slower
#: authorizer, the rest waits in the server's queue.
RATE = 1250.0

#: Seconds between two looks at the clients.
TICK = 0.1

#: Seconds below which a client is not told to wait: our clients come back after a random time of up
#: to so long anyway.
SHORT = 0.5

#: Seconds that a client is told to wait, at most. Our clients wait a minute at most, so all that
#: are told more would come at the same time. The rest of the minute is what they add by chance.
LONGEST = 55.0

#: Clients that are looked at in one look, at most, when a few of them are to be closed.
LOOKS = 1000

#: The states of a client.
BUSY = "busy"
QUIET = "quiet"
GONE = "gone"

REASON = "shutting down"


def write_reason(retry_after: float | None) -> str:
    """Return the reason of the Close, with the seconds that a client had better wait."""
    return REASON if retry_after is None else f"{REASON}; retry-after={retry_after:.2f}"


class Moments:
    """The moments at which clients come back, one after the other.

    :param rate: clients for each second.
    """

    def __init__(self, rate: float = RATE) -> None:
        self.rate = rate
        self._next = 0.0

    def squeeze(self, count: int) -> None:
        """Have the moments of so many clients follow each other faster, if they are too many."""
        self.rate = max(self.rate, count / LONGEST)

    def has_come(self, now: float) -> bool:
        """Whether the next client may come back at once."""
        return self._next <= now

    def take(self, now: float) -> float | None:
        """Take the next moment; returns the seconds until then, if the client is to be told."""
        # A pause, in which everybody was busy, is not made up for by a crowd.
        moment = max(self._next, now - TICK)
        self._next = moment + 1 / self.rate
        seconds = moment - now
        return None if seconds < SHORT else seconds


class Farewell(NamedTuple, Generic[C]):
    """A client that is to be closed now.

    :ivar retry_after: seconds that it had better wait; ``None``: as long as it likes.
    """

    client: C
    retry_after: float | None


class DrainPlan(Generic[C]):
    """The clients of a server that goes away, until all are closed.

    :param clients: those of the beginning. Nobody comes any more.
    :param deadline: then all that are left are closed.
    :param find_state: ``find_state(client)`` returns :data:`BUSY`, :data:`QUIET` or :data:`GONE`.
    """

    def __init__(
        self, clients: Iterable[C], deadline: float, find_state: Callable[[C], str]
    ) -> None:
        self.deadline = deadline
        self.moments = Moments()
        self._find_state = find_state
        self._left: deque[C] = deque(clients)
        #: Those that have not been quiet so far.
        self._restless: list[C] = list(self._left)

    def __len__(self) -> int:
        """The number of clients that are left."""
        return len(self._left)

    def __iter__(self) -> Iterator[C]:
        """Iterate over those that are left."""
        return iter(self._left)

    def take_due(self, now: float, has_successor: bool) -> list[Farewell[C]]:
        """Return the clients that are to be closed now, and forget them."""
        if now >= self.deadline:
            due = [client for client in self._left if self._find_state(client) is not GONE]
            self._left.clear()
        elif has_successor:
            return self._take_some(now)
        else:
            due = self._take_all()
        self.moments.squeeze(len(due))
        return [Farewell(client, self.moments.take(now)) for client in due]

    def _take_some(self, now: float) -> list[Farewell[C]]:
        """Return quiet clients, if it is their moment."""
        due = []
        for _ in range(min(LOOKS, len(self._left))):
            if not self.moments.has_come(now):
                break
            client = self._left.popleft()
            state = self._find_state(client)
            if state is QUIET:
                due.append(Farewell(client, self.moments.take(now)))
            elif state is BUSY:
                self._left.append(client)
        return due

    def _take_all(self) -> list[C]:
        """Return all quiet clients, if each one has been quiet once."""
        find_state = self._find_state
        self._restless = [client for client in self._restless if find_state(client) is BUSY]
        if self._restless:
            return []
        due, busy = [], []
        for client in self._left:
            state = find_state(client)
            if state is QUIET:
                due.append(client)
            elif state is BUSY:
                busy.append(client)
        self._left = deque(busy)
        return due


#: Username and uuid.
Address = Tuple[str, str]


def count_stranded(sent_away: Iterable[Peer], others: Iterable[Peer]) -> dict[Address, int]:
    """Count the requests that only wait for peers which have been sent away, by their senders.

    Nobody can answer these here. Their receivers were quiet when they were sent away, so such a
    request has come to nobody yet, and its sender may repeat it elsewhere.

    :param others: the peers that are still here. A request that waits for one of them, too, does
        not count, nor does any other one of its sender.
    """
    most: dict[tuple[Address, str], int] = {}
    for peer in sent_away:
        for address, number in Counter(_senders_to(peer)).items():
            # A request to all devices of a user counts once.
            key = address, peer.username
            most[key] = max(most.get(key, 0), number)
    stranded: dict[Address, int] = {}
    for (address, _), number in most.items():
        stranded[address] = stranded.get(address, 0) + number
    if stranded:
        for peer in others:
            for address in _senders_to(peer):
                stranded.pop(address, None)
    return stranded


def _senders_to(peer: Peer) -> Iterator[Address]:
    for half in peer.outbound.unanswered:
        if half.sender is not None:
            yield half.sender["username"], half.sender["uuid"]


def find_state(
    peer: Peer,
    moves: bool,
    is_told: Callable[[Peer], bool],
    is_engaged: Callable[[Peer], bool],
    stranded: int = 0,
) -> str:
    """Tell whether something of a peer is in progress.

    ===================================================  ==========  ==========================
    of the peer                                          alone       if all of it moves to
                                                                     another process
    ===================================================  ==========  ==========================
    a handler runs, or a request waits for its turn      busy        busy
    a function of the site is told its event, or a       busy        busy
    response (``on_response``)
    a request of it, or to it, has no final response     busy        quiet
    the same, and it waits for a client that was closed  quiet       quiet
    it is in a call, or one rings at it                  busy        quiet
    its messages wait because it reads slowly            busy        quiet
    ===================================================  ==========  ==========================

    :param moves: whether another process of a cluster takes the peer over, with all of that.
    :param is_told: tells whether such a function runs for a peer.
    :param is_engaged: tells whether a peer is in a call.
    :param stranded: requests of it that wait for clients that were closed.
    """
    link = peer.link
    if link is None:
        return GONE
    workload = peer.workload
    if workload.running or workload.waiting or is_told(peer):
        return BUSY
    if moves:
        return QUIET
    if len(peer.requests) > stranded or peer.outbound.unanswered.by_id:
        return BUSY
    return BUSY if link.outbox.is_blocked or is_engaged(peer) else QUIET
