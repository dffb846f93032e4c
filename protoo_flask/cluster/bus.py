"""The bus: items between nodes, as frames that are published in Redis.

Each node subscribes to a channel of its own, and all to one more. The items that a node
sends another in one round of the hub are one frame, in one ``PUBLISH``. Redis answers how many
subscribers have got it:

==========================  =====================================================================
the answer is               then
==========================  =====================================================================
0                           the items have certainly not arrived: ``host.lost``
1                           they are in a buffer of Redis. If the other node is slow, Redis may
                            throw them away; it sees the gap (:mod:`.streams`), and tells its host
an error, or none           as 0, although the frame may have arrived: the connection is gone
==========================  =====================================================================

Redis is not asked about frames that have answers only: an asker that has gone misses none, and one
that is there sees the gap.

A node that may be taken for dead by now takes nothing from the bus: ``is_deaf``. The items
that it misses are a gap, once it listens again.

Among greenlets, ``host.receive`` is called in the turn that reads the frame: that is the fast way,
and it must not block. Everything else that the host is told is posted to its queue.
"""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from typing import Any, Callable, Iterable, Sequence

from ..core.cluster.items import Answer
from ..core.cluster.protocol import EVERY_NODE, ClusterHost
from ..core.excerpts import excerpt
from ..core.occasions import Occasions
from ..core.scheduling import Scheduler, one_step
from .connection import RedisConnection, RedisError, Then, pack
from .frames import BadFrame, FrameCodec, Goodbye, Hello
from .streams import AFTER_A_GAP, MAX_STREAMS, REPEATED, Streams

#: Bytes of a frame with several items; more of them are split. A frame is in memory at once in
#: both processes, and for each in Redis.
MAX_FRAME = 256 * 1024

#: Seconds for each of the two commands of :meth:`Bus.leave`.
LEAVING_TIME = 1.0

#: Seconds that Redis may take to tell the time; an older one is not used.
CLOCK_ERROR = 0.5

#: Microseconds from the moment at which a frame gets its number until Redis publishes it, and the
#: errors of both clocks. Connections on which it takes longer are given up.
DELAY_US = 5_000_000

#: Items that wait for the end of a round, for each node.
MAX_ITEMS = 512

#: Bytes of a single item. Redis cuts a subscriber off that has 32 MB to read.
MAX_ITEM = 8 * 1024 * 1024


