"""Turns: the reading of a connection, which leaves time for all others.

A connection reads in turns. In each turn, it reads from the channel once, and hands every
message to its inbox, which handles requests before it returns. A handler may block (a database,
``transaction.wait()``). The channel then starts the next turn in another greenlet, so
responses of the same client are read meanwhile. Reading happens only at the start of a turn,
so it never needs cancelling. Messages that a turn has read, and has not handed over when
it blocks, are handed over by another greenlet: the hub is asked to start it as soon as the turn
blocks. Among threads, blocking cannot be noticed, and the inbox gives each request a thread.

A turn has a budget of time, because one read may have thousands of messages. Beyond the budget, the
connection is postponed: the others wait for a later iteration of the hub. Each iteration has few
turns of postponed connections, after those of all sockets that are readable. A message that is not
short is always the first one of such a turn. So clients that flood the server delay another client
by the budgets of those that are not postponed, and by one such turn, however many they are.
Among threads, Python's own switches do that.
"""

from __future__ import annotations

from typing import Any

from ..core.close_codes import INTERNAL_ERROR
from ..core.inbox import Inbox
from ..core.scheduling import TURN_TIME
from .channel import Channel, Loop
from .closing import CLOSED, DRAINING, LEFT, OPEN
from .outbox import Outbox
from .websocket.frames import MAX_SHORT, FrameError

#: Stands behind the last message when nothing that follows can be understood.
ERROR = -1

#: Stands behind the last message when the codec has more to decode.
MORE = -2


