"""One WebSocket connection: its life, keep-alive and the closing handshake.

It reads in turns: :mod:`.turns`. :mod:`.closing` has the table of states. The order in which the
core and a connection call each other is in :mod:`..core.inbox`.
"""

from __future__ import annotations

from typing import Any, Callable

from ..core.close_codes import (
    ABNORMAL_CLOSURE,
    LEAVING,
    NORMAL_CLOSURE,
    POLICY_VIOLATION,
)
from ..core.deadlines import Deadlines
from ..core.errors import NotAdmitted
from ..core.inbox import Inbox
from ..core.link import Unsent
from ..core.scheduling import Timer
from .channel import Channel, Loop
from .closing import CLOSE_TIMEOUT, CLOSED, CLOSING, LEFT, OPEN, TRANSITIONS
from .closing_links import ClosingLinks
from .keep_alive import ASK, DECISIONS, END, LOST, SILENT, SPOKEN, UNREAD, WATCH_ANEW
from .outbox import Outbox
from .turns import ERROR, MORE, Turns
from .waiting_frame import ARRIVED, STUCK, WaitingFrame
from .websocket.frames import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameError,
    close_payload,
    decode_close,
)
from .websocket.handshake import serialize_refusal


class Connection(Turns):
    """A link (see :class:`~protoo_flask.core.link.Link`) over a WebSocket.

    :param channel: the socket, upgraded but for ``handshake``.
    :param handshake: the bytes of the 101 response, sent first, by :meth:`open`.
    :param codec: for the frames, as agreed on in the handshake.
    :param connect: called with this link when it is live; returns its inbox. It may
        call :meth:`open` before it has finished.
    :param disconnect: called as ``disconnect(inbox, code)`` when the link is no longer open;
        passes the code on to :meth:`.Inbox.closed`.
    :param silence: calls :meth:`keep_alive` when the ping interval has passed; ``None``
        sends no pings.
    :param closing: the connections that are closing; ``None``: nobody counts them.
    :param device: username and uuid of the client.
    """

    __slots__ = (
        "_close_code",
        "_close_timer",
        "_closing",
        "_connect",
        "_device",
        "_disconnect",
        "_silence",
        "_unsent",
        "_waiting_frame",
    )

    def __init__(
        self,
        channel: Channel,
        loop: Loop,
        codec: Any,
        handshake: bytes,
        *,
        connect: Callable[[Connection], Inbox],
        disconnect: Callable[[Inbox, int], None],
        silence: Deadlines[Connection] | None,
        max_outbox: int,
        closing: ClosingLinks | None = None,
        device: tuple[str, str] = ("", ""),
    ) -> None:
        super().__init__(channel, loop, codec)
        self._closing = closing
        self._device = device
        self._connect: Callable[[Connection], Inbox] | None = connect
        #: ``None`` when it has been called.
        self._disconnect: Callable[[Inbox, int], None] | None = disconnect
        self._silence = silence
        self.outbox = self._make_outbox(max_outbox)
        self.outbox.cork(handshake)
        #: The last ping, or our Close, if there was something to be sent before.
        self._waiting_frame: WaitingFrame | None = None
        self._close_code = ABNORMAL_CLOSURE
        self._unsent: Unsent | None = None
        self._close_timer: Timer | None = None

    def _make_outbox(self, limit: int) -> Outbox:
        return Outbox(self._channel, self._codec.encode, limit, self)

    @property
    def device(self) -> tuple[str, str]:
        """Username and uuid of the client."""
        return self._device

    # The link: the core calls these --------------------------------------------------

    def close(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Start the closing handshake; messages that wait are sent first."""
        with self._lock:
            if self._enter("close", code):
                if self._inbox is not None:
                    self._inbox.drop()
                self._send_close(code, reason)

    def retire(self, code: int, reason: str) -> None:
        """Start the closing handshake; messages that wait are left to the next link."""
        with self._lock:
            if self._enter("close", code):
                self._unsent = self.outbox.take_unsent()
                self._send_close(code, reason)

    def fail(self, code: int, reason: str) -> bool:
        """Close because of an error; ``False`` when the link was not open."""
        return self._close_for(FrameError(code, reason))

    def take_unsent(self) -> Unsent:
        """Give back the messages that it took and has not sent, in order, once."""
        with self._lock:
            unsent, self._unsent = self._unsent, None
            return unsent or []

    # Its life: the server calls these ----------------------------------------------------

    def open(self) -> None:
        """Answer the handshake: others can reach the client's peer now.

        Not earlier: a client in another thread that hears from this client could be told
        that it is not there. Not much later: the site is told next, and its listeners may block.
        """
        with self._lock:
            self.outbox.uncork()

    def serve(self, early: bytes = b"") -> None:
        """Begin; returns when the site has been told "online". Reading has begun before.

        :param early: bytes of the client that the server has read behind the handshake.
        """
        connect, self._connect = self._connect, None  # it holds objects that the peer has now
        assert connect is not None
        if not self._is_awaited(early):
            self._end()
            return
        try:
            try:
                inbox = connect(self)
            except NotAdmitted as error:
                if error.status is not None:
                    refusal = serialize_refusal(error.status, error.reason, error.retry_after)
                    with self._lock:
                        self.outbox.refuse(refusal)
                raise
            finally:
                self.open()
            self._begin(inbox)
        except NotAdmitted as error:
            # Another device came between the authorization and now, or the user was
            # disconnected. Or a cluster has no place, in which case the Close is not sent.
            self._close_for(FrameError(error.code, error.reason))
            self._watch()
            return
        except BaseException:
            self._end()
            raise
        try:
            if self._items:
                self._take_turn()  # requests among them wait until the inbox is opened
        finally:
            # Whatever a response among them has led to.
            with self._lock:
                self._watch()
            inbox.open()

    def _is_awaited(self, early: bytes) -> bool:
        """Whether the client still waits for the answer to its handshake.

        Authorization may have taken long. A client that has gone meanwhile must not take its
        device over from the connection that it has by now, nor get the messages that wait.
        Its end is certain only when everything before it has been read.
        """
        data = early or self._channel.recv()
        return data is None or self._receive(data)

    def abandon(self, code: int, reason: str) -> None:
        """Send Close because the process is exiting: no timer or greenlet will run again."""
        with self._lock:
            if self.state is OPEN:
                self.state = CLOSING
                self._send_close(code, reason)
                self.outbox.uncork()

    def keep_alive(self) -> None:
        """Ask the client for a sign of life, or end the connection: see :mod:`.keep_alive`."""
        with self._lock:
            if self.state is not OPEN:
                return
            if self._is_paused and self._channel.has_hung_up():
                self._leave(ABNORMAL_CLOSURE)
                return
            client, self._heard = self._find_sign_of_life(), False
            ping = self._waiting_frame
            state = None if ping is None else ping.look(self._loop.now())
            decision = DECISIONS[client, state]
            if decision is END and client is LOST:
                self._leave(POLICY_VIOLATION)
                self._channel.abort()  # the end stands behind the bytes that were not read yet
                return
            if decision is END:
                self._close_for(FrameError(POLICY_VIOLATION, "ping timeout"))
                self.break_off()  # nobody is there to finish a closing handshake with
                return
            if state is ARRIVED:
                self._waiting_frame = None
            if decision is ASK:
                self._ping()
            elif decision is WATCH_ANEW:
                self._waiting_frame = WaitingFrame(self.outbox, self._loop.now())
            assert self._silence is not None
            self._silence.add(self)

    def _find_sign_of_life(self) -> str:
        if self._heard:
            return SPOKEN
        if self._is_paused:
            return LOST if self._channel.is_unanswered() else UNREAD
        return SILENT

    def _ping(self) -> None:
        # While nobody reads, the pong is not heard, and the arrival of the ping is all there is.
        if self.outbox.undelivered or self._is_paused:
            self._waiting_frame = WaitingFrame(self.outbox, self._loop.now())
        # Unbounded: one ping at a time is on its way, and a client must not be closed because
        # the outbox has no room for our own question.
        assert self._inbox is not None
        self.outbox.send(PING, self._inbox.mark(), bounded=False)

    def _begin(self, inbox: Inbox) -> None:
        with self._lock:
            self._inbox = inbox
            if self.state is not OPEN:
                # Closed by other code that found the peer before this greenlet came here.
                self._loop.spawn(self._tell_departure)
            elif self._silence is not None:
                self._silence.add(self)

    # What a turn brings ------------------------------------------------------------------

    def _take_item(self, opcode: int, payload: bytes) -> None:
        inbox = self._inbox
        if opcode == TEXT:
            if inbox is not None and (self.state is OPEN or self._may_still_ask(inbox)):
                inbox.receive(payload)
        elif opcode == PING:
            self._send_control(PONG, payload)
        elif opcode == CLOSE:
            self._take_close(payload)
        elif opcode == MORE:
            self._decode(b"")
        elif opcode == ERROR:
            self._close_for(self._codec.error)
        elif self.state is OPEN and inbox is not None:
            if opcode == PONG:
                inbox.confirm(payload)
            else:
                inbox.receive_binary()

    def _may_still_ask(self, inbox: Inbox) -> bool:
        """Whether the requests of a client that has left are handled: the site did not close it."""
        return self.state is LEFT and not inbox.is_removed

    # Its end -------------------------------------------------------------------------------

    def _take_close(self, payload: bytes) -> None:
        try:
            code, _ = decode_close(payload)
        except ValueError as error:
            self._close_for(error.args[0])
            return
        with self._lock:
            was_open = self.state is OPEN
            if self._enter("received close", code):
                if was_open:
                    if code not in LEAVING:
                        self._unsent = self.outbox.take_unsent()
                    self._send_close(code)
                self.outbox.finish(self._channel.shut_down_writing)

    def _close_for(self, error: FrameError) -> bool:
        """Close for a reason of ours, after which nothing more is understood or sent.

        :returns: whether the connection was open.
        """
        with self._lock:
            was_open = self.state is OPEN
            if self._enter("failed", error.code):
                if was_open:
                    self._unsent = self.outbox.take_unsent()
                    self._send_close(error.code, error.reason)
                self.outbox.finish(self._channel.shut_down_writing)
            return was_open

    def _send_control(self, opcode: int, payload: bytes) -> bool:
        if self.state is not OPEN:
            return False
        if self.outbox.send(opcode, payload):
            return True
        self.overflow()
        return False

    def overflow(self) -> None:
        """Close the connection of a client that reads too slowly."""
        is_news = self._close_for(FrameError(POLICY_VIOLATION, "slow consumer"))
        if is_news and self._inbox is not None:
            self._inbox.note_overflow()

    def lose(self) -> None:
        """Take note that writing has failed. A turn reads the end, unless reading is paused."""
        if self._is_paused:
            self._leave(ABNORMAL_CLOSURE)

    def _leave(self, code: int) -> None:
        """Take the client for gone, before everything that it has sent is read."""
        if self._enter("left", code):
            self._unsent = self.outbox.take_unsent()
            self.outbox.close()

    def _send_close(self, code: int, reason: str = "") -> None:
        self.outbox.send_close(close_payload(code, reason))

    def _start_close_timer(self) -> None:
        self._close_timer = self._loop.call_later(CLOSE_TIMEOUT, self._time_out_closing)

    def _time_out_closing(self) -> None:
        """Break the connection, unless the client is still receiving the data before our Close."""
        with self._lock:
            close = self._waiting_frame
            state = STUCK if close is None else close.look(self._loop.now())
            if state is ARRIVED:
                self._waiting_frame = None  # from now on, it has the usual time for its answer
            if state is not STUCK and self.state is not CLOSED:
                self._start_close_timer()
                return
        self.break_off()

    def break_off(self) -> None:
        """Break the connection; the next turn reads its end."""
        with self._lock:
            self.outbox.uncork()
            self._is_broken = True
            self._channel.abort()
            self._resume()  # to read the end

    def _end(self) -> None:
        """Give everything back: the connection has ended."""
        with self._lock:
            was_open = self.state is OPEN
            if not self._enter("ended", ABNORMAL_CLOSURE):
                return
            if was_open:
                self._unsent = self.outbox.take_unsent()
            if self._silence is not None:
                self._silence.remove(self)
            if self._close_timer is not None:
                self._close_timer.cancel()
            if self._closing is not None:
                self._closing.remove(self)
            self.outbox.close()
            self._channel.close()
            inbox = self._inbox
        if inbox is not None:
            inbox.ended()
        self._let_go()

    def _enter(self, event: str, code: int) -> bool:
        """Follow the table, holding the lock; ``False`` when the event means nothing now.

        :param code: of the Close frame, if this event ends the open state.
        """
        old, state = self.state, TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        if old is OPEN:
            self._close_code = code
            if state is not CLOSED and state is not LEFT:
                self._waiting_frame = None
                if self.outbox.size:
                    self._waiting_frame = WaitingFrame(self.outbox, self._loop.now())
                self._start_close_timer()
            if state is not LEFT:
                self._resume()  # to read the client's Close
            if state is not CLOSED and self._closing is not None:
                for link in self._closing.add(self, self._device):
                    # Not here: among threads, it takes the lock of another connection.
                    self._loop.spawn(link.break_off)
            if self._inbox is not None:
                # Not here: listeners of a departure may block, and a sender that overflows
                # the outbox of another client must not wait for them.
                self._loop.spawn(self._tell_departure)
        return True

    def _tell_departure(self) -> None:
        assert self._inbox is not None
        disconnect, self._disconnect = self._disconnect, None
        assert disconnect is not None
        try:
            disconnect(self._inbox, self._close_code)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Forget the inbox when nobody needs it any more.

        The inbox refers to this connection. Such a circle, with everything that hangs on it,
        would be left to the garbage collector: a fifth of the cost of a short connection.
        """
        if self.state is CLOSED and self._disconnect is None:
            self._inbox = None