class Bus:
    """The bus, from one node, among greenlets.

    :param prefix: of the channels.
    :param post: ``post(function, *args)``: has a function called in order, where it may block.
    :param goodbye: ``goodbye(node)``: called when a node has left.
    :ivar node: the id of this node; empty before :meth:`subscribe`.
    :ivar is_deaf: whether frames of other nodes are thrown away.
    :ivar has_heard: set to true by each frame, of this node, too.
    :ivar greeted: ``greeted(node)``: called when a node says that it is there.
    :ivar traffic: frames sent, frames received, gaps, so far.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        prefix: str,
        codec: FrameCodec,
        host: ClusterHost,
        post: Callable[..., None],
        goodbye: Callable[[str], Any],
        logger: logging.Logger,
    ) -> None:
        self._logger = logger
        self.node = ""
        self.is_deaf: Callable[[], bool] = lambda: False
        self.has_heard = False
        self.traffic = [0, 0, 0]
        self.greeted: Callable[[str], Any] = lambda node: None
        self._scheduler = scheduler
        self._prefix = f"{prefix}:n:".encode()
        self._codec = codec
        self._host = host
        self._receive = host.receive
        self._post = post
        self._goodbye = goodbye
        self._lock = scheduler.lock()
        self._occasions = Occasions(scheduler.now)
        self._writer: RedisConnection | None = None
        self._reader: RedisConnection | None = None
        #: ``{node: items}`` of this round.
        self._out: dict[str, list[Any]] = {}
        #: The number of the latest frame, and what makes a time of Redis of one of this process.
        self._number = 0
        self._clock = 0.0
        #: ``{node: (the number of its latest frame, the beginning of its command)}``
        self._ways: dict[str, tuple[int, bytes]] = {}
        self._streams = Streams()
        #: Items for this node itself.
        self._own: deque[Any] = deque()

    # The connections -----------------------------------------------------------------------

    def connect(self, writer: RedisConnection, reader: RedisConnection) -> None:
        """Use these connections from now on; :meth:`subscribe` comes next."""
        self._writer, self._reader = writer, reader

    def subscribe(self, node: str) -> None:
        """Be the node of this id, and listen to its channel. Blocks.

        :raises RedisError: without the right to.
        :raises ConnectionLost:
        """
        reader = self._reader
        assert reader is not None
        if self.node and self.node != node:
            self._run(reader.ask, None, b"UNSUBSCRIBE", self._channel(self.node))
            # Others do not know the new id: all their frames to it are first ones. What this node
            # sends under it is a new stream, too.
            self._ways.clear()
        self.node = node
        reader.call(b"SUBSCRIBE", self._channel(EVERY_NODE))
        reader.call(b"SUBSCRIBE", self._channel(node))
        asked = self._scheduler.now()
        self._set_clock(asked, reader.call(b"TIME"))
        if not self._streams.floor:
            self._streams.floor = self._take_time() - DELAY_US

    def greet(self) -> None:
        """Tell the others that this node is there."""
        self._run(self.send, EVERY_NODE, Hello())

    def _set_clock(self, asked: float, reply: Any) -> None:
        """Compare the clock of Redis with that of this process, which drifts."""
        now = self._scheduler.now()
        if isinstance(reply, list) and now - asked < CLOCK_ERROR:
            seconds, microseconds = reply
            self._clock = int(seconds) + int(microseconds) / 1e6 - now

    def _take_time(self) -> int:
        """Return the time of Redis: microseconds."""
        return int((self._scheduler.now() + self._clock) * 1e6)

    def leave(self) -> None:
        """Hear nothing more, and tell the others that this node has left. Blocks.

        From now on, Redis knows that what is sent to this node does not arrive.

        :raises RedisError:
        :raises ConnectionLost:
        """
        reader, writer = self._reader, self._writer
        if reader is not None and writer is not None:
            reader.call(b"UNSUBSCRIBE", self._channel(self.node), timeout=LEAVING_TIME)
            self._run(self.send, EVERY_NODE, Goodbye())
            writer.call(b"PING", timeout=LEAVING_TIME)  # they have been written when it has

    def disconnect(self) -> None:
        """Take note that the connections have ended; what waits for them is lost."""
        self._writer = self._reader = None
        self._lose_waiting()

    def doubt(self, nodes: Iterable[str]) -> None:
        """Tell the host that something of, or to, these nodes may have been lost.

        :param nodes: besides those that the bus has heard of.
        """
        for node in {*nodes, *self._streams.get_senders(), *self._ways} - {self.node, EVERY_NODE}:
            self._post(self._host.may_have_lost, node)

    def forget(self, node: str) -> None:
        """Forget a node that has gone."""
        self._streams.forget(node)
        self._ways.pop(node, None)

    def _channel(self, node: str) -> bytes:
        return self._prefix + node.encode()

    def _run(self, function: Callable[..., Any], *args: Any) -> None:
        if self._scheduler.is_foreign():
            self._scheduler.hand_over(function, *args)
        else:
            function(*args)

    # Sending -------------------------------------------------------------------------------

    def send(self, node: str, item: Any) -> None:
        """See ``Cluster.send``."""
        out = self._out
        items = out.get(node)
        if items is not None:
            items.append(item)
            if len(items) >= MAX_ITEMS:
                del out[node]
                self._publish(node, items)
        elif node == self.node:
            self._send_to_self(item)
        else:
            if out and (node == EVERY_NODE or EVERY_NODE in out):
                # It is another stream, whose items must not overtake those of this round.
                self._fill()
                out = self._out
            out[node] = [item]
            if len(out) == 1:
                self._write_soon()

    def probe(self, then: Then) -> None:
        """Send a frame to this node itself, by Redis."""
        writer = self._writer
        if writer is not None:
            writer.ask_packed(then, self._make_command(self.node, []))
            self._ask_for_time(writer)

    def _ask_for_time(self, writer: RedisConnection) -> None:
        writer.ask(partial(self._set_clock, self._scheduler.now()), b"TIME")

    def _write_soon(self) -> None:
        writer = self._writer
        if writer is None:
            self._scheduler.spawn(self._lose_waiting)
        else:
            writer.before_write(self._fill)

    def _fill(self) -> None:
        out, self._out = self._out, {}
        for node, items in out.items():
            self._publish(node, items)

    def _publish(self, node: str, items: list[Any]) -> None:
        writer = self._writer
        if writer is None:
            self._post(self._host.lost, node, items)
            return
        try:
            command = self._make_command(node, items)
        except Exception:
            # A defect: one of them has something that is no text, no number and no bytes.
            if len(items) > 1:
                for item in items:
                    self._publish(node, [item])
                return
            self._logger.exception(
                "an item to another node cannot be sent: %s", type(items[0]).__name__
            )
            self._post(self._host.lost, node, items)
            return
        if len(command) > MAX_FRAME:
            if len(items) > 1:
                half = len(items) // 2
                self._publish(node, items[:half])
                self._publish(node, items[half:])
                return
            if len(command) > MAX_ITEM:
                self._complain(
                    ("size", type(items[0])),
                    f"{type(items[0]).__name__} for node {excerpt(node)} is not sent: it has "
                    f"{len(command)} bytes, and {MAX_ITEM} are the limit",
                )
                self._post(self._host.lost, node, items)
                return
        for item in items:
            if type(item) is not Answer:
                writer.ask_packed(partial(self._take_receipt, node, items), command)
                return
        writer.tell_packed(command)

    def _make_command(self, node: str, items: Sequence[Any]) -> bytes:
        """Return the command that publishes a frame, whose number is taken then."""
        way = self._ways.get(node)
        if way is None:
            if len(self._ways) >= MAX_STREAMS:
                del self._ways[next(iter(self._ways))]  # its next frame comes after a gap
            # Everything of the command but the frame.
            way = 0, pack(b"PUBLISH", self._channel(node)).replace(b"*2", b"*3", 1)
        after, start = way
        self.traffic[0] += 1
        number = self._number = max(self._number + 1, self._take_time())
        data = self._codec.encode(self.node, node, number, after, items)
        command = b"%b$%d\r\n%b\r\n" % (start, len(data), data)
        if len(command) <= MAX_FRAME or len(items) == 1:
            self._ways[node] = number, start
        return command

    def _take_receipt(self, node: str, items: list[Any], receivers: Any) -> None:
        """Take Redis' answer to a frame."""
        if receivers == 0 or isinstance(receivers, Exception):
            if isinstance(receivers, RedisError):
                self._complain("publish", f"Redis does not publish for this process: {receivers}")
            self._post(self._host.lost, node, items)
            if receivers == 0:
                self._post(self._host.probed, node, False)

    def probe_node(self, node: str) -> None:
        """See ``Cluster.probe``: a frame with nothing."""
        writer = self._writer
        if writer is not None:
            writer.before_write(
                lambda: writer.ask_packed(
                    partial(self._take_probe, node), self._make_command(node, [])
                )
            )

    def _take_probe(self, node: str, receivers: Any) -> None:
        if isinstance(receivers, int):
            self._post(self._host.probed, node, bool(receivers))

    def _lose_waiting(self) -> None:
        """Tell the host that the items of this round are lost."""
        out, self._out = self._out, {}
        for node, items in out.items():
            self._post(self._host.lost, node, items)

    def _send_to_self(self, item: Any) -> None:
        self._own.append(item)
        if len(self._own) == 1:
            self._scheduler.spawn(self._receive_own)

    def _receive_own(self) -> None:
        own = self._own
        while own:
            try:
                self._deliver(self.node, own[0])
            finally:
                own.popleft()  # now, so that no second greenlet is started meanwhile

    # Receiving -----------------------------------------------------------------------------

    def take(self, data: bytes) -> None:
        """Take a frame.

        :param data: untrusted.
        """
        try:
            frame, left_out = self._codec.decode(data)
        except BadFrame as error:
            self._complain(error.subject, str(error))
            return
        self.has_heard = True
        sender = frame.sender
        if sender == self.node or self.is_deaf():
            return
        if frame.to != self.node and frame.to != EVERY_NODE:
            self._complain(
                "to", f"a frame for node {excerpt(frame.to)} has come to this node: it is forged"
            )
            return
        kind = self._streams.take(frame)
        self.traffic[1] += 1
        if kind is REPEATED:
            self._complain(
                ("repeated", sender),
                f"a frame of node {excerpt(sender)} has come once more: somebody repeats it",
            )
            return
        if left_out:
            self._complain(
                ("items", sender),
                f"node {excerpt(sender)} sends something that this process does not understand: "
                "it runs a newer version of protoo_flask",
            )
        if kind is AFTER_A_GAP:
            self.traffic[2] += 1
            self._post(self._host.may_have_lost, sender)
        for item in frame.items:
            if type(item) is Goodbye:
                self._goodbye(sender)
            elif type(item) is Hello:
                self.greeted(sender)
            else:
                self._deliver(sender, item)

    def _deliver(self, sender: str, item: Any) -> None:
        try:
            self._receive(sender, item)
        except Exception:
            # A defect: the other items of the frame are for other peers.
            self._logger.exception("an item of another node has failed: %s", type(item).__name__)

    def _complain(self, subject: object, text: str) -> None:
        if self._occasions.begins(subject):
            self._logger.error("%s", text)


class SharedBus(Bus):
    """A bus that several threads send by."""

    def send(self, node: str, item: Any) -> None:
        if node == self.node:
            self._post(self._host.receive, node, item)
            return
        with self._lock:
            self._out.setdefault(node, []).append(item)
        # Without the lock: a writer holds that of the connection, and takes this one.
        self._write_soon()

    def _fill(self) -> None:
        # In one step for each thread that writes: the lock of the connection is held.
        with self._lock:
            out, self._out = self._out, {}
        for node, items in out.items():
            self._publish(node, items)

    def probe(self, then: Then) -> None:
        writer = self._writer
        if writer is not None:
            writer.before_write(lambda: writer.ask_packed(then, self._make_command(self.node, [])))
            self._ask_for_time(writer)

    def _deliver(self, sender: str, item: Any) -> None:
        self._post(self._host.receive, sender, item)

    _lose_waiting = one_step(Bus._lose_waiting)