class Turns:
    """The reading half of a :class:`~.connection.Connection`.

    :ivar state: see :mod:`.closing`.
    :ivar outbox: the writing end of the link.
    """

    __slots__ = (
        "_buffers_input",
        "_channel",
        "_codec",
        "_heard",
        "_inbox",
        "_is_broken",
        "_is_paused",
        "_is_postponed",
        "_is_watching",
        "_items",
        "_lock",
        "_loop",
        "outbox",
        "state",
    )

    outbox: Outbox

    def __init__(self, channel: Channel, loop: Loop, codec: Any) -> None:
        self.state = OPEN
        self._channel = channel
        self._buffers_input = channel.buffers_input
        self._loop = loop
        self._codec = codec
        self._lock = loop.lock()
        self._inbox: Inbox | None = None
        #: Messages that were read and not handed over, the next one last.
        self._items: list[tuple[int, bytes]] = []
        #: Whether the inbox has asked for a pause, whether the channel calls for turns, and
        #: whether the rest of a turn waits for a later iteration of the hub.
        self._is_paused = False
        self._is_watching = False
        self._is_postponed = False
        #: Whether the client has sent anything since the last ping.
        self._heard = True
        #: Whether the channel was aborted: only its end is waited for.
        self._is_broken = False

    # The other half ----------------------------------------------------------------------

    def _take_item(self, opcode: int, payload: bytes) -> None:
        """Take one message, or :data:`ERROR`, or :data:`MORE`."""
        raise NotImplementedError

    def _close_for(self, error: FrameError) -> bool:
        """Close for a reason of ours; tells whether the connection was open."""
        raise NotImplementedError

    def _end(self) -> None:
        """Give everything back: the connection has ended."""
        raise NotImplementedError

    # Pauses ------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        """Read nothing more, from the end of this turn until :meth:`resume_reading`."""
        with self._lock:
            if self.state is OPEN or self.state is LEFT:
                self._is_paused = True

    def resume_reading(self) -> None:
        """Read again."""
        with self._lock:
            self._resume()

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            # Nobody has been listening, so silence proves nothing about the client.
            self._heard = True
            self._watch()

    def _watch(self) -> None:
        """Read from now on, unless there is a reason not to."""
        is_held = self._is_watching or self._is_paused or self._is_postponed
        if not is_held and self.state is not CLOSED:
            self._is_watching = True
            self._channel.watch(self._take_turn)

    # Turns -------------------------------------------------------------------------------

    def _take_turn(self, was_postponed: bool = False) -> None:
        """Read once, and hand over the messages; or go on with those of an earlier turn."""
        try:
            if self._items or self._is_paused:
                self._take_items(was_postponed)
            else:
                data = self._channel.recv()
                if data is not None:
                    text = self._codec.read_text(data)
                    inbox = self._inbox
                    # A broken connection is not open either.
                    if text is not None and self.state is OPEN and not self._buffers_input:
                        # Usually: one short text message, and nothing besides it.
                        self._heard = True
                        assert inbox is not None
                        inbox.receive(text)
                        if self._is_paused:
                            self._stop_watching()
                        return
                    if self._receive(data):
                        self._take_items(was_postponed)
                    else:
                        self._end()
            if self._is_paused:
                self._stop_watching()
            elif (
                self._buffers_input
                and not self._is_postponed
                and self._channel.has_buffered_input()
            ):
                self._postpone()
        except BaseException:
            # A defect, or an exception that ends this greenlet: the client must not believe
            # that its messages are understood.
            self._close_for(FrameError(INTERNAL_ERROR, "internal error"))
            raise

    def _stop_watching(self) -> None:
        """Do as :meth:`pause_reading` said, unless reading goes on already."""
        with self._lock:
            if self._is_paused and self._is_watching:
                self._is_watching = False
                self._channel.unwatch()

    def _receive(self, data: bytes) -> bool:
        """Decode bytes from the socket; ``False`` at its end."""
        # A broken connection ends here: a client that never stops sending has no other end.
        if not data or self._is_broken:
            return False
        self._heard = True
        self._decode(data)
        return True

    def _decode(self, data: bytes) -> None:
        """Decode a number of messages, the next ones to be handed over."""
        if self.state is not DRAINING:
            self._items = items = self._codec.receive(data)
            if self._codec.error is not None:
                items.append((ERROR, b""))
            elif self._codec.has_more:
                items.append((MORE, b""))
            items.reverse()

    def _take_items(self, was_postponed: bool) -> None:
        """Hand over the messages: all, or as many as the budget allows.

        When this greenlet blocks, the rest is left to another one.

        :param was_postponed: the first message may be of any length.
        """
        if self._loop.preempts or (self._is_single() and self._is_watching):
            while self._items:
                self._take_item(*self._items.pop())
            return
        if not was_postponed and self._is_next_long():
            self._postpone()
            return
        blocked = self._loop.when_blocked(self._go_on)
        # The answers to these requests leave together: at the end, or when one of them blocks.
        self.outbox.cork()
        now = self._loop.now
        end = now() + TURN_TIME
        try:
            while self._items and blocked.pending:
                self._take_item(*self._items.pop())
                items = self._items
                # As _is_next_long() does, without the call.
                if items and blocked.pending and (now() >= end or len(items[-1][1]) > MAX_SHORT):
                    self._postpone()
                    break
        finally:
            if blocked.pending:
                blocked.stop()
                self.outbox.uncork()

    def _is_single(self) -> bool:
        """Whether the next message is short, and nothing is known to follow it.

        So nothing can be left over.
        """
        if len(self._items) > 1 or self._buffers_input or self._codec.has_more:
            return False
        return not self._is_next_long()

    def _is_next_long(self) -> bool:
        return bool(self._items) and len(self._items[-1][1]) > MAX_SHORT

    def _postpone(self) -> None:
        """Take the next turn in a later iteration of the hub, whether or not there is more.

        Until then, the channel calls for none: that would be a second turn.
        """
        self._is_postponed = True
        self._is_watching = False
        self._channel.unwatch()
        self._loop.call_in_later_iteration(self._go_on)

    def _go_on(self) -> None:
        """Go on with a turn that has blocked, or was postponed."""
        was_postponed, self._is_postponed = self._is_postponed, False
        self.outbox.uncork()
        try:
            self._take_turn(was_postponed)
        finally:
            self._watch()
