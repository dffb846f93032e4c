"""The tables of a directory: what Redis keeps for a cluster, in memory and in plain Python."""

from __future__ import annotations

import itertools
from typing import Callable

from protoo_flask.core.cluster.places import (
    FULL,
    NEW,
    TAKEN,
    Claim,
    Place,
    Presence,
    Release,
    Telling,
    User,
)
from protoo_flask.core.clustered_rate_limit import Spending, Spent

#: Seconds after which nobody is told any more of events that have not been told yet.
TELLING_TIME = 60.0


class Tables:
    """Who is where, and what is at home where.

    :param now: returns seconds since the epoch.
    :param changed: called with the name of each user that changes.
    :ivar nodes: the ids of the nodes that are not taken for dead.
    :ivar homes: ``{(kind, key): node}``.
    """

    def __init__(self, now: Callable[[], float], changed: Callable[[str], None]) -> None:
        self._now = now
        self._changed = changed
        self._tokens = itertools.count(1)
        self.nodes: set[str] = set()
        self.homes: dict[tuple[str, str], str] = {}
        self._users: dict[str, dict[str, Place]] = {}
        self._presences: dict[str, Presence] = {}
        self._full_at: dict[str, float] = {}
        self._tellings: dict[str, tuple[float, Telling]] = {}

    def clear(self) -> None:
        """Forget everything, as a Redis without persistence that is started again.

        Numbers of claims go on: they must not come twice.
        """
        self.nodes.clear()
        self.homes.clear()
        self._full_at.clear()
        self._users.clear()
        self._presences.clear()
        self._tellings.clear()

    # Events ------------------------------------------------------------------------------

    @property
    def tellings(self) -> dict[str, Telling]:
        """The latest events of each user that have not been told yet."""
        now = self._now()
        return {name: found for name, (until, found) in self._tellings.items() if until > now}

    def begin_telling(self, username: str, telling: Telling) -> Telling | None:
        """Enter the latest events of a user; returns those before."""
        before = self.tellings.get(username)
        self._tellings[username] = self._now() + TELLING_TIME, telling
        return before

    def end_telling(self, username: str, telling: Telling) -> None:
        if self.tellings.get(username) == telling:
            del self._tellings[username]

    @property
    def places(self) -> list[Place]:
        return [place for devices in self._users.values() for place in devices.values()]

    def get(self, username: str) -> User:
        devices = self._users.get(username, {})
        presence = self._presences.get(username, Presence())
        places = sorted(devices.values(), key=lambda place: place.born)
        return User(tuple(places), presence)

    # Devices -----------------------------------------------------------------------------

    def claim(self, node: str, username: str, uuid: str, data: bytes, limit: int) -> Claim:
        devices = self._users.get(username, {})
        former = devices.get(uuid)
        if former is not None:
            place = self._put(former._replace(node=node, online=True, since=self._now(), data=data))
            return Claim(TAKEN, place.token, place.born, False, former)
        gave_way = None
        if len(devices) >= limit:
            away = [place for place in devices.values() if not place.online]
            if not away:
                return Claim(FULL)
            gave_way = min(away, key=lambda place: place.token)
            del devices[gave_way.uuid]
        place = self._put(Place(username, uuid, node, 0, 0, True, self._now(), data))
        return Claim(
            NEW,
            place.token,
            place.born,
            len(devices) == 0 and not gave_way,
            None,
            gave_way,
            self.tellings.get(username),
        )

    def claim_again(self, mine: Place, former_ids: set[str]) -> Claim | None:
        """Enter a device that its owner has kept while the directory had lost it.

        :param mine: with ``born`` of the claim before; 0 without one.
        :param former_ids: of the owner.
        :returns: ``None`` when a younger link elsewhere has it.
        """
        former = self._users.get(mine.username, {}).get(mine.uuid)
        is_first = mine.username not in self._users
        if former is None:
            place = self._put(mine)
            telling = self.tellings.get(mine.username)
            return Claim(NEW, place.token, place.born, is_first, telling=telling)
        if former.node not in {mine.node, *former_ids} and former.since > mine.since:
            return None
        place = self._put(mine._replace(born=former.born))
        return Claim(TAKEN, place.token, place.born, False, former)

    def _put(self, place: Place) -> Place:
        """Enter a place under a new token; returns it with that."""
        token = next(self._tokens)
        place = place._replace(token=token, born=place.born or token)
        devices = self._users.get(place.username)
        if devices is None:
            devices = self._users[place.username] = {}
            self._presences[place.username] = Presence(since=self._now())
        devices[place.uuid] = place
        self._changed(place.username)
        return place

    def release(
        self, username: str, uuid: str, token: int, telling: Telling | None = None
    ) -> Release:
        """Take a device off.

        :param telling: the events that it leads to.
        """
        devices = self._users.get(username, {})
        place = devices.get(uuid)
        if place is None or place.token != token:
            return Release(False, False)
        del devices[uuid]
        if not devices:
            del self._users[username]
            self._presences[username] = Presence(since=self._now())
        self._changed(username)
        before = None if telling is None else self.begin_telling(username, telling)
        return Release(True, not devices, before)

    def mark(
        self, username: str, uuid: str, token: int, online: bool, data: bytes | None
    ) -> Place | None:
        """Returns the place as it is now; ``None`` when the token is another one."""
        devices = self._users.get(username, {})
        place = devices.get(uuid)
        if place is None or place.token != token:
            return None
        if online and not place.online:
            place = place._replace(since=self._now())
        place = place._replace(online=online, data=place.data if data is None else data)
        if place != devices[uuid]:
            devices[uuid] = place
            self._changed(username)
        return place

    def give(self, username: str, uuid: str, token: int, node: str) -> bool:
        """Give a device that is away to another node."""
        devices = self._users.get(username, {})
        place = devices.get(uuid)
        if place is None or place.token != token or node not in self.nodes:
            return False
        devices[uuid] = place._replace(node=node, online=False)
        self._changed(username)
        return True

    def publish(self, username: str, fields: dict[str, str | None]) -> None:
        if username not in self._users:
            return
        presence = self._presences[username]
        changed = presence._replace(**fields)
        if changed.status != presence.status:
            changed = changed._replace(since=self._now())
        if changed != presence:
            self._presences[username] = changed
            self._changed(username)

    # Homes -------------------------------------------------------------------------------

    def take_home(self, node: str, kind: str, key: str) -> str:
        home = self.homes.get((kind, key))
        if home is None or home not in self.nodes:
            self.homes[kind, key] = home = node
        return home

    def leave_home(self, node: str, kind: str, key: str) -> None:
        if self.homes.get((kind, key)) == node:
            del self.homes[kind, key]

    # Rates -------------------------------------------------------------------------------

    def spend(self, spending: Spending) -> Spent:
        now, most = self._now(), 2 * spending.capacity
        deficit = min(max(self._full_at.get(spending.bucket, 0.0) - now, 0.0), most)
        if spending.is_surely and deficit + spending.seconds > spending.capacity + 1e-6:
            return Spent(False, deficit)
        deficit = max(min(deficit + spending.seconds, most), 0.0)
        self._full_at[spending.bucket] = now + deficit
        return Spent(True, deficit)

    # Nodes -------------------------------------------------------------------------------

    def bury(self, node: str) -> list[Place]:
        """Take a node for dead; returns the places that are to be released.

        Homes are forgotten when somebody asks for them; a test wants to see them go.
        """
        self.nodes.discard(node)
        self.homes = {key: home for key, home in self.homes.items() if home != node}
        return [place for place in self.places if place.node == node]
