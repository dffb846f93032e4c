"""A cluster whose items arrive at once, for tests of locks and of threads.

It has one directory in memory, no faults, and no clock.
"""

from __future__ import annotations

import itertools
from typing import Any, Callable

from protoo_flask.core.cluster.places import NEW, TAKEN, Claim, Place, Release, User


class Loopback:
    """The directory, and all nodes: ``{id: LoopbackCluster}``."""

    def __init__(self) -> None:
        self.nodes: dict[str, LoopbackCluster] = {}
        self.places: dict[str, dict[str, Place]] = {}
        self.tokens = itertools.count(1)


class LoopbackCluster:
    """The cluster from one node.

    :param check: called where something may block.
    :param spawn: calls a function in a greenlet or thread of its own.
    """

    status = "up"
    reason = ""

    def __init__(
        self, loopback: Loopback, node: str, check: Callable[[], Any], spawn: Callable[..., Any]
    ) -> None:
        self.node = node
        self._loopback = loopback
        self._check = check
        self._spawn = spawn
        self._watchers: list[tuple[str, Callable[[User], Any]]] = []
        self._host: Any = None
        self._tellings: set[int] = set()
        loopback.nodes[node] = self

    def start(self, host: Any) -> None:
        self._host = host

    def close(self) -> None:
        pass

    def claim(self, username: str, uuid: str, data: bytes, limit: int) -> Claim:
        self._check()
        devices = self._loopback.places.setdefault(username, {})
        former, token = devices.get(uuid), next(self._loopback.tokens)
        born = token if former is None else former.born
        is_first = not devices
        devices[uuid] = Place(username, uuid, self.node, token, born, True, 0.0, data)
        self._changed(username)
        verdict = NEW if former is None else TAKEN
        return Claim(verdict, token, born, is_first, former, node=self.node)

    def begin_telling(self, username: str) -> int:
        number = next(self._loopback.tokens)
        self._tellings.add(number)
        return number

    def is_telling(self, number: int) -> bool:
        return number in self._tellings

    def end_telling(self, number: int) -> None:
        self._tellings.discard(number)

    def release(
        self, username: str, uuid: str, token: int, then: Callable[..., Any], telling: int = 0
    ) -> None:
        devices = self._loopback.places.get(username, {})
        place = devices.get(uuid)
        was_mine = place is not None and place.token == token
        if was_mine:
            del devices[uuid]
            self._changed(username)
        self._spawn(then, Release(was_mine, was_mine and not devices))

    def mark(
        self, username: str, uuid: str, token: int, online: bool, data: bytes | None = None
    ) -> None:
        devices = self._loopback.places[username]
        if devices[uuid].token == token:
            devices[uuid] = devices[uuid]._replace(online=online)
            self._changed(username)

    def find(self, username: str | None) -> list[Place]:
        self._check()
        found = [self.look(name) for name in self._loopback.places if username in (None, name)]
        return [place for places in found for place in places]

    def look(self, username: str) -> list[Place]:
        return list(self._loopback.places.get(username, {}).values())

    def watch(self, username: str, function: Callable[[User], Any]) -> None:
        self._watchers.append((username, function))

    def unwatch(self, username: str, function: Callable[[User], Any]) -> None:
        self._watchers.remove((username, function))

    def get_presence(self, username: str) -> User:
        self._check()
        return User(tuple(self.look(username)))

    def publish(self, username: str, fields: dict[str, str | None]) -> None:
        pass

    def take_home(self, kind: str, key: str) -> str:
        self._check()
        return self.node

    def leave_home(self, kind: str, key: str) -> None:
        pass

    def spend(self, spending: Any, then: Callable[[Any], Any]) -> None:
        then(None)

    def send(self, node: str, item: Any) -> None:
        for other in list(self._loopback.nodes.values()):
            if node in ("", other.node) and (node or other is not self):
                self._spawn(other._host.receive, self.node, item)

    def probe(self, node: str) -> None:
        pass

    def _changed(self, username: str) -> None:
        user = User(tuple(self.look(username)))
        for node in list(self._loopback.nodes.values()):
            for name, function in list(node._watchers):
                if name == username:
                    node._spawn(function, user)
