"""The registry: which node owns which device, kept in Redis; the directory half of the cluster.

How the parts are joined (``redis_cluster``)::

    calls = HostCalls(loop)                       # one function after the other, in a greenlet
    wires = Wires(loop, Keys(prefix))
    registry = Registry(wires, calls.post)
    lease = Lease(wires, registry, host, calls.post, subscribe, node_timeout)

    lease.connected(writer, reader)               # blocks until joined; connections just opened
    registry.take_push([b"invalidate", ...])      # the reader's push messages of this kind
    lease.disconnected(reason)                    # one of the two has ended
    lease.status, lease.reason, lease.is_deaf, wires.node, wires.nodes
    lease.forget(node)                            # it has said goodbye on the bus
    lease.leave()                                 # blocks; two seconds at most

``subscribe(node)`` is called before the node joins under an id, the first one and each new one
after having been fenced. It may block until the channel of that id is heard.

The methods of ``Cluster`` from ``claim`` to ``spend`` are those of the :class:`Registry`.
"""

from __future__ import annotations

from typing import Any, Callable

from ..core.cluster.places import Place, User
from ..core.cluster.protocol import ClusterAway, Watcher
from ..core.excerpts import excerpt
from . import node_scripts, scripts
from .buckets import Buckets
from .claims import Claims
from .connection import RedisConnection, RedisError
from .entries import read_user
from .gifts import Gifts
from .homes import HomeTable
from .keys import read_members, text_bytes
from .lookups import Lookups
from .replies import Replies
from .scripts import KEEPING_TIME
from .watches import Watches
from .wires import ANSWER_TIME, BATCH, Wires


