"""Arrivals: the handshakes in progress, in the order in which their requests came.

A site may need long to authorize a handshake. Meanwhile, the device may connect by a later
handshake, or the site may disconnect the user. What happens after the arrival of a handshake
counts for it, however late the handshake is done:

=========================================  ==========================================
since the handshake came                   it is turned away with
=========================================  ==========================================
its device has connected, by a later one   3000 "online elsewhere"
its user or device was disconnected        code and reason of ``disconnect()``
its peer was closed with 3001              code and reason of ``peer.close()``
the site has closed                        1001 "shutting down"
more happened than can be remembered       1001 "authorization took too long"
=========================================  ==========================================

A handshake is not turned away by a ``disconnect()`` of its own authorizer: one that disconnects
all other devices of its user comes in.

These *closures* are remembered only while an older handshake is in progress.
"""

from __future__ import annotations

import heapq
import itertools
import weakref
from collections import OrderedDict
from typing import Any, Callable, ContextManager, NamedTuple, Optional, Tuple, TypeVar

from .close_codes import GOING_AWAY, ONLINE_ELSEWHERE
from .connection_limit import Place
from .errors import NotAdmitted

T = TypeVar("T")

#: Closures that are remembered, about 35 MiB of them. The limit is for a handshake that hangs
#: for hours: everything that happens meanwhile would be kept for it.
MAX_CLOSURES = 50_000

#: Closures of the devices of one user that are remembered. A user may have sixteen devices, but
#: a client can make up a uuid for every connection, and fill the others' memory.
MAX_CLOSURES_OF_USER = 64


#: The reason for a handshake that is older than all closures that are remembered.
TOO_LONG = "authorization took too long"


class TurnedAway(NotAdmitted):
    """Something that happened after this handshake came forbids it to connect."""


class Arrival:
    """One handshake in progress. It ends with :meth:`Arrivals.end`, or when it is forgotten.

    :ivar number: of an older handshake, it is smaller.
    :ivar outlives_request: whether the HTTP request has been accepted, so that the handshake
        goes on after it.
    :ivar has_disconnected: whether its authorizer has disconnected peers.
    :ivar place: of the handshake among the connections of its address, until it is accepted for
        good; ``None``: these are not limited.
    """

    __slots__ = ("__weakref__", "has_disconnected", "number", "outlives_request", "place")

    def __init__(self, number: int) -> None:
        self.number = number
        self.outlives_request = False
        self.has_disconnected = False
        self.place: Place | None = None


class Closure(NamedTuple):
    """Something that forbids older handshakes of a device, of a user or of all to connect.

    :ivar number: handshakes with a smaller one are turned away.
    :ivar code: they are closed with it.
    :ivar reason: the reason that goes with the code.
    :ivar certain: the same as ``number``, but without the calls of authorizers.
    :ivar maker: the youngest handshake whose authorizer has called; 0 if none has.
    """

    number: int
    code: int
    reason: str
    certain: int
    maker: int = 0

    def joined_with(self, other: Closure) -> Closure:
        """Return a closure that turns away whatever one of both does."""
        latest = max(self, other)
        certain, maker = max(self.certain, other.certain), max(self.maker, other.maker)
        return latest._replace(certain=certain, maker=maker)

    def turns_away(self, arrival: Arrival) -> bool:
        """Whether it forbids a handshake to connect.

        If the authorizers of two handshakes disconnect each other, the younger one comes in.
        """
        if arrival.has_disconnected and arrival.number >= self.maker:
            return self.certain > arrival.number
        return self.number > arrival.number


#: Username and uuid. ``None`` stands for all users, and for all devices.
Key = Tuple[Optional[str], Optional[str]]


