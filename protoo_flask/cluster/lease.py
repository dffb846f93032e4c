"""The lease: how a node shows that it is alive, and what it does when others have doubted it.

===============  ==========================================================================
a beat says      then
===============  ==========================================================================
ok               nodes whose counters stand still are buried; open graves are worked on
lost             Redis is empty. This node joins by the same id, and claims its peers again;
                 the directory is settling until the other known nodes have done so, too
fenced           others have taken this node for dead. It joins by a new id, and claims its
                 peers again, which are new ones for everybody
no answer        the connection is ended, and opened anew
===============  ==========================================================================

A node that was stopped and goes on may have been buried meanwhile: until a beat has been answered,
it is deaf, and takes nothing from the bus. Its claims change nothing that it does not own any more:
they are refused by their tokens.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Any, Callable

from ..core.cluster.protocol import AWAY, SETTLING, UP, ClusterAway, ClusterHost
from ..core.scheduling import Event
from . import scripts
from .burial import Burial
from .connection import ConnectionLost, RedisConnection
from .pulses import Pulses
from .rebuild import Rebuild
from .registry import Registry
from .replies import Replies
from .scripts import KEEPING_TIME, Script
from .wires import BATCH, Wires

#: Parts of the node timeout.
BEATS = 5
DEAFNESS = 0.4

#: Seconds between beats while others are awaited.
SETTLING_BEAT = 0.1

#: Seconds after which keys of this node get their EXPIRE anew.
RENEWAL_TIME = KEEPING_TIME / 4

#: Seconds after which a node forgets what it remembers of peers that others have taken over.
TIDYING_TIME = 60.0

#: Nodes that have gone, as the host knows. A goodbye on the bus and a beat tell the same.
MAX_GONE = 256

#: States of a node, in the table of beats.
REBUILDING = b"r"
SETTLED = b"s"


class Lease:
    """The life of one node in the cluster.

    :param post: as of the registry.
    :param subscribe: ``subscribe(node)``: see ``registry``.
    :param node_timeout: seconds after which others take a silent node for dead, at most.
    :ivar status: as of ``Cluster``; the host is told of changes.
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
        self._rebuild = Rebuild(wires, registry, host, post)
        self._pulses = Pulses()
        self._generation = b""
        self._state = REBUILDING
        self._answered = float("-inf")
        self._read = float("-inf")
        self._renewed = float("-inf")
        self._tidied = self._loop.now()
        #: Other nodes, and those of them that are awaited while the directory is settling.
        self._others: frozenset[str] = frozenset()
        self._awaited: set[str] = set()
        self._settling_since = 0.0
        #: Nodes that the host was told of; ids come only once.
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._wake: Event = self._loop.event()
        self._has_left = False
        wires.node = wires.node or make_node_id()
        registry.on_flush = self._on_flush

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
        # The channel must be heard before others may send to it, by each new connection.
        self._subscribe(self._wires.node)
        if self._generation:
            self._beat(writer)
            if self.status == AWAY:
                # Maybe Redis has lost the latest changes, after a failover.
                self._rebuild.claim_all()
                self._become_up()
        else:
            self._join()
            self._beat(writer)  # who else is there?
            if self._registry.claims.has_refused:
                self._rebuild.claim_all()
            self._become_up()
        self._loop.spawn(self._go_on, writer)

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
        self._awaited.clear()
        if self._wires.open_writer is None:
            return
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
            except (ClusterAway, ConnectionLost) as error:
                # The reader may have ended while this node was renamed.
                self._give_up(writer, str(error))

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

    def _join(self) -> None:
        generation = secrets.token_hex(8)
        verdict, found = self._ask(
            scripts.JOIN, self._wires.node, generation, KEEPING_TIME, self._state
        )
        if verdict == b"fenced":
            self._rename()
            self._join()
            return
        self._generation = found
        self._answered = self._loop.now()

    def _beat(self, writer: RedisConnection) -> None:
        verdict, beats, graves = self._ask(
            scripts.BEAT, self._wires.node, self._generation, KEEPING_TIME, self._state
        )
        if verdict == b"lost":
            self._begin_anew()
        elif verdict == b"fenced":
            self._rejoin()
        else:
            self._answered = self._loop.now()
            states = dict(zip((node.decode() for node in beats[::2]), beats[1::2]))
            states.pop(self._wires.node, None)
            self._read_beats(states, [node.decode() for node in graves])

    def _begin_anew(self) -> None:
        """Redis has lost everything: enter everything again, and wait for the others."""
        self._wires.logger.warning("Redis has lost its data; this node claims its peers again")
        self._set_status(SETTLING, "the directory was lost, and is being rebuilt")
        self._state = REBUILDING
        self._awaited = set(self._others)
        self._settling_since = self._loop.now()
        self._pulses.forget_all()
        self._join()
        self._rebuild.claim_all()
        self._state = SETTLED

    def _rejoin(self) -> None:
        """Others have buried this node: become another one."""
        former = self._wires.node
        self._wires.logger.warning("Node %s was taken for dead by others; it joins again", former)
        self._rename()
        self._state = SETTLED
        self._join()
        self._post(self._host.fenced, former)
        self._rebuild.claim_all(former)
        self._become_up()

    def _rename(self) -> None:
        node = make_node_id()
        self._subscribe(node)
        self._wires.node = node

    # The others ----------------------------------------------------------------------------

    def _read_beats(self, states: dict[str, bytes], graves: list[str]) -> None:
        if self.status == SETTLING:
            self._settle(states)
        now = self._loop.now()
        if now - self._read < self.interval / 2:
            return  # a beat out of turn: the others have had no time
        self._read = now
        for node, beat in self._pulses.read(states):
            if self._ask(scripts.BURY, node, beat, KEEPING_TIME):
                self._wires.logger.warning("Node %s is dead: it has given no sign of life", node)
                graves.append(node)
            states.pop(node, None)
        others = frozenset(states)
        if not self._awaited:
            for node in self._others - others:
                self.forget(node)
            self._others = others
        self._wires.nodes = others | {self._wires.node}
        for node in graves:
            self._burial.begin(node)

    def _settle(self, states: dict[str, bytes]) -> None:
        """Wait until the known nodes have claimed, or have had the time in which they would be
        dead."""
        for node, state in states.items():
            if state.endswith(SETTLED):
                self._awaited.discard(node)
        waited = self._loop.now() - self._settling_since
        if not self._awaited or waited > self.interval * BEATS:
            self._become_up()

    def forget(self, node: str) -> None:
        """Take note that a node is dead, or has left; harmless when that is known."""
        with self._lock:
            if node in self._gone or node == self._wires.node:
                return
            self._gone[node] = None
            if len(self._gone) > MAX_GONE:
                self._gone.popitem(last=False)
            self._others -= {node}
            self._wires.nodes -= {node}
            self._awaited.discard(node)
        self._post(self._host.node_gone, node)

    def _tell_buried(self, place: Any, is_last: bool) -> None:
        self._post(self._host.buried, place, is_last)

    # Keeping and leaving -------------------------------------------------------------------

    def _tidy(self) -> None:
        """Forget, once in a while, what this node remembers of peers that it has no more."""
        now = self._loop.now()
        if now - self._tidied >= TIDYING_TIME:
            self._tidied = now
            self._rebuild.forget_others()

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

        What cannot be said in time is left to the others, who bury this node.
        """
        self._has_left = True
        self._wake.set()
        try:
            self._wires.run(self._registry.homes.leave_all)
            self._burial.release_all(self._wires.node, lambda place, is_last: None)
            self._ask(scripts.LEAVE, self._wires.node)
        except ClusterAway as error:
            self._wires.logger.warning("This node has not left in good order: %s", error)
        self._registry.end("this node has left")
        self._registry.clear()
        self._set_status(AWAY, "this node has left")


def make_node_id() -> str:
    """Return the id of a new node, in a process that will not fork any more."""
    return secrets.token_hex(6)
