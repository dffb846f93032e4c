"""The lease: how a node shows that it is alive, and what it does when others have doubted it.

===============  ==========================================================================
a beat says      then
===============  ==========================================================================
ok               nodes whose counters stand still are buried; open graves are worked on
lost             Redis is empty, or its data are older than this node. This node joins by the
                 same id, and claims its peers again; the directory is settling until the other
                 known nodes have done so, too
fenced           others have taken this node for dead. It joins by a new id, and claims its
                 peers again, which are new ones for everybody
no answer        the connection is ended, and opened anew
===============  ==========================================================================

A node that was stopped and goes on may have been buried meanwhile: until a beat has been answered,
it is deaf, and takes nothing from the bus. New claims wait for that, too: by its former id, they
would be buried. Its earlier claims change nothing that it does not own any more: the tokens
prevent that.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Any, Callable

from ..core.cluster.places import Telling
from ..core.cluster.protocol import AWAY, EVERY_NODE, SETTLING, UP, ClusterAway, ClusterHost
from ..core.scheduling import Event
from . import node_scripts
from .audit import Audit
from .burial import Burial
from .connection import ConnectionLost, RedisConnection, RedisError
from .pulses import Pulses
from .rebuild import Rebuild
from .registry import Registry
from .replies import Replies
from .scripts import KEEPING_TIME, Script
from .settling import REBUILDING, SETTLED, WAITING, Settling
from .wires import BATCH, Wires

#: Parts of the node timeout.
BEATS = 5
DEAFNESS = 0.4

#: Parts of the time between beats that are between two readings of the others' beats, at least.
#: Less, and three readings would come before a node that was stopped for a moment goes on.
READING = 0.9

#: Seconds between beats while others are awaited.
SETTLING_BEAT = 0.1

#: Seconds after which keys of this node get their EXPIRE anew.
RENEWAL_TIME = KEEPING_TIME / 4

#: Seconds after which a node forgets what it remembers of peers that others have taken over, and
#: looks whether Redis has thrown something away.
TIDYING_TIME = 60.0

#: Nodes that have gone, as the host knows. A goodbye on the bus and a beat tell the same.
MAX_GONE = 256


class Lease:
    """The life of one node in the cluster.

    :param post: as of the registry.
    :param subscribe: ``subscribe(node)``: see ``registry``.
    :param node_timeout: seconds after which others take a silent node for dead, at most.
    :ivar status: as of ``Cluster``; the host is told of changes.
    :ivar is_late: whether Redis could not be reached at first: others come back to it as well.
    :ivar greet: tells all others that this node is there.
    """

    def __init__(
        self,
        wires: Wires,
        registry: Registry,
        host: ClusterHost,
        post: Callable[..., None],
        subscribe: Callable[[str], Any],
        node_timeout: float = 10.0,
    ) -> None:
        self.status = AWAY
        self.reason = wires.reason
        self.interval = node_timeout / BEATS
        self._deaf_after = node_timeout * DEAFNESS
        self._wires = wires
        self._registry = registry
        self._host = host
        self._post = post
        self._subscribe = subscribe
        self._loop = wires.loop
        self._lock = wires.loop.lock()
        self._burial = Burial(wires, registry, self._tell_buried)
        audit = Audit(wires, registry, self._tell_buried)
        self._rebuild = Rebuild(wires, registry, host, audit, post)
        self._pulses = Pulses()
        self._generation = b""
        # A node without peers has nothing to claim.
        self._state = self._published = SETTLED
        self._answered = float("-inf")
        self._read = float("-inf")
        self._renewed = self._loop.now()
        self._tidied = self._loop.now()
        #: Other nodes, as the latest readings have told.
        self._others: frozenset[str] = frozenset()
        self._settling = Settling(self._loop.now, node_timeout)
        #: {node: when it has said that it is there}, until a beat tells it.
        self._greeted: dict[str, float] = {}
        self._beats: dict[str, bytes] = {}
        #: Nodes that the host was told of; ids come only once.
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._wake: Event = self._loop.event()
        self._has_left = False
        self.is_late = False
        self.greet: Callable[[], Any] = lambda: None
        wires.node = wires.node or make_node_id()
        registry.on_flush = self._on_flush
        registry.claims.is_doubtful = lambda: self.is_deaf
        registry.claims.find_out = self._wake_up

    @property
    def is_deaf(self) -> bool:
        """Whether others may have taken this node for dead: take nothing from the bus."""
        return self._loop.now() - self._answered > self._deaf_after

    # The connections -----------------------------------------------------------------------

    def connected(self, writer: RedisConnection, reader: RedisConnection) -> None:
        """Join by these connections, or be back. Blocks.

        :raises ClusterAway: when they have failed; the caller opens others.
        """
        self._registry.claims.begin_settling()
        self._loop.call(self._registry.open, writer, reader)
        self._pulses.forget_all()
        if self._generation:
            # Those that find this node listening must know that it has not claimed its peers.
            self._state = REBUILDING
            self._ask_beat()
        # The channel must be heard before others may send to it, by each new connection.
        self._subscribe(self._wires.node)
        if self._generation:
            self._return(writer)
        else:
            self._come(writer)
        self.greet()
        self._loop.spawn(self._go_on, writer)

    def _return(self, writer: RedisConnection) -> None:
        """Be back. Maybe Redis has lost the latest changes, after a failover."""
        silent = self._find_silent()
        self._beat(writer)  # after that: a node that listens has said how far it is
        if self.status != AWAY:
            return  # Redis has lost more than that, or this node has another id now
        missing = {
            node: beat
            for node, beat in ((node, self._beats.get(node, b"")) for node in self._known())
            if node in silent or beat.endswith(REBUILDING)
        }
        self._rebuild.claim_all()
        if missing:
            self._wait_for(missing, "other nodes are not back yet")
            self._beat(writer)
        else:
            self._become_up()

    def _find_silent(self) -> set[str]:
        """Return the known nodes that do not listen.

        They have lost their connections as well: so this may be another Redis, which lacks what
        they have claimed last. Or they are dead.
        """
        nodes = sorted(self._known())
        return {node for node, count in zip(nodes, self._count_listeners(nodes)) if not count}

    def _count_listeners(self, nodes: list[str]) -> list[int]:
        """Return how many listen to the channels of nodes; none, without the right to know."""
        if not nodes:
            return []
        channels = [self._wires.keys.channel(node) for node in nodes]
        reply = self._wires.ask_many([(b"PUBSUB", b"NUMSUB", *channels)])[0]
        return [] if isinstance(reply, Exception) else [int(count) for count in reply[1::2]]

    def _come(self, writer: RedisConnection) -> None:
        """Join for the first time."""
        if self._registry.claims.has_refused:
            self._state = REBUILDING
        is_empty = self._join()
        self._beat(writer)  # which other nodes are there?
        if self._registry.claims.has_refused:
            self._rebuild.claim_all()
        if is_empty:
            # Nobody has used it. Or it was emptied, and nobody has noticed it before this node.
            self._settling.join_nobody(sum(self._count_listeners([EVERY_NODE])), self.is_late)
        else:
            self._settling.join()
        self._state = WAITING if is_empty else SETTLED
        self._set_status(SETTLING, "other nodes claim their peers again")
        self._settle(self._beats)

    def _known(self) -> frozenset[str]:
        return self._others | frozenset(self._greeted)

    def _wait_for(self, nodes: dict[str, bytes], reason: str) -> None:
        """Be settling until nodes have claimed their peers."""
        self._settling.wait_for(nodes)
        self._state = WAITING
        self._set_status(SETTLING, reason)

    def disconnected(self, reason: str) -> None:
        """Take note that one of the connections has ended."""
        self._registry.end(reason)
        self._set_status(AWAY, reason)
        self._wake.set()

    def _set_status(self, status: str, reason: str = "") -> None:
        if (status, reason) != (self.status, self.reason):
            self.status, self.reason = status, reason
            if status != UP:
                self._registry.watches.suspend()
            if status == SETTLING:
                self._registry.claims.begin_settling()
            self._post(self._host.status_changed)

    def _become_up(self) -> None:
        self._state = SETTLED
        self._settling.end()
        if self._published is not SETTLED:
            self._wake.set()  # others wait for it
        if self._wires.open_writer is None:
            return
        # Earlier results may have lacked peers. After UP, no lookup may return them.
        self._registry.lookups.forget_all()
        self._set_status(UP)
        self._registry.claims.end_settling()
        self._loop.call(self._registry.resume)

    def _on_flush(self) -> None:
        """Ask at once whether Redis is empty: it has said that it tracks nothing any more."""
        if self.status == UP:
            self._set_status(SETTLING, "Redis has forgotten which keys this node has read")
        self._wake.set()

    # Beating -------------------------------------------------------------------------------

    def _go_on(self, writer: RedisConnection) -> None:
        """Beat as long as this connection lasts."""
        while self._wires.open_writer is writer and not self._has_left:
            seconds = SETTLING_BEAT if self.status == SETTLING else self.interval
            self._wake.wait(seconds)
            if self._wake.is_set():
                self._wake = self._loop.event()
            if self._wires.open_writer is not writer or self._has_left:
                return
            try:
                self._beat(writer)
                self._rebuild.claim_owed()
                self._tidy()
                self._renew()
            except (ClusterAway, ConnectionLost, RedisError) as error:
                # The reader may have ended while this node was renamed.
                self._give_up(writer, str(error))
            except Exception:
                # A defect, or the host's. A node that beats no more would be buried while it
                # seems to be up.
                self._wires.logger.exception("a sign of life has failed")
                self._give_up(writer, "this node has failed to give a sign of life")

    def _wake_up(self) -> None:
        """Beat at once."""
        self._wake.set()

    def _give_up(self, writer: RedisConnection, reason: str) -> None:
        if self._wires.open_writer is writer:
            self.disconnected(reason)
            self._wires.run(writer.fail, reason)

    def _ask(self, script: Script, *args: Any) -> Any:
        """Return the reply to a script of the nodes.

        :raises ClusterAway:
        """
        replies = Replies(self._loop)
        keys = self._wires.keys.of_nodes
        self._wires.run(script.ask, self._wires.writer, replies.expect(), *keys, *args)
        # A node that is deaf, or will be soon, gives the connection up.
        left = self._answered + self._deaf_after - self._loop.now()
        reply = replies.wait(min(self._deaf_after, max(left, self.interval / 2)))[0]
        if isinstance(reply, Exception):
            raise ClusterAway(f"Redis has not taken a sign of life: {reply}")
        return reply

    def _join(self) -> bool:
        """Enter this node; returns whether Redis knew nothing of any."""
        generation = secrets.token_hex(8)
        verdict, found = self._ask(
            node_scripts.JOIN, self._wires.node, generation, KEEPING_TIME, self._state
        )
        if verdict == b"fenced":
            self._rename()
            return self._join()
        self._generation = found
        self._answered = self._loop.now()
        return bool(found == generation.encode())

    def _beat(self, writer: RedisConnection) -> None:
        verdict, beats, graves = self._ask_beat()
        if verdict == b"lost":
            self._begin_anew()
        elif verdict == b"fenced":
            self._rejoin()
        else:
            self._answered = self._loop.now()
            if self.status == UP:
                self._registry.claims.end_settling()
            names = (node.decode("utf-8", "replace") for node in beats[::2])
            states = self._beats = dict(zip(names, beats[1::2]))
            states.pop(self._wires.node, None)
            self._read_beats(states, [node.decode("utf-8", "replace") for node in graves])

    def _ask_beat(self) -> Any:
        """Send a beat, and return the reply to it.

        :raises ClusterAway:
        """
        self._published = self._state
        return self._ask(
            node_scripts.BEAT, self._wires.node, self._generation, KEEPING_TIME, self._state
        )

    def _begin_anew(self) -> None:
        """Redis has lost everything: enter everything again, and wait for the others."""
        self._wires.logger.warning("Redis has lost its data; this node claims its peers again")
        self._wait_for(
            dict.fromkeys(self._known(), b""), "the directory was lost, and is being rebuilt"
        )
        self._state = REBUILDING
        self._pulses.forget_all()
        former = self._wires.node
        self._join()
        if self._wires.node != former:
            self._end_as(former)
            return
        self._rebuild.claim_all()
        self._state = WAITING

    def _rejoin(self) -> None:
        """Others have buried this node: become another one."""
        former = self._wires.node
        # Until the host knows of it: it would take new claims for those that were buried.
        self._registry.claims.begin_settling()
        self._wires.logger.warning("Node %s was taken for dead by others; it joins again", former)
        self._rename()
        self._state = SETTLED
        self._join()
        self._end_as(former)

    def _end_as(self, former: str) -> None:
        """Claim the peers by the new id of this node."""
        self._post(self._host.fenced, former)
        self._rebuild.claim_all(former)
        self.greet()
        self._become_up()

    def _rename(self) -> None:
        node = make_node_id()
        self._subscribe(node)
        self._wires.node = node

    # The others ----------------------------------------------------------------------------

    def _read_beats(self, states: dict[str, bytes], graves: list[str]) -> None:
        now = self._loop.now()
        if self.status == UP and self._settling.begins_again(states):
            self._set_status(SETTLING, "other nodes claim their peers again")
        if self.status == SETTLING:
            self._settle(states)
        if now - self._read < READING * self.interval:
            return  # a beat out of turn: the others have had no time
        self._read = now
        for node, beat in self._pulses.read(states):
            if self._ask(node_scripts.BURY, node, beat, KEEPING_TIME):
                self._wires.logger.warning("Node %s is dead: it has given no sign of life", node)
                self.forget(node)
                graves.append(node)
            states.pop(node, None)
        others = frozenset(states)
        with self._lock:
            for node, since in list(self._greeted.items()):
                if node in others or now - since > self.interval * BEATS:
                    del self._greeted[node]
        if not self._settling.awaited:
            for node in self._others - others:
                self.forget(node)
            self._others = others
        self._wires.nodes = others | self._known() | {self._wires.node}
        for node in graves:
            self._burial.begin(node)

    def _settle(self, states: dict[str, bytes]) -> None:
        """Be up, if the other nodes have claimed, or had the time in which they would be dead."""
        if self._settling.is_too_long:
            self._give_up_waiting()
        elif not self._settling.is_over(states, self._state):
            return
        self._become_up()

    def _give_up_waiting(self) -> None:
        """Take the nodes for dead that have not come back: they come by new ids, if ever."""
        for node in list(self._settling.awaited):
            if self._ask(node_scripts.BURY, node, b"", KEEPING_TIME):
                self._wires.logger.warning("Node %s is dead: it has not come back to Redis", node)
                self.forget(node)

    def greeted(self, node: str) -> None:
        """Take note that a node says that it is there."""
        with self._lock:
            if node not in self._gone and node != self._wires.node:
                self._greeted[node] = self._loop.now()
                self._wires.nodes |= {node}
            if self._settling.looks:
                self._wake.set()

    def forget(self, node: str) -> None:
        """Take note that a node is dead, or has left; harmless when that is known."""
        with self._lock:
            if node in self._gone or node == self._wires.node:
                return
            self._gone[node] = None
            if len(self._gone) > MAX_GONE:
                self._gone.popitem(last=False)
            self._others -= {node}
            self._greeted.pop(node, None)
            self._wires.nodes -= {node}
            self._settling.awaited.pop(node, None)
        self._post(self._host.node_gone, node)

    def _tell_buried(
        self, place: Any, is_last: bool, telling: int = 0, before: Telling | None = None
    ) -> None:
        self._post(self._host.buried, place, is_last, telling, before)

    # Keeping and leaving -------------------------------------------------------------------

    def _tidy(self) -> None:
        """Compare, once in a while, what Redis has, this node remembers, and the host has."""
        now = self._loop.now()
        if now - self._tidied >= TIDYING_TIME:
            self._tidied = now
            self._rebuild.forget_others()
            self._rebuild.claim_missing()

    def _renew(self) -> None:
        """Give the keys of this node their EXPIRE anew."""
        now = self._loop.now()
        if now - self._renewed < RENEWAL_TIME:
            return
        self._renewed = now
        registry, keys = self._registry, self._wires.keys
        expiring = [keys.user(name) for name in {username for username, _ in registry.claims.owned}]
        expiring += [keys.home(*home) for home in registry.homes.mine]
        expiring.append(keys.claims(self._wires.node))
        for start in range(0, len(expiring), BATCH):
            some = expiring[start : start + BATCH]
            self._wires.ask_all([(b"EXPIRE", key, KEEPING_TIME) for key in some])

    def leave(self) -> None:
        """Release the peers of this node, and leave. Blocks.

        Other nodes bury this one, and so release the peers for which the time was too short.
        """
        self._has_left = True
        self._wake.set()
        try:
            self._wires.run(self._registry.homes.leave_all)
            self._burial.release_all(self._wires.node, None)
            self._ask(node_scripts.LEAVE, self._wires.node)
        except ClusterAway as error:
            self._wires.logger.warning("This node has not left in good order: %s", error)
        self._registry.end("this node has left")
        self._registry.clear()
        self._set_status(AWAY, "this node has left")


def make_node_id() -> str:
    """Return the id of a new node, in a process that will not fork any more."""
    return secrets.token_hex(6)