class Arrivals:
    """The handshakes of one app that are in progress.

    :param lock: a re-entrant lock. That of the directory is taken while it is held.
    :param current: returns the handshake whose authorizer runs in this greenlet or thread.
    """

    def __init__(
        self, lock: ContextManager[Any], current: Callable[[], Arrival | None] = lambda: None
    ) -> None:
        self._lock = lock
        self._current = current
        self._numbers = itertools.count(1)
        # Weak references, as a response that a middleware of the site throws away takes its
        # handshake with it, and nobody calls end().
        self._in_progress: OrderedDict[int, weakref.ref[Arrival]] = OrderedDict()
        self._closures: dict[Key, Closure] = {}
        #: {username: uuids}, of the closures of single devices.
        self._devices: dict[str, set[str]] = {}
        #: The closures as a heap, with some that were replaced; see :func:`_entry`.
        self._by_number: list[tuple[int, bool, Key]] = []
        #: Handshakes with a smaller number have been in progress for too long.
        self._horizon = 0

    def __len__(self) -> int:
        """The number of closures that are remembered."""
        return len(self._closures)

    def begin(self) -> Arrival:
        """Take note that a handshake has come."""
        with self._lock:
            arrival = Arrival(next(self._numbers))
            self._in_progress[arrival.number] = weakref.ref(arrival)
        return arrival

    def end(self, arrival: Arrival) -> None:
        """Take note that a handshake is done, or was refused. A second time does no harm."""
        with self._lock:
            if self._in_progress.pop(arrival.number, None) is not None:
                self._forget_closures()

    def turn_away(self, username: str | None, uuid: str | None, code: int, reason: str) -> None:
        """Turn away the handshakes of a user that are in progress.

        :param username: ``None`` for all users.
        :param uuid: ``None`` for all devices of the user.
        """
        maker = self._current()
        with self._lock:
            number = next(self._numbers)
            closure = Closure(number, code, reason, certain=number)
            if maker is not None and username is not None:
                maker.has_disconnected = True
                closure = closure._replace(certain=0, maker=maker.number)
            self._remember((username, uuid), closure)

    def check(self, arrival: Arrival, username: str, uuid: str) -> None:
        """Check that a handshake may connect as this device.

        :raises TurnedAway: when it may not.
        """
        with self._lock:
            if arrival.number < self._horizon:
                raise TurnedAway(GOING_AWAY, TOO_LONG)
            for key in ((username, uuid), (username, None), (None, None)):
                closure = self._closures.get(key)
                if closure is not None and closure.turns_away(arrival):
                    raise TurnedAway(closure.code, closure.reason)

    def admit(self, arrival: Arrival, username: str, uuid: str, claim: Callable[[], T]) -> T:
        """Let a handshake connect: check it, and call ``claim()``, in one step.

        :param claim: gives the device its link; must not block.
        :returns: the result of ``claim()``.
        :raises TurnedAway: when it may not connect.
        """
        with self._lock:
            self.check(arrival, username, uuid)
            result = claim()
            number = arrival.number
            closure = Closure(number, ONLINE_ELSEWHERE, "online elsewhere", certain=number)
            self._remember((username, uuid), closure)
        return result

    def _remember(self, key: Key, closure: Closure) -> None:
        if closure.number <= self._oldest():
            return  # no handshake in progress is older
        known = self._closures.get(key)
        if known is not None:
            closure = closure.joined_with(known)
        self._closures[key] = closure
        heapq.heappush(self._by_number, _entry(key, closure))
        if known is None:
            self._count_device(*key)
        if len(self._by_number) > 2 * len(self._closures) + 100:
            self._by_number = [_entry(*item) for item in self._closures.items()]
            heapq.heapify(self._by_number)
        if len(self._closures) > MAX_CLOSURES:
            self._horizon = self._by_number[0][0]
            self._forget_until(self._horizon)

    def _count_device(self, username: str | None, uuid: str | None) -> None:
        """Count the closure of a device; beyond the limit, join the oldest with its user's."""
        if username is None or uuid is None:
            return
        uuids = self._devices.setdefault(username, set())
        uuids.add(uuid)
        if len(uuids) <= MAX_CLOSURES_OF_USER:
            return
        number, oldest = min((self._closures[username, other].number, other) for other in uuids)
        self._delete((username, oldest))
        # All older handshakes of the user are turned away, whatever their device is.
        self._remember((username, None), Closure(number, GOING_AWAY, TOO_LONG, certain=number))

    def _delete(self, key: Key) -> None:
        del self._closures[key]
        username, uuid = key
        if username is None or uuid is None:
            return
        uuids = self._devices[username]
        uuids.discard(uuid)
        if not uuids:
            del self._devices[username]

    def _forget_closures(self) -> None:
        if self._by_number:
            self._forget_until(self._oldest())

    def _forget_until(self, last: int) -> None:
        while self._by_number and self._by_number[0][0] <= last:
            number, _, key = heapq.heappop(self._by_number)
            closure = self._closures.get(key)
            if closure is not None and closure.number == number:
                self._delete(key)

    def _oldest(self) -> int:
        """Return the number of the oldest handshake in progress, or of the next one."""
        while self._in_progress:
            number, reference = next(iter(self._in_progress.items()))
            if reference() is not None:
                return number
            del self._in_progress[number]
        return next(self._numbers)


def _entry(key: Key, closure: Closure) -> tuple[int, bool, Key]:
    """Return a closure's number and key, for the heap.

    Keys cannot be compared, because of ``None``. Only a closure that was joined with that of its
    user may have the number of another one.
    """
    return closure.number, closure.reason is TOO_LONG, key
