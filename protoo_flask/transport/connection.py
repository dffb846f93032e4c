"""One WebSocket connection: reading and handling, keep-alive; closing is in ``closing``.

The greenlet that reads also handles the requests it reads: handing each to another
greenlet would cost more than all the rest. But a handler may block (a database,
``transaction.wait()``), and while it does, the responses of the same client must be
read. So before anything of the application runs, the hub is asked to call back as
soon as this greenlet blocks; if that happens, another greenlet becomes the reader,
and this one leaves when it has finished. A chain that never blocks never notices.
Under threads blocking cannot be noticed, and every request gets a thread.

Requests are handled one at a time (``PROTOO_PARALLEL_REQUESTS``), in the order in
which they came: those that come while one is being handled wait in the backlog.
When the backlog is full, nothing more is read, and TCP slows the client down. What a
client sent before it left is handled; what waits when the site closes is not. That the
site is told who has come is the first task of all: it may block too, and may wait for
what the client answers.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable

from ..core.close_codes import (
    ABNORMAL_CLOSURE,
    INTERNAL_ERROR,
    LEAVING,
    NORMAL_CLOSURE,
    POLICY_VIOLATION,
)
from ..core.inbox import Inbox
from ..core.registry import TooManyPeers
from ..core.request import Request
from ..core.scheduling import Timer
from .backlog import Backlog
from .channel import Channel, Loop
from .closing import CLOSE_TIMEOUT, CLOSED, CLOSING, DRAINING, OPEN, TRANSITIONS
from .frames import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameError,
    close_payload,
    decode_close,
)
from .outbox import Outbox

#: What is to be done besides the messages that were read, in its place among them: take
#: note that no more can be understood; have the site told who has come.
ERROR, ARRIVAL = -1, -2


class Connection:
    """A link (see :class:`~protoo_flask.core.peers.Link`) over a WebSocket.

    :param channel: the socket, upgraded but for ``handshake``.
    :param handshake: the bytes of the 101 response, sent first, by :meth:`open`.
    :param codec: for the frames, as agreed on in the handshake.
    :param connect: called with this link when it is live; returns its inbox. It may
        call :meth:`open` before it has finished.
    :param disconnect: called as ``disconnect(inbox, link, code)`` when it is no longer
        open. ``code``: that of the Close frame which ended the open state, the client's
        or ours; 1005 when it had none, 1006 when the connection ended without (RFC 6455
        section 7.1.5).
    """

    __slots__ = (
        "_backlog",
        "_channel",
        "_close_code",
        "_close_timer",
        "_codec",
        "_connect",
        "_disconnect",
        "_ended",
        "_given_up",
        "_heard",
        "_inbox",
        "_items",
        "_lock",
        "_loop",
        "_outbox",
        "_ping_interval",
        "_ping_timer",
        "_reader",
        "_room",
        "_unsent",
        "state",
    )

    def __init__(
        self,
        channel: Channel,
        loop: Loop,
        codec: Any,
        handshake: bytes,
        *,
        connect: Callable[[Connection], Inbox],
        disconnect: Callable[[Inbox, Connection, int], None],
        ping_interval: float | None,
        max_outbox: int,
        parallel_requests: int = 1,
    ) -> None:
        self.state = OPEN
        self._channel = channel
        self._loop = loop
        self._codec = codec
        self._connect = connect
        self._disconnect = disconnect
        self._ping_interval = ping_interval
        self._lock = loop.lock()
        self._outbox = Outbox(channel, codec.encode, max_outbox, channel.abort, self._lock)
        self._outbox.hold(handshake)
        self._inbox: Inbox | None = None
        self._items: deque[tuple[int, bytes]] = deque([(ARRIVAL, b"")])
        self._backlog = Backlog(parallel_requests)
        self._reader: object = None
        self._room: Any = None
        self._ended: Any = None
        self._heard = True
        self._given_up = False
        self._close_code = ABNORMAL_CLOSURE
        self._unsent: list[bytes] = []
        self._ping_timer: Timer | None = None
        self._close_timer: Timer | None = None

    # The link --------------------------------------------------------------------

    def open(self) -> None:
        """Answer the handshake: others can reach the client's peer now.

        Not before, or a client in another thread that hears from this one could be told
        that it is not there. Not much later, as the site is told next, and may block.
        """
        self._outbox.release()

    def send(self, payload: bytes) -> bool:
        """Send a text message without blocking.

        :returns: ``False`` when it was not taken: the link is no longer open, or, being
            too slow, is not any more. It is not among what is handed over, then.
        """
        return self._transmit(TEXT, payload)

    def close(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Start the closing handshake without blocking.

        Messages that wait are sent; requests that wait are not handled.
        """
        with self._lock:
            if self._enter("close", code):
                self._drop_backlog()
                self._send_close(code, reason)

    def retire(self, code: int, reason: str) -> None:
        """Close, leaving what waits to be sent to the next link, which may be there already.

        The requests that wait are handled: who sent them is not gone.
        """
        with self._lock:
            if self._enter("close", code):
                self._unsent = self._outbox.take_unsent()
                self._send_close(code, reason)

    def take_unsent(self) -> list[bytes]:
        """Hand over the messages that it has taken and not sent, in order, once."""
        with self._lock:
            unsent, self._unsent = self._unsent, []
            return unsent

    def abandon(self, code: int, reason: str) -> None:
        """Send Close because the process is exiting: no timer or greenlet will run again."""
        with self._lock:
            if self.state is OPEN:
                self.state = CLOSING
                self._send_close(code, reason)

    # Its life --------------------------------------------------------------------

    def serve(self) -> None:
        """Serve the client; returns when reading has ended or has gone elsewhere."""
        try:
            try:
                inbox = self._connect(self)
            finally:
                self.open()
            self._begin(inbox)
        except TooManyPeers as error:
            # Another device came first, between the authorization and now.
            self._fail(FrameError(POLICY_VIOLATION, str(error)))
        except BaseException:
            self._end()
            raise
        self._reader = reader = object()
        self._read(reader)

    def serve_to_the_end(self) -> None:
        """Serve the client; returns when the connection has ended."""
        self._ended = self._loop.event()
        try:
            self.serve()
            self._ended.wait()
        except BaseException:
            # The server is about to close the socket, which another greenlet may read.
            self._give_up()
            self._ended.wait()
            raise

    def _begin(self, inbox: Inbox) -> None:
        with self._lock:
            self._inbox = inbox
            if self.state is not OPEN:
                # Closed by another that found the peer before this greenlet came here.
                self._loop.spawn(self._tell_departure)
            elif self._ping_interval:
                self._ping_timer = self._loop.call_later(self._ping_interval, self._keep_alive)

    def _introduce(self, reader: object) -> None:
        """Have the site told who has come: a task like a request, and before the first."""
        if self._inbox is None:
            return  # was not let in
        with self._lock:
            self._backlog.claim_all()
        blocked = self._loop.when_blocked(self._hand_over, reader)
        try:
            self._start(blocked, self._tell_arrival)
        finally:
            if blocked is not None:
                blocked.stop()

    def _tell_arrival(self) -> None:
        assert self._inbox is not None
        self._inbox.introduce()
        with self._lock:
            waiting = [self._backlog.pass_on() for _ in range(self._backlog.parallel - 1)]
        for request in waiting:
            if request is not None:
                self._loop.spawn(self._work, self._inbox.handle, request)

    def _read(self, reader: object) -> None:
        """Read and handle until the connection ends, or another greenlet is the reader."""
        try:
            while self._reader is reader:
                if self._items:
                    self._take_item(reader, *self._items.popleft())
                elif self._backlog.is_full and self.state is OPEN:
                    self._wait_for_room()
                elif not self._receive():
                    self._end()
                    return
        except BaseException:
            # A defect, or something raised to end this greenlet: the client must not
            # be left with a connection that nobody reads. But when another greenlet is
            # the reader, only that one may close the socket, on which it is waiting.
            self._fail(FrameError(INTERNAL_ERROR, "internal error"))
            if self._reader is reader:
                self._end()
            raise

    def _receive(self) -> bool:
        """Read what the socket has; ``False`` at its end."""
        data = self._channel.recv()
        # A client that never stops sending would never be seen to end.
        if not data or self._given_up:
            return False
        self._heard = True
        if self.state is DRAINING:
            return True
        self._items.extend(self._codec.receive(data))
        if self._codec.error is not None:
            self._items.append((ERROR, b""))
        return True

    def _take_item(self, reader: object, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            if self.state is OPEN:
                self._take_message(reader, payload)
        elif opcode == PING:
            self._transmit(PONG, payload)
        elif opcode == CLOSE:
            self._take_close(payload)
        elif opcode == ERROR:
            self._fail(self._codec.error)
        elif opcode == ARRIVAL:
            self._introduce(reader)
        elif opcode != PONG and self.state is OPEN and self._inbox is not None:
            self._inbox.receive_binary()

    def _take_message(self, reader: object, payload: bytes) -> None:
        blocked = self._loop.when_blocked(self._hand_over, reader)
        try:
            assert self._inbox is not None
            request = self._inbox.receive(payload)
            if request is None or not self._claim(request, len(payload)):
                return
            self._start(blocked, self._inbox.handle, request)
        finally:
            if blocked is not None:
                blocked.stop()

    def _hand_over(self, reader: object) -> None:
        """Make another greenlet the reader: ``reader`` has blocked in a handler."""
        if self._reader is reader and self.state is not CLOSED:
            self._reader = successor = object()
            self._loop.spawn(self._read, successor)

    def _claim(self, request: Request, length: int) -> bool:
        with self._lock:
            return self._backlog.claim(request, length)

    def _start(self, blocked: Any, task: Callable[..., None], *args: Any) -> None:
        """Do a task here, if it is noticed when it blocks, or else in a thread of its own."""
        if blocked is None:
            self._loop.spawn(self._work, task, *args)
        else:
            self._work(task, *args)

    def _work(self, task: Callable[..., None], *args: Any) -> None:
        """Do a task, then handle the requests that have come meanwhile."""
        assert self._inbox is not None
        while True:
            try:
                task(*args)
            except BaseException:
                self._recover()
                raise
            with self._lock:
                request = self._backlog.pass_on()
                room = self._room
            if room is not None:
                room.set()
            if request is None:
                return
            task, args = self._inbox.handle, (request,)

    def _recover(self) -> None:
        """Go on after something that ends this greenlet; the connection ends with it."""
        assert self._inbox is not None
        with self._lock:
            if self.state is OPEN:
                self._drop_backlog()
                self._fail(FrameError(INTERNAL_ERROR, "internal error"))
            # A client that had left already does not learn of this, and may have come back
            # to wait for the answers to what it had sent before.
            request = self._backlog.pass_on()
        if request is not None:
            self._loop.spawn(self._work, self._inbox.handle, request)

    def _drop_backlog(self) -> None:
        for request in self._backlog.drop():
            assert self._inbox is not None
            self._inbox.forget(request)

    def _wait_for_room(self) -> None:
        self._room = room = self._loop.event()
        if self._backlog.is_full and self.state is OPEN:
            room.wait()
        self._room = None
        # Nobody was listening; that says nothing about the client.
        self._heard = True

    def _transmit(self, opcode: int, payload: bytes) -> bool:
        # One step, or another thread's Close frame could come before this message.
        with self._lock:
            if self.state is not OPEN:
                return False
            if self._outbox.send(opcode, payload):
                return True
            self._fail(FrameError(POLICY_VIOLATION, "slow consumer"))
            return False

    # Its end ---------------------------------------------------------------------

    def _keep_alive(self) -> None:
        """Ping, or give up: the client has sent nothing since the last ping."""
        with self._lock:
            if self.state is not OPEN:
                return
            if not self._heard and not self._room:
                self._fail(FrameError(POLICY_VIOLATION, "ping timeout"))
                self._give_up()  # nobody is there to finish a closing handshake with
                return
            self._heard = False
            if not self._transmit(PING, b""):
                return
            assert self._ping_interval is not None
            self._ping_timer = self._loop.call_later(self._ping_interval, self._keep_alive)

    def _take_close(self, payload: bytes) -> None:
        try:
            code, _ = decode_close(payload)
        except ValueError as error:
            self._fail(error.args[0])
            return
        with self._lock:
            was_open = self.state is OPEN
            if self._enter("received close", code):
                if was_open:
                    if code not in LEAVING:
                        self._unsent = self._outbox.take_unsent()
                    self._send_close(code)
                self._outbox.finish(self._channel.shut_down_writing)

    def _fail(self, error: FrameError) -> None:
        """Close for a reason of ours, after which nothing more is understood or sent."""
        with self._lock:
            was_open = self.state is OPEN
            if self._enter("failed", error.code):
                if was_open:
                    self._unsent = self._outbox.take_unsent()
                    self._send_close(error.code, error.reason)
                self._outbox.finish(self._channel.shut_down_writing)

    def _send_close(self, code: int, reason: str = "") -> None:
        self._outbox.send(CLOSE, close_payload(code, reason), bounded=False)

    def _give_up(self) -> None:
        """Break the connection; the reader sees its end."""
        self._given_up = True
        self._channel.abort()

    def _end(self) -> None:
        """Give everything back: the connection has ended."""
        with self._lock:
            was_open = self.state is OPEN
            if not self._enter("ended", ABNORMAL_CLOSURE):
                return
            if was_open:
                self._unsent = self._outbox.take_unsent()
            for timer in (self._ping_timer, self._close_timer):
                if timer is not None:
                    timer.cancel()
            self._outbox.close()
            self._channel.close()
        if self._ended is not None:
            self._ended.set()

    def _enter(self, event: str, code: int) -> bool:
        """Follow the table, holding the lock; ``False`` when the event means nothing now.

        :param code: why, should this be what ends the open state.
        """
        old, state = self.state, TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        if old is OPEN:
            self._close_code = code
            if state is not CLOSED:
                self._close_timer = self._loop.call_later(CLOSE_TIMEOUT, self._give_up)
            if self._room is not None:
                self._room.set()
            if self._inbox is not None:
                # Not here: what the site does when a peer goes may block, and a sender
                # that overflows somebody's outbox must not wait for it.
                self._loop.spawn(self._tell_departure)
        return True

    def _tell_departure(self) -> None:
        assert self._inbox is not None
        self._disconnect(self._inbox, self, self._close_code)