class Registry:
    """The registry, from one node.

    :param post: ``post(function, *args)``: has a function called in order, where it may block.
    """

    def __init__(self, wires: Wires, post: Callable[..., None]) -> None:
        self._wires = wires
        self._loop = wires.loop
        self._keys = wires.keys
        self._post = post
        self._lock = wires.loop.lock()
        self.lookups = Lookups(wires.loop, wires.keys)
        self.watches = Watches(wires.loop, self.lookups, post)
        self.homes = HomeTable(wires)
        self.spend = Buckets(wires).spend
        self.claims = Claims(wires, self.lookups, post, self._forget_published)
        self.claim, self.release = self.claims.claim, self.claims.release
        self.tellings = self.claims.tellings
        self.gifts = Gifts(wires, self.lookups, self.claims, post)
        self.give, self.take = self.gifts.give, self.gifts.take
        self.on_flush: Callable[[], Any] = lambda: None
        #: ``{username: fields}`` that this node has published, of users with devices here.
        self.published: dict[str, dict[str, str | None]] = {}

    # The connections -----------------------------------------------------------------------

    def open(self, writer: RedisConnection, reader: RedisConnection) -> None:
        """Use these connections from now on."""
        for script in (*scripts.ALL, *node_scripts.ALL):
            script.load(writer)
        self.lookups.begin(reader)
        self._wires.open_writer = writer
        self.claims.release_owed()
        self.homes.leave_owed()

    def end(self, reason: str) -> None:
        """Take note that a connection has ended."""
        self.claims.end_settling()
        self._wires.reason = reason
        self._wires.open_writer = None
        self.watches.suspend()
        self.lookups.end()

    def clear(self) -> None:
        """Forget everything: this node has left."""
        self.watches.clear()
        self.claims.clear()
        self.published.clear()

    def resume(self) -> None:
        """Take note that the directory is complete: watchers are told again."""
        if self._wires.open_writer is not None:
            self.watches.resume()

    def take_push(self, message: list[Any]) -> None:
        """Take an invalidation of the reader: ``[b"invalidate", keys]``; ``None``: of all."""
        keys = message[1]
        if keys is None:
            # FLUSHALL, or a replica that reads everything anew: nobody is to be told "offline".
            self.watches.suspend()
            self.lookups.forget_all()
            self.on_flush()
            return
        for username in self.lookups.invalidate(keys):
            self.watches.changed(username)

    # Devices, presence ---------------------------------------------------------------------

    def mark(
        self, username: str, uuid: str, token: int, online: bool, data: bytes | None = None
    ) -> None:
        """See ``Cluster.mark``."""
        self._wires.run(self._mark, username, uuid, token, online, data)

    def _mark(self, username: str, uuid: str, token: int, online: bool, data: bytes | None) -> None:
        writer = self._wires.open_writer
        if writer is None:
            return  # a claim that is made up says it
        scripts.MARK.ask(
            writer,
            lambda reply: self._noted("a device that has dropped, or is back", username, reply),
            *(self._keys.user(username), text_bytes(uuid), token, "c" if online else "a"),
            *("0" if data is None else "1", data or b""),
        )

    def publish(self, username: str, fields: dict[str, str | None]) -> None:
        """See ``Cluster.publish``."""
        with self._lock:
            self.published.setdefault(username, {}).update(fields)
        self._wires.run(self.send_published, username, fields)

    def _forget_published(self, username: str) -> None:
        self.published.pop(username, None)

    def send_published(self, username: str, fields: dict[str, str | None]) -> None:
        writer = self._wires.open_writer
        if writer is None:
            return  # it is sent when the connection is back
        args: list[bytes] = []
        for name in ("status", "note"):
            if name not in fields:
                args += [b"-", b""]
                continue
            value = fields[name]
            args += [b"0", b""] if value is None else [b"=", text_bytes(value)]

        def take(reply: Any) -> None:
            if reply == 0:
                with self._lock:
                    self.published.pop(username, None)
            self._noted("a status", username, reply)

        scripts.PUBLISH.ask(writer, take, self._keys.user(username), *args, KEEPING_TIME)

    def _noted(self, what: str, username: str, reply: Any) -> None:
        if isinstance(reply, RedisError):
            self._wires.logger.error(
                "Redis has not noted %s of %s: %s", what, excerpt(username), reply
            )
        elif not isinstance(reply, Exception):
            self.lookups.forget(username)

    # Lookups ---------------------------------------------------------------------------------

    def find(self, username: str | None) -> list[Place]:
        """See ``Cluster.find``."""
        return self._find_all() if username is None else list(self.get_presence(username).places)

    def look(self, username: str) -> list[Place] | None:
        """See ``Cluster.look``."""
        user = self.lookups.look(username)
        return None if user is None else list(user.places)

    def get_presence(self, username: str) -> User:
        """See ``Cluster.get_presence``."""
        if self.lookups.is_true:
            user = self.lookups.look(username)
            if user is not None:
                return user
        if self._wires.open_writer is None:
            raise ClusterAway(self._wires.reason)
        replies = Replies(self._loop)
        self._wires.run(self.lookups.ask, username, replies.expect())
        found = replies.wait(ANSWER_TIME)[0]
        if isinstance(found, User):
            return found
        if isinstance(found, RedisError):
            raise ClusterAway(f"Redis tells nothing of {excerpt(username)}: {found}")
        raise ClusterAway(f"Redis is away: {found}")

    def _find_all(self) -> list[Place]:
        """Return the devices of all nodes. By the writer: Redis does not track what it reads."""
        usernames: set[str] = set()
        nodes = [node.decode() for node in self._wires.ask_all([(b"HKEYS", self._keys.beat)])[0]]
        sets = [(b"SMEMBERS", self._keys.claims(node)) for node in nodes]
        for members in self._wires.ask_all(sets):
            usernames.update(member.username for member in read_members(members))
        names = sorted(usernames)
        places: list[Place] = []
        for start in range(0, len(names), BATCH):
            some = names[start : start + BATCH]
            commands = [(b"HGETALL", self._keys.user(name)) for name in some]
            for name, fields in zip(some, self._wires.ask_all(commands)):
                places += read_user(name, fields).places
        return places

    # Watching --------------------------------------------------------------------------------

    def watch(self, username: str, function: Watcher) -> None:
        """See ``Cluster.watch``."""
        self._wires.run(self.watches.add, username, function)

    def unwatch(self, username: str, function: Watcher) -> None:
        """See ``Cluster.unwatch``."""
        self._wires.run(self.watches.remove, username, function)

    # Homes -----------------------------------------------------------------------------------

    def take_home(self, kind: str, key: str) -> str:
        """See ``Cluster.take_home``."""
        # Redis may have been emptied, and the node that has the home is about to enter it again.
        # Taken now, it would be at both.
        if not self.claims.await_completion():
            raise ClusterAway("other nodes claim their peers again")
        return self.homes.take(kind, key)

    def leave_home(self, kind: str, key: str) -> None:
        """See ``Cluster.leave_home``."""
        self.homes.leave(kind, key)
