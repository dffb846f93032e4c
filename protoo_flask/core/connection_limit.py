"""A limit on the connections that each address has at a time.

An address has a number of *seats*. A handshake takes one when it comes, and its connection gives it
back when it is not open any more. A handshake that finds no seat may still be that of a device
which has lost its connection, and comes back before the server knows. So as many handshakes as
there are seats may go on without one, until their devices are known:

=============  ====================================  ======================================
place          event                                 then
=============  ====================================  ======================================
(none)         a handshake comes, a seat is free     seated
(none)         it comes, no seat is free             waiting; too many wait: refused
waiting        its device is known, a seat is free   seated
waiting        ... is connected by another seat      seated: it has the seat of that place
waiting        ... is not                            refused
seated         its connection is open                open; the other place has no seat
seated, open   it fails, or is not open any more     gone: the seat is free. If it had that of
                                                     another place, which is open: back there
=============  ====================================  ======================================

So an address never has more seats than the limit, and no seat is lost.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ContextManager, Tuple

#: Username and uuid.
Device = Tuple[str, str]


class Place:
    """The place of a handshake, and then of its connection.

    One that is forgotten gives its seat back: a response that the site has thrown away takes its
    handshake with it, and nobody is told.

    :ivar address: whose place it is.
    :ivar device: the device that it is for, when that is known.
    :ivar has_seat: whether it has one of the seats of the address.
    :ivar is_open: whether its connection is open.
    :ivar has_left: whether it is over.
    :ivar former: the place of the same device that had this seat before.
    """

    __slots__ = ("_limit", "address", "device", "former", "has_left", "has_seat", "is_open")

    def __init__(self, limit: ConnectionLimit, address: str, has_seat: bool) -> None:
        self._limit = limit
        self.address = address
        self.has_seat = has_seat
        self.device: Device | None = None
        self.is_open = False
        self.has_left = False
        self.former: Place | None = None

    def __del__(self) -> None:
        if not self.has_left:
            self._limit.forget(self)

    def may_connect(self, device: Device) -> bool:
        """Whether a device may connect in this place."""
        return self._limit.may_connect(self, device)

    def open(self) -> None:
        """Take note that the connection is open."""
        self._limit.open(self)

    def leave(self) -> None:
        """Take note that the handshake has failed, or that the connection is not open any more.

        A second time does no harm.
        """
        self._limit.leave(self)


class _Address:
    """The places of one address.

    :ivar seats: how many are taken.
    :ivar waiting: handshakes without one.
    :ivar open: the latest open place of each device.
    """

    __slots__ = ("open", "seats", "waiting")

    def __init__(self) -> None:
        self.seats = 0
        self.waiting = 0
        self.open: dict[Device, Place] = {}


class ConnectionLimit:
    """The connections of all addresses.

    :param seats: how many connections one address may have.
    :param lock: re-entrant; nothing is called while it is held.
    """

    def __init__(self, seats: int, lock: ContextManager[Any]) -> None:
        self.seats = seats
        self._lock = lock
        self._addresses: dict[str, _Address] = {}
        #: Places that were forgotten. Python may do that in the middle of the methods below.
        self._forgotten: deque[Place] = deque()

    def __len__(self) -> int:
        """The number of addresses that have connections."""
        with self._lock:
            self._take_back()
            return len(self._addresses)

    def count(self, address: str) -> int:
        """Return how many seats of an address are taken."""
        with self._lock:
            self._take_back()
            found = self._addresses.get(address)
            return 0 if found is None else found.seats

    def enter(self, address: str) -> Place | None:
        """Return the place of a handshake; ``None``: it is refused."""
        with self._lock:
            self._take_back()
            found = self._addresses.get(address)
            if found is None:
                found = self._addresses[address] = _Address()
            if found.seats < self.seats:
                found.seats += 1
                return Place(self, address, has_seat=True)
            if found.waiting < self.seats:
                found.waiting += 1
                return Place(self, address, has_seat=False)
            return None

    def would_admit(self, address: str, device: Device) -> bool:
        """Whether a device might connect now."""
        with self._lock:
            self._take_back()
            found = self._addresses.get(address)
            if found is None or found.seats < self.seats:
                return True
            former = found.open.get(device)
            return former is not None and former.has_seat

    def may_connect(self, place: Place, device: Device) -> bool:
        """See :meth:`Place.may_connect`."""
        with self._lock:
            self._take_back()
            if place.has_left:
                return False
            address = self._addresses[place.address]
            if place.former is not None and place.device != device:
                # The site has changed its mind about the device.
                self._give_back(address, place)
                address.waiting += 1
            place.device = device
            if place.has_seat:
                return True
            former = address.open.get(device)
            if address.seats < self.seats:
                address.seats += 1
            elif former is not None and former.has_seat:
                former.has_seat = False
                place.former = former
            else:
                return False
            address.waiting -= 1
            place.has_seat = True
            return True

    def open(self, place: Place) -> None:
        """See :meth:`Place.open`."""
        with self._lock:
            if not place.has_left:
                assert place.device is not None
                place.is_open = True
                # The device has one connection: the former is being closed.
                place.former = None
                self._addresses[place.address].open[place.device] = place

    def leave(self, place: Place) -> None:
        """See :meth:`Place.leave`."""
        with self._lock:
            if place.has_left:
                return
            place.has_left = True
            address = self._addresses[place.address]
            if place.has_seat:
                self._give_back(address, place)
            elif not place.is_open:
                address.waiting -= 1
            if place.device is not None and address.open.get(place.device) is place:
                del address.open[place.device]
            if not (address.seats or address.waiting or address.open):
                del self._addresses[place.address]

    def leave_all(self) -> None:
        """Take note that no connection is open any more; handshakes are in progress."""
        with self._lock:
            for address in list(self._addresses.values()):
                for place in list(address.open.values()):
                    self.leave(place)

    def forget(self, place: Place) -> None:
        """Take note that nobody has a place any more."""
        self._forgotten.append(place)

    def _give_back(self, address: _Address, place: Place) -> None:
        """Free the seat of a place, or give it back to the place that had it before."""
        former, place.former = place.former, None
        place.has_seat = False
        if former is not None and not former.has_left:
            former.has_seat = True
        else:
            address.seats -= 1

    def _take_back(self) -> None:
        while self._forgotten:
            self.leave(self._forgotten.popleft())
