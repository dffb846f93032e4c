"""The cluster from one node of a hub: it implements ``core.cluster.protocol``."""

from __future__ import annotations

import itertools
import secrets
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, TypeVar

import msgspec

from protoo_flask.core.cluster.items import AnyItem, Item
from protoo_flask.core.cluster.places import FULL, Claim, Place, Release, Telling, User
from protoo_flask.core.cluster.protocol import (
    AWAY,
    EVERY_NODE,
    SETTLING,
    UP,
    ClaimRefused,
    ClusterAway,
    ClusterHost,
    Traffic,
    Watcher,
)
from protoo_flask.core.clustered_rate_limit import Spending, Spent

from .clock import NodeScheduler
from .watches import Watches

if TYPE_CHECKING:
    from .in_process import Hub

#: Seconds without an answer after which a node knows that it is cut off.
DETECTION_TIME = 4.0

#: What is added to the clock for seconds since the epoch.
EPOCH = 1_700_000_000.0

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AnyItem)


class InProcessCluster:
    """The cluster from one node: a :class:`~protoo_flask.core.cluster.protocol.Cluster`.

    :ivar scheduler: of the app, and of what the host is told.
    :ivar watches: of users.
    :ivar silences: how often it has fallen silent, or was heard again.
    :ivar gaps: nodes of which items were lost, without notice so far.
    :ivar traffic: each item is a frame here.
    """

    def __init__(self, hub: Hub, scheduler: NodeScheduler) -> None:
        self._hub = hub
        self.scheduler = scheduler
        self.node = _new_id()
        self.status = AWAY
        self.reason = "not joined yet"
        self.is_connected = False
        self.is_cut = False
        self.silences = 0
        self.watches = Watches(self, hub.clock)
        self.gaps: set[str] = set()
        self.traffic = Traffic()
        self._host: ClusterHost
        self._is_joined = False
        self._former_ids: set[str] = set()
        self._graves_read = 0
        self._places: dict[tuple[str, str], Place] = {}
        self._homes: set[tuple[str, str]] = set()
        self._published: dict[str, dict[str, str | None]] = {}
        self._cache: dict[str, User] = {}
        self._telling_numbers = itertools.count(1)
        #: {number: username}, of events that have not been told yet.
        self.tellings: dict[int, str] = {}
        #: Sent, while nothing passes, and nobody knows that yet.
        self._in_limbo: list[tuple[str, Any]] = []
        self._frames: deque[tuple[str, str, bytes]] = deque()

    # Joining and leaving -----------------------------------------------------------------

    def start(self, host: ClusterHost) -> None:
        self._host = host
        self._hub.nodes.append(self)
        self.is_connected = True
        if self._hub.is_away:
            self.reason = "the directory refuses connections"
        else:
            self._join()
            self._set_status(SETTLING if self._hub.is_settling else UP)

    def _join(self) -> None:
        self._hub.tables.nodes.add(self.node)
        self._former_ids.add(self.node)
        if not self._is_joined:
            self._is_joined = True
            self._graves_read = len(self._hub.graves)

    def read_graves(self) -> None:
        """Tell the host of the nodes that have gone since it was told last."""
        for id in self._hub.graves[self._graves_read :]:
            if id not in self._former_ids:
                self.tell("node_gone", id)
        self._graves_read = len(self._hub.graves)

    def close(self) -> None:
        if not self.is_connected:
            return
        if self.is_reachable:
            self._hub.run()
            places = self._hub.tables.bury(self.node)
            self._hub.note_gone(self.node)
            self._hub.run()
            for place in places:
                self._hub.tables.release(place.username, place.uuid, place.token)
        else:
            self._hub.bury_later(self)
        self.is_connected = False
        self.watches.clear()
        self._places.clear()
        self.status, self.reason = AWAY, "has left"

    @property
    def is_alive(self) -> bool:
        return self.scheduler.state != "dead"

    @property
    def may_live(self) -> bool:
        """Whether it has joined, and others do not know that it is dead."""
        return self._is_joined and self.node not in self._hub.graves

    @property
    def is_reachable(self) -> bool:
        """Whether it may be told something by the directory now."""
        return (
            self.is_connected
            and self.scheduler.state == "running"
            and not self.is_cut
            and not self._hub.is_away
            and self.node in self._hub.tables.nodes
        )

    @property
    def held_back(self) -> list[Any]:
        """Items that are still under way."""
        return [*self._frames, *self._in_limbo]

    @property
    def claimed(self) -> list[Place]:
        """The places of this node, as it has them itself."""
        return list(self._places.values())

    def tell(self, method: str, *args: Any) -> None:
        """Have the host told something, after what it has been told before."""
        may_block = method not in ("receive", "lost", "probed", "may_have_lost")
        call = getattr(self._host, method)
        self._hub.clock.post(self.scheduler, call, *args, may_block=may_block)

    def _soon(self, function: Callable[..., None], *args: Any) -> None:
        self._hub.clock.post(self.scheduler, function, *args)

    # Status ------------------------------------------------------------------------------

    def _set_status(self, status: str, reason: str = "") -> None:
        if status == SETTLING:
            reason = "the directory is not complete yet"
        if (status, reason) != (self.status, self.reason):
            self.status, self.reason = status, reason
            self.tell("status_changed")

    def notice_absence(self, reason: str) -> None:
        """Go on without the directory. What was sent and has not been read is lost."""
        self._set_status(AWAY, reason)
        in_limbo, self._in_limbo = self._in_limbo, []
        for node, item in in_limbo:
            self.tell("lost", node, [item])

    def notice_cut(self, silence: int) -> None:
        if self.is_cut and self.silences == silence and self.is_alive:
            self.notice_absence("the directory does not answer")

    def beat(self) -> None:
        """Learn after a pause what others have made of it."""
        if self._hub.is_away or self.is_cut or not self.is_connected:
            return
        if self.node in self._hub.graves:
            self._rejoin()
        else:
            self.read_graves()
            self._read_frames()

    def mend(self) -> None:
        """Go on after a pause of the network."""
        if self.status == AWAY or self.node in self._hub.graves or self._hub.is_away:
            self.reconnect()
            return
        # The pause was a short one: what was sent arrives, what came did not.
        self.read_graves()
        in_limbo, self._in_limbo = self._in_limbo, []
        for node, item in in_limbo:
            self.send(node, item)
        self._cache.clear()
        self.watches.deliver_soon()

    def reconnect(self) -> None:
        """Be connected again: claim what is missing, release what has gone meanwhile."""
        if self._hub.is_away or self.is_cut:
            return
        if self._in_limbo:
            self.notice_absence("the directory does not answer")
        if self.node in self._hub.graves:
            self._rejoin()
            return
        was_joined = self._is_joined
        self._join()
        self.read_graves()
        self._claim_again()
        self._come_up(was_joined)

    def _rejoin(self) -> None:
        """Take note that this node was taken for dead: it has another id now."""
        former, self.node = self.node, _new_id()
        self._frames.clear()
        self._in_limbo.clear()
        self.gaps.clear()
        self._homes.clear()
        self._places.clear()
        self._join()
        self.read_graves()
        self.tell("fenced", former)
        self._claim_again()
        self._come_up()

    def _come_up(self, was_joined: bool = True) -> None:
        def come_up() -> None:
            if not self.is_reachable:
                return
            self._set_status(SETTLING if self._hub.is_settling else UP)
            self._cache.clear()
            self.watches.doubt_all()
            self.watches.deliver_soon()

        # Of those that have not been found dead; in an emptied directory, nobody is listed yet.
        for other in self._hub.nodes:
            if was_joined and other is not self and other.may_live:
                self.tell("may_have_lost", other.node)
        self._soon(come_up)
        self._read_frames()

    def settle(self) -> None:
        self._set_status(UP)
        self.watches.deliver_soon()

    def _claim_again(self) -> None:
        """Claim the local peers again; the host is asked after what it is told before."""

        def claim_again() -> None:
            tables = self._hub.tables
            if not self.is_reachable:
                return
            listed = set()
            for username, uuid, data, age, online in self._host.claims():
                listed.add((username, uuid))
                self._reclaim(username, uuid, data, age, online)
            for place in tables.places:
                if place.node == self.node and (place.username, place.uuid) not in listed:
                    tables.release(place.username, place.uuid, place.token)
                    self._places.pop((place.username, place.uuid), None)
            for kind, key in list(self._homes):
                if tables.take_home(self.node, kind, key) != self.node:
                    self._homes.discard((kind, key))
            for number, username in self.tellings.items():
                if username not in tables.tellings:
                    tables.begin_telling(username, Telling(self.node, number))
            for username, fields in list(self._published.items()):
                if any(name == username for name, _ in self._places):
                    tables.publish(username, fields)

        self._soon(claim_again)

    def _reclaim(self, username: str, uuid: str, data: bytes, age: float, online: bool) -> None:
        tables = self._hub.tables
        known = self._places.get((username, uuid))
        now = {place.uuid: place for place in tables.get(username).places}.get(uuid)
        if known is not None and now is not None and now.token == known.token:
            if now.online != online or now.data != data:
                tables.mark(username, uuid, now.token, online, data)
            return
        born = 0 if known is None else known.born
        since = EPOCH + self._hub.clock.time - age
        claim = tables.claim_again(
            Place(username, uuid, self.node, 0, born, online, since, data), self._former_ids
        )
        if claim is None:
            self._places.pop((username, uuid), None)
        else:
            self._note_place(username, uuid)
        self._host.claimed(username, uuid, claim)

    def _note_place(self, username: str, uuid: str) -> None:
        for place in self._hub.tables.get(username).places:
            if place.uuid == uuid:
                self._places[username, uuid] = place

    # Questions ---------------------------------------------------------------------------

    def _ask(self, what: str, function: Callable[..., T], *args: Any) -> T:
        """Return what the directory answers. What this node has sent before comes first."""
        self._hub.clock.note_blocking(what)
        self._hub.run()
        if self.is_cut and self.status != AWAY:
            self._hub.advance(DETECTION_TIME)
        if self.status == AWAY or self._hub.is_away or self.is_cut:
            raise ClusterAway(self.reason)
        if self.node not in self._hub.tables.nodes:
            self._rejoin()
            self._hub.run()
        return function(*args)

    def claim(self, username: str, uuid: str, data: bytes, limit: int) -> Claim:
        claim = self._ask("claim()", self._claim, username, uuid, data, limit)
        if claim.verdict != FULL:
            self._note_place(username, uuid)
        return claim

    def _claim(self, username: str, uuid: str, data: bytes, limit: int) -> Claim:
        if self._hub.refusal is not None:
            raise ClaimRefused(self._hub.refusal)
        claim = self._hub.tables.claim(self.node, username, uuid, data, limit)
        claim = claim._replace(node=self.node)
        for place in (claim.former, claim.gave_way):
            former = None if place is None else self._hub.find_node(place.node)
            if place is not None and former is not None and former is not self:
                former.forget(place)
        return claim

    def forget(self, place: Place) -> None:
        """Take note that another node has taken a place of this one."""
        known = self._places.get((place.username, place.uuid))
        if known is not None and known.token == place.token:
            del self._places[place.username, place.uuid]

    def find(self, username: str | None) -> list[Place]:
        return list(self._ask("find()", self._find, username))

    def _find(self, username: str | None) -> tuple[Place, ...]:
        if username is None:
            return tuple(self._hub.tables.places)
        return self.read(username).places

    def get_presence(self, username: str) -> User:
        return self._ask("get_presence()", self.read, username)

    def read(self, username: str) -> User:
        self._cache[username] = user = self._hub.tables.get(username)
        return user

    def look(self, username: str) -> list[Place] | None:
        user = self._cache.get(username)
        return None if user is None else list(user.places)

    def take_home(self, kind: str, key: str) -> str:
        return self._ask("take_home()", self._take_home, kind, key)

    def _take_home(self, kind: str, key: str) -> str:
        tables = self._hub.tables
        home = tables.homes.get((kind, key))
        if home is None and self._hub.refusal is not None:
            raise ClaimRefused(self._hub.refusal)
        if home is None and self._hub.is_settling:
            raise ClusterAway(self.reason)
        home = tables.take_home(self.node, kind, key)
        if home == self.node:
            self._homes.add((kind, key))
        return home

    # Orders ------------------------------------------------------------------------------

    def _order(self, function: Callable[[], None]) -> None:
        """Do something soon, after what this node has ordered before."""
        self._hub.clock.post(self.scheduler, function, is_serial=False)

    @property
    def _can_write(self) -> bool:
        return (
            not (self.status == AWAY or self._hub.is_away or self.is_cut)
            and self.node in self._hub.tables.nodes
        )

    def begin_telling(self, username: str) -> int:
        number = next(self._telling_numbers)
        self.tellings[number] = username
        return number

    def is_telling(self, number: int) -> bool:
        return number in self.tellings

    def end_telling(self, number: int) -> None:
        username = self.tellings.pop(number, None)

        def end_telling() -> None:
            if username is not None and self._can_write:
                self._hub.tables.end_telling(username, Telling(self.node, number))

        self._order(end_telling)

    def release(
        self,
        username: str,
        uuid: str,
        token: int,
        then: Callable[[Release | None], None],
        telling: int = 0,
    ) -> None:
        def release() -> None:
            place = self._places.get((username, uuid))
            if place is not None and place.token == token:
                del self._places[username, uuid]
            outcome = None
            if self.status != AWAY and not self._hub.is_away and not self.is_cut:
                events = Telling(self.node, telling) if telling else None
                outcome = self._hub.tables.release(username, uuid, token, events)
            self._hub.clock.post(self.scheduler, then, outcome, is_serial=False)

        self._order(release)

    def give(
        self, username: str, uuid: str, token: int, node: str, then: Callable[[bool], None]
    ) -> None:
        def give() -> None:
            is_given = self._can_write and self._hub.tables.give(username, uuid, token, node)
            if is_given:
                self._places.pop((username, uuid), None)
            self._hub.clock.post(self.scheduler, then, is_given, is_serial=False)

        self._order(give)

    def take(self, username: str, uuid: str, token: int, born: int) -> None:
        def take() -> None:
            for place in self._hub.tables.get(username).places:
                if (place.uuid, place.node, place.token) == (uuid, self.node, token):
                    self._places[username, uuid] = place

        self._order(take)

    def others(self) -> list[str]:
        return [node for node in self._hub.tables.nodes if node != self.node]

    def mark(
        self, username: str, uuid: str, token: int, online: bool, data: bytes | None = None
    ) -> None:
        def mark() -> None:
            if self._can_write:
                place = self._hub.tables.mark(username, uuid, token, online, data)
                if place is not None:
                    self._places[username, uuid] = place

        self._order(mark)

    def publish(self, username: str, fields: dict[str, str | None]) -> None:
        def publish() -> None:
            if any(name == username for name, _ in self._places):
                self._published[username] = {**self._published.get(username, {}), **fields}
            else:
                self._published.pop(username, None)
            if self._can_write:
                self._hub.tables.publish(username, fields)

        self._order(publish)

    def leave_home(self, kind: str, key: str) -> None:
        def leave_home() -> None:
            self._homes.discard((kind, key))
            if self._can_write:
                self._hub.tables.leave_home(self.node, kind, key)

        self._order(leave_home)

    # Watching ----------------------------------------------------------------------------

    def watch(self, username: str, function: Watcher) -> None:
        self.watches.add(username, function)

    def unwatch(self, username: str, function: Watcher) -> None:
        self.watches.remove(username, function)

    def invalidate(self, username: str) -> None:
        """Take note that a user has changed."""
        if not self.is_connected or not self.is_alive:
            return
        if not self.watches.invalidate(username) and not (self.is_cut or self.status == AWAY):
            # As of CLIENT TRACKING: it is forgotten, and read again when somebody asks.
            self._soon(self._cache.pop, username, None)

    def spend(self, spending: Spending, then: Callable[[Spent | None], Any]) -> None:
        if self.status == AWAY or self._hub.is_away or self.is_cut:
            self._soon(then, None)
            return

        def spend() -> None:
            then(self._hub.tables.spend(spending) if self._can_write else None)

        self._order(spend)

    # The bus -----------------------------------------------------------------------------

    def send(self, node: str, item: Item) -> None:
        self.traffic = self.traffic._replace(sent=self.traffic.sent + 1)
        # Encoded here: it may change afterwards, and real ones have to be encodable, too.
        frame = _encoder.encode(item)
        if node == EVERY_NODE:
            if self.status == AWAY:
                self.tell("lost", node, [item])
                return
            if self.is_cut:
                self._in_limbo.append((node, item))
                return
            targets = [other for other in self._hub.nodes if other is not self]
            for other in targets:
                if other.is_alive and other.is_connected:
                    self._hub.carry(self.node, other, frame)
        elif node == self.node:
            self.tell("receive", node, _decoder.decode(frame))
        else:
            self._send_to(node, frame)

    def _send_to(self, node: str, frame: bytes) -> None:
        item = _decoder.decode(frame)
        if self.status == AWAY:
            self.tell("lost", node, [item])
        elif self.is_cut:
            self._in_limbo.append((node, item))
        else:
            receiver = self._hub.find_node(node)
            if receiver is None:
                self.tell("lost", node, [item])
                self.tell("probed", node, False)
            else:
                self._hub.carry(self.node, receiver, frame)

    def probe(self, node: str) -> None:
        if self.status != AWAY and not self.is_cut:
            self.tell("probed", node, self._hub.find_node(node) is not None)

    def arrive(self, sender: str, receiver: str, frame: bytes) -> None:
        """Take what the bus brings; ``receiver`` is the id that it was sent to."""
        if not self.is_alive or receiver != self.node:
            return
        if self.is_cut or self._hub.is_away:
            # The bus has it, and cannot bring it.
            self.gaps.add(sender)
            return
        self._frames.append((sender, receiver, frame))
        self._soon(self._read_frames)

    def _read_frames(self) -> None:
        while self._frames:
            sender, receiver, frame = self._frames[0]
            if sender not in self._hub.tables.nodes or receiver != self.node:
                self._frames.popleft()  # of a node that was taken for dead
                continue
            if self.node not in self._hub.tables.nodes:
                return  # nothing is taken until a beat has been answered
            self._frames.popleft()
            if sender in self.gaps:
                self.gaps.discard(sender)
                self.traffic = self.traffic._replace(gaps=self.traffic.gaps + 1)
                self.tell("may_have_lost", sender)
            self.traffic = self.traffic._replace(received=self.traffic.received + 1)
            self.tell("receive", sender, _decoder.decode(frame))


def _new_id() -> str:
    return secrets.token_hex(6)
