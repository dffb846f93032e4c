"""A connection to Redis: commands go out, replies come to functions.

The transport has the sockets: a :class:`RedisConnection` works on any of its channels, among
greenlets and among threads, with and without TLS. It needs from outside a socket that
has been opened, authenticated and switched to RESP3 (``opening``)::

    connection.ask(then, b"HGETALL", key)     # never blocks; then(reply) comes in order
    reply = connection.call(b"GET", key)      # blocks this greenlet or thread
    connection.ask_packed(then, prefix + ...) # with bytes of pack(): the fast way
    connection.tell_packed(...)               # no reply: see NO_REPLY
    connection.before_write(function)         # function() asks at the end of the round

**A reply** is what hiredis makes of it: ``int``, ``bytes``, ``None``, ``list``, ``dict``, ``True``.
An error is an *instance* of an exception: :class:`RedisError` when Redis says so ("-OOM ..."), or
:class:`ConnectionLost` when the connection has ended before the reply. ``then`` gets it as an
argument, :meth:`~RedisConnection.call` raises it. ``then`` may be ``None``. It is called where
replies are read, and must not block.

**Commands of one round of the hub leave in one write**, at its end. Among threads each leaves at
once.

**Push messages** (RESP3: messages of subscriptions, invalidations) go to one function, as lists
whose first item is their kind: ``[b"message", channel, data]``, ``[b"invalidate", [key]]`` or
``[b"invalidate", None]``. That Redis confirms a subscription is the reply of its command. So a
``SUBSCRIBE`` must have a single channel.

**The end** comes once: everything unanswered gets :class:`ConnectionLost`, in order, and then the
function for the end is called. Nothing is repeated. An ``ask()`` later gets the error soon.

Among greenlets, all methods but :meth:`~RedisConnection.call` belong to the thread of the hub.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Callable, Optional

import hiredis

from ..core.errors import ProtooError
from ..core.scheduling import one_step
from ..transport.channel import Channel, Loop
from ..transport.forked_child import inherit

logger = logging.getLogger(__name__)

#: ``then(reply)``.
Then = Optional[Callable[[Any], Any]]

#: An error that Redis has replied; its text begins with a code: ``"OOM command not allowed ..."``.
RedisError = hiredis.ReplyError

#: Bytes that are kept for one write. More would not be cheaper.
WRITE_SIZE = 256 * 1024

#: Bytes that may wait, besides those that the sockets of both sides take. A Redis that answers
#: takes as much in a few hundredths of a second, so one that has so much to take hangs.
MAX_UNSENT = 16 * 1024 * 1024

#: Seconds for a reply. Redis answers within a millisecond; the limit is for one that hangs.
REPLY_TIME = 3.0

#: Stands before a command whose reply nobody needs: Redis sends none. Neither side then wakes up
#: for it, which is a tenth of the work of an item that is alone in its round.
NO_REPLY = b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n"

#: The kinds of push messages that are the reply to a command.
_REPLIES = frozenset((b"subscribe", b"unsubscribe"))


class ConnectionLost(ProtooError):
    """There is no reply: the connection has ended, or the reply has not come in time."""


def pack(*args: bytes | str | int | float) -> bytes:
    """Return a command in Redis' format (RESP: an array of bulk strings)."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = arg if type(arg) is bytes else str(arg).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class RedisConnection:
    """A connection, among greenlets.

    :param on_push: ``on_push(message)``: called with each push message; must not block.
    :param on_end: ``on_end(reason)``: called once, in a greenlet or thread of its own.
    :ivar is_open: ``False`` once its end is certain.
    :ivar reason: why it has ended.
    """

    def __init__(
        self,
        channel: Channel,
        loop: Loop,
        on_push: Callable[[list[Any]], Any],
        on_end: Callable[[str], Any],
    ) -> None:
        self.is_open = True
        self.reason = ""
        self._channel = channel
        self._loop = loop
        self._on_push = on_push
        self._on_end = on_end
        self._reader = hiredis.Reader()
        #: The functions that replies are awaited for, in order.
        self._waiting: deque[Then] = deque()
        #: Commands that no write has begun with, and their bytes.
        self._unsent: list[bytes] = []
        self._size = 0
        #: Functions that have commands to add to the next write.
        self._fillers: list[Callable[[], Any]] = []
        #: The rest of a write that the socket did not take.
        self._rest = memoryview(b"")
        #: Whether somebody is going to write: at the end of the round, or when the socket can.
        self._is_held = False
        self._is_blocked = False
        self._has_ended = False
        #: Whether commands without replies were sent; one that is refused has a reply nevertheless.
        self._has_told = False
        self._are_replies_astray = False
        inherit(self)

    def start(self) -> None:
        """Begin to read."""
        self._channel.watch(self._take_turn)

    # Commands ----------------------------------------------------------------------------

    def ask(self, then: Then, *args: bytes | str | int | float) -> None:
        """Send a command; ``then(reply)`` is called with the reply or an error."""
        self.ask_packed(then, pack(*args))

    def ask_packed(self, then: Then, command: bytes) -> None:
        """Send a command that :func:`pack` has made."""
        if not self.is_open:
            if then is not None:
                self._loop.spawn(then, ConnectionLost(self.reason))
            return
        self._waiting.append(then)
        self._put(command)

    def tell_packed(self, command: bytes) -> None:
        """Send a command that :func:`pack` has made, and get no reply.

        The connection must have the right to ``CLIENT REPLY``.
        """
        if self.is_open:
            self._has_told = True
            self._put(NO_REPLY + command)

    def _put(self, command: bytes) -> None:
        self._unsent.append(command)
        self._size += len(command)
        if not self._is_held:
            self._is_held = True
            self._write_soon()
        elif self._size > WRITE_SIZE:
            self._relieve()

    def before_write(self, function: Callable[[], Any]) -> None:
        """Call ``function()`` once, just before commands are written next; it asks.

        It must not block. Not when the connection ends before: then nothing is written.
        """
        self._fillers.append(function)
        if not self._is_held:
            self._is_held = True
            self._write_soon()

    def call(self, *args: bytes | str | int | float, timeout: float = REPLY_TIME) -> Any:
        """Send a command, and return the reply. Blocks, and may be called by any thread.

        :param timeout: seconds.
        :raises RedisError: that Redis has replied.
        :raises ConnectionLost: when there is no reply.
        """
        replied = self._loop.event()
        replies: list[Any] = []

        def take(reply: Any) -> None:
            replies.append(reply)
            replied.set()

        if self._loop.is_foreign():
            self._loop.hand_over(self.ask, take, *args)
        else:
            self.ask(take, *args)
        replied.wait(timeout)
        if not replies:
            raise ConnectionLost(f"Redis has not replied within {timeout:g} seconds")
        reply = replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    # Writing -----------------------------------------------------------------------------

    def _write_soon(self) -> None:
        if not self._channel.batch_writes(self):
            # This greenlet was resumed in the middle of an iteration of the hub. When it blocks
            # next, or ends, the hub goes on with its callbacks.
            self._loop.spawn(self.uncork)

    def uncork(self) -> None:
        """Write the commands now; the channel calls this method at the end of the round."""
        if not self._is_blocked:
            self._fill()
            self._flush()

    def _fill(self) -> None:
        while self._fillers and self.is_open:
            self._fillers.pop()()

    def _relieve(self) -> None:
        """Keep no more than a write, or no more than the bound when the socket is full."""
        if not self._is_blocked:
            # A writer that was about to begin may find nothing, or less.
            self._flush()
            self._is_held = True
        elif self._size > MAX_UNSENT:
            self.fail("it takes no more commands: it hangs, or the network does")

    def _flush(self) -> None:
        """Write everything; if the socket is full, go on when it is not."""
        data: bytes | memoryview = self._rest
        try:
            while self.is_open:
                if not data:
                    if not self._unsent:
                        break
                    data = b"".join(self._unsent)
                    self._unsent.clear()
                    self._size = 0
                sent = self._channel.send(data)
                if sent < len(data):
                    self._rest = memoryview(data)[sent:]
                    self._is_blocked = self._is_held = True
                    self._channel.when_writable(self._on_writable)
                    return
                data = b""
        except OSError as error:
            self.fail(f"writing has failed: {error}")
        self._rest = memoryview(b"")
        self._is_held = self._is_blocked = False

    def _on_writable(self) -> None:
        self._is_blocked = False
        if self.is_open:
            self._fill()
            self._flush()

    # Reading -----------------------------------------------------------------------------

    def _take_turn(self) -> None:
        """Read what is there, and hand it over."""
        channel, reader = self._channel, self._reader
        data = channel.recv()
        if data is None:
            return
        if not data:
            self._end()
            return
        if self._are_replies_astray:
            return
        try:
            reader.feed(data)
            self._hand_over()
            while channel.buffers_input and self.is_open and channel.has_buffered_input():
                data = channel.recv()
                if not data:
                    break  # the socket becomes readable at its end
                reader.feed(data)
                self._hand_over()
        except hiredis.ProtocolError as error:
            self.fail(f"it does not speak Redis' protocol: {error}")

    def _hand_over(self) -> None:
        gets, waiting = self._reader.gets, self._waiting
        while True:
            reply = gets()
            if reply is False:
                return
            try:
                if type(reply) is hiredis.PushNotification and reply[0] not in _REPLIES:
                    self._on_push(reply)
                elif waiting:
                    if self._has_told and type(reply) is RedisError and self._is_astray(reply):
                        return
                    then = waiting.popleft()
                    if then is not None:
                        then(reply)
            except Exception:
                # A defect: the replies to others are none of its business.
                logger.exception("a reply of Redis was not understood")

    def _is_astray(self, error: Exception) -> bool:
        """End the connection if this may be the reply to a command that has none.

        The right to that has been taken away meanwhile. The replies that follow belong to others.
        """
        text = str(error)
        if not (text.startswith("NOPERM") and "client" in text.lower()):
            return False
        self.fail(f"it refuses what it took before: {text}")
        self._are_replies_astray = True
        return True

    # The end -----------------------------------------------------------------------------

    def close(self) -> None:
        """End the connection, after the commands so far have been written, if they can be."""
        self.uncork()
        self.fail("it was closed here")

    def fail(self, reason: str) -> None:
        """End the connection because of an error: its end is read soon."""
        if self.is_open:
            self.is_open = False
            self.reason = reason
            self._channel.abort()

    def _end(self) -> None:
        """Give everything back: the end has been read."""
        if self._has_ended:
            return
        self._has_ended = True
        self.fail("it has ended the connection")
        self._channel.close()
        self._unsent.clear()
        self._rest = memoryview(b"")
        self._loop.spawn(self._tell_end)

    def _tell_end(self) -> None:
        error = ConnectionLost(self.reason)
        waiting = self._waiting
        while waiting:
            then = waiting.popleft()
            try:
                if then is not None:
                    then(error)
            except Exception:
                # A defect: the others that wait have to hear of the end as well.
                logger.exception("the end of a connection to Redis was not understood")
        self._on_end(self.reason)

    def leave_to_parent(self) -> None:
        """Be closed, in a process that was just forked: see ``transport.forked_child``."""
        self.is_open = False
        self.reason = "this process was forked from the one that has the connection"
        self._waiting.clear()
        self._unsent.clear()


class SharedRedisConnection(RedisConnection):
    """A connection that several threads send by."""

    def __init__(
        self,
        channel: Channel,
        loop: Loop,
        on_push: Callable[[list[Any]], Any],
        on_end: Callable[[str], Any],
    ) -> None:
        super().__init__(channel, loop, on_push, on_end)
        self._lock = loop.lock()

    def _write_soon(self) -> None:
        self._flush()  # threads have no common moment at which a round could end

    def before_write(self, function: Callable[[], Any]) -> None:
        with self._lock:
            if self.is_open:
                is_held, self._is_held = self._is_held, True
                function()
                if not is_held:
                    self._flush()

    ask_packed = one_step(RedisConnection.ask_packed)
    tell_packed = one_step(RedisConnection.tell_packed)
    uncork = one_step(RedisConnection.uncork)
    fail = one_step(RedisConnection.fail)
    _on_writable = one_step(RedisConnection._on_writable)
