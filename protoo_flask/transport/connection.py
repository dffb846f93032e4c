"""One WebSocket connection: reading and handling, keep-alive; closing is in ``closing``.

What there is to read is read and handled in turns, each in one go: handing requests to
another greenlet would cost more than all the rest. But a handler may block (a database,
``transaction.wait()``), and while it does, the responses of the same client must be
read. The channel sees to that: between turns nobody reads, and so nobody has to be told
to stop. When the turn blocks and more bytes come, they are another turn's, in another
greenlet. Only what this one has read already needs care: when there is more of it than
the message being handled, the hub is asked to call back as soon as that blocks.
Under threads blocking cannot be noticed, and every request gets a thread.

Requests are handled one at a time (``PROTOO_PARALLEL_REQUESTS``), in the order in
which they came: those that come while one is being handled wait in the backlog.
When the backlog is full, nothing more is read, and TCP slows the client down. What a
client sent before it left is handled; what waits when the site closes is not. That the
site is told who has come is the first task of all: it may block too, and may wait for
what the client answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from ..core.backlog import Backlog, SharedBacklog
from ..core.close_codes import (
    ABNORMAL_CLOSURE,
    GOING_AWAY,
    INTERNAL_ERROR,
    LEAVING,
    NORMAL_CLOSURE,
    POLICY_VIOLATION,
)
from ..core.inbox import Inbox
from ..core.peers.registry import TooManyPeers
from ..core.scheduling import one_step
from .channel import Channel, Loop
from .closing import (
    CLOSE_TIMEOUT,
    CLOSED,
    CLOSING,
    DRAINING,
    OPEN,
    TRANSITIONS,
)
from .outbox import Outbox, SharedOutbox
from .websocket.frames import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameError,
    close_payload,
    decode_close,
)

if TYPE_CHECKING:
    from ..core.deadlines import Deadlines
    from ..core.request import Request
    from ..core.scheduling import Timer

#: What is found behind the last message when no more can be understood.
ERROR = -1


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
    :param silence: calls :meth:`keep_alive` when the ping interval has passed; ``None``
        sends no pings.
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
        "_paused",
        "_silence",
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
        silence: Deadlines[Connection] | None,
        max_outbox: int,
        parallel_requests: int = 1,
    ) -> None:
        self.state = OPEN
        self._channel = channel
        self._loop = loop
        self._codec = codec
        self._connect: Callable[[Connection], Inbox] | None = connect
        #: Until it has been called.
        self._disconnect: Callable[[Inbox, Connection, int], None] | None = disconnect
        self._silence = silence
        self._lock = loop.lock()
        self._outbox = self._make_outbox(max_outbox)
        self._outbox.cork(handshake)
        self._inbox: Inbox | None = None
        #: What has been read and not been taken, the next one last.
        self._items: list[tuple[int, bytes]] = []
        self._backlog = self._make_backlog(parallel_requests)
        self._paused = False
        self._ended: Any = None
        self._heard = True
        self._given_up = False
        self._close_code = ABNORMAL_CLOSURE
        self._unsent: list[bytes] | None = None
        self._close_timer: Timer | None = None

    def _make_outbox(self, limit: int) -> Outbox:
        return Outbox(self._channel, self._codec.encode, limit)

    def _make_backlog(self, parallel: int) -> Backlog:
        return Backlog(parallel)

    # The link --------------------------------------------------------------------

    def open(self) -> None:
        """Answer the handshake: others can reach the client's peer now.

        Not before, or a client in another thread that hears from this one could be told
        that it is not there. Not much later, as the site is told next, and may block.
        """
        with self._lock:
            self._outbox.uncork()

    def send(self, payload: bytes, opcode: int = TEXT) -> bool:
        """Send a text message without blocking (or a control frame, inside the transport).

        :returns: ``False`` when it was not taken: the link is no longer open, or, being
            too slow, is not any more. It is not among what is handed over, then.
        """
        if self.state is not OPEN:
            return False
        if self._outbox.send(opcode, payload):
            return True
        self._fail(FrameError(POLICY_VIOLATION, "slow consumer"))
        return False

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
            unsent, self._unsent = self._unsent, None
            return unsent or []

    def abandon(self, code: int, reason: str) -> None:
        """Send Close because the process is exiting: no timer or greenlet will run again."""
        with self._lock:
            if self.state is OPEN:
                self.state = CLOSING
                self._send_close(code, reason)
                self._outbox.uncork()  # nobody else will

    # Its life --------------------------------------------------------------------

    def serve(self) -> None:
        """Begin; returns when the site has been told who has come. Reading has begun before."""
        connect, self._connect = self._connect, None  # it holds what is the peer's from now on
        assert connect is not None
        try:
            try:
                inbox = connect(self)
            finally:
                self.open()
            self._begin(inbox)
        except TooManyPeers as error:
            # Another device came first, between the authorization and now.
            self._fail(FrameError(POLICY_VIOLATION, str(error)))
            self._channel.watch(self._take_turn)
            return
        except BaseException:
            self._end()
            raise
        self._backlog.claim_all()
        self._channel.watch(self._take_turn)
        self._introduce(inbox)

    def serve_to_the_end(self) -> None:
        """Serve the client; returns when the connection has ended."""
        self._ended = self._loop.event()
        try:
            self.serve()
            self._ended.wait()
        except BaseException:
            # The server is about to close the socket, which another greenlet may read. gevent's
            # do that when they stop, to who has stayed with them: connections over TLS.
            self.retire(GOING_AWAY, "shutting down")
            self._give_up()
            self._ended.wait()
            raise

    def _begin(self, inbox: Inbox) -> None:
        with self._lock:
            self._inbox = inbox
            if self.state is not OPEN:
                # Closed by another that found the peer before this greenlet came here.
                self._loop.spawn(self._tell_departure)
            elif self._silence is not None:
                self._silence.add(self)

    # Reading ---------------------------------------------------------------------

    def _take_turn(self) -> None:
        """Take what has been read; first of all, read."""
        try:
            if self._items or self._paused:
                self._take_items()
            else:
                data = self._channel.recv()
                if data is not None:
                    text = self._codec.read_text(data)
                    is_open = self.state is OPEN and not self._given_up
                    if text is not None and is_open and not self._channel.buffers_input:
                        # As a rule: there is nothing besides it that could be left behind.
                        self._heard = True
                        self._take_message(text)
                    elif self._receive(data):
                        self._take_items()
                    else:
                        self._end()
            if self._backlog.size:
                self._pause()
            # While it is paused, this would be a turn that only asks for the next.
            if (
                self._channel.buffers_input
                and not self._paused
                and self._channel.has_buffered_input()
            ):
                self._loop.spawn(self._take_turn)
        except BaseException:
            # A defect, or something raised to end this greenlet: the client must not
            # believe that it is understood.
            self._fail(FrameError(INTERNAL_ERROR, "internal error"))
            raise

    def _receive(self, data: bytes) -> bool:
        """Take what the socket had; ``False`` at its end."""
        # A client that never stops sending would never be seen to end.
        if not data or self._given_up:
            return False
        self._heard = True
        if self.state is not DRAINING:
            self._items = items = self._codec.receive(data)
            if self._codec.error is not None:
                items.append((ERROR, b""))
            items.reverse()
        return True

    def _take_items(self) -> None:
        """Take all that has been read, or leave it to another greenlet when this one blocks."""
        items = self._items
        if self._loop.preempts or (len(items) < 2 and not self._channel.buffers_input):
            while items:
                self._take_item(*items.pop())
            return
        blocked = self._loop.when_blocked(self._go_on)
        # Their answers go out together, at the end, or when one of them blocks.
        self._outbox.cork()
        try:
            while self._items and blocked.pending:
                self._take_item(*self._items.pop())
        finally:
            if blocked.pending:
                blocked.stop()
                self._outbox.uncork()

    def _go_on(self) -> None:
        """Do what is left of a turn that has blocked."""
        self._outbox.uncork()
        self._take_turn()

    def _take_item(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            if self.state is OPEN:
                self._take_message(payload)
        elif opcode == PING:
            self.send(payload, PONG)
        elif opcode == CLOSE:
            self._take_close(payload)
        elif opcode == ERROR:
            self._fail(self._codec.error)
        elif opcode != PONG and self.state is OPEN and self._inbox is not None:
            self._inbox.receive_binary()

    def _take_message(self, payload: bytes) -> None:
        inbox = self._inbox
        assert inbox is not None
        request = inbox.receive(payload)
        if request is not None and self._backlog.claim(request, len(payload)):
            self._start(inbox, request)

    def _pause(self) -> None:
        """Read no more, if the backlog is full, until there is room in it again."""
        with self._lock:
            if self._backlog.is_full and self.state is OPEN:
                self._paused = True
                self._channel.unwatch()

    def _resume(self) -> None:
        """Read again, holding the lock, if there is room or nothing waits for any."""
        if self._paused and not (self._backlog.is_full and self.state is OPEN):
            self._paused = False
            # Nobody was listening; that says nothing about the client.
            self._heard = True
            if self.state is not CLOSED:
                self._channel.watch(self._take_turn)

    # Handling --------------------------------------------------------------------

    def _introduce(self, inbox: Inbox) -> None:
        """Have the site told who has come: a task like a request, and before the first."""
        try:
            inbox.introduce()
        except BaseException:
            self._recover(inbox)
            raise
        with self._lock:
            first, *others = [self._backlog.pass_on() for _ in range(self._backlog.parallel)]
            self._resume()
        for request in others:
            if request is not None:
                self._loop.spawn(self._handle, inbox, request)
        self._handle(inbox, first)

    def _handle(self, inbox: Inbox, request: Request | None) -> None:
        """Handle a request, then those that have come meanwhile.

        :param inbox: ours, which may be forgotten before this has come to its end.
        """
        handle = inbox.handle
        while request is not None:
            try:
                handle(request)
            except BaseException:
                self._recover(inbox)
                raise
            request = self._backlog.pass_on()
            if self._paused:
                with self._lock:
                    self._resume()

    #: Handle a request that has just come, when there is a place for it.
    _start = _handle

    def _recover(self, inbox: Inbox) -> None:
        """Go on after something that ends this greenlet; the connection ends with it."""
        with self._lock:
            if self.state is OPEN:
                self._drop_backlog()
                self._fail(FrameError(INTERNAL_ERROR, "internal error"))
            # A client that had left already does not learn of this, and may have come back
            # to wait for the answers to what it had sent before.
            request = self._backlog.pass_on()
        if request is not None:
            self._loop.spawn(self._handle, inbox, request)

    def _drop_backlog(self) -> None:
        for request in self._backlog.drop():
            assert self._inbox is not None
            self._inbox.forget(request)

    # Its end ---------------------------------------------------------------------

    def keep_alive(self) -> None:
        """Ping, or give up: the client has sent nothing since the last ping."""
        with self._lock:
            if self.state is not OPEN:
                return
            if not self._heard and not self._paused:
                self._fail(FrameError(POLICY_VIOLATION, "ping timeout"))
                self._give_up()  # nobody is there to finish a closing handshake with
                return
            self._heard = False
            if not self.send(b"", PING):
                return
            assert self._silence is not None
            self._silence.add(self)

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
        self._outbox.uncork()
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
            if self._silence is not None:
                self._silence.remove(self)
            if self._close_timer is not None:
                self._close_timer.cancel()
            self._outbox.close()
            self._channel.close()
        self._let_go()
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
            self._resume()
            if self._inbox is not None:
                # Not here: what the site does when a peer goes may block, and a sender
                # that overflows somebody's outbox must not wait for it.
                self._loop.spawn(self._tell_departure)
        return True

    def _tell_departure(self) -> None:
        assert self._inbox is not None
        disconnect, self._disconnect = self._disconnect, None
        assert disconnect is not None
        try:
            disconnect(self._inbox, self, self._close_code)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Forget the inbox, which leads back here, when nobody needs it any more.

        Such a circle, and all that hangs on it, would be left to the garbage collector:
        a fifth of the work that a short connection is.
        """
        if self.state is CLOSED and self._disconnect is None:
            self._inbox = None


class SharedConnection(Connection):
    """One among threads.

    A message must not come behind the Close frame that another thread is just sending.
    """

    __slots__ = ()

    def _make_outbox(self, limit: int) -> Outbox:
        return SharedOutbox(self._channel, self._codec.encode, limit, self._lock)

    def _make_backlog(self, parallel: int) -> Backlog:
        return SharedBacklog(parallel, self._lock)

    def _start(self, inbox: Inbox, request: Request | None) -> None:
        self._loop.spawn(self._handle, inbox, request)

    send = one_step(Connection.send)
