"""A device of the soak: the client library of one user, and a record of all that happened to it.

It keeps the rules of the wire: its ids are its own for ever; a request without an answer is sent
again when it is back within the grace period; a request of the server that it has seen gets the
same answer, and nothing is done twice.

After each connect, it asks who it is (``/self`` of the site). A real client cannot know whether its
peer is the same one as before, and asks what it is in. This one forgets everything if it is not.
"""

from __future__ import annotations

import itertools
import time
from typing import Any, Callable

import gevent
import gevent.event

from .client import Connection

#: ``handler(device, data, sender) -> (status, reason, data)``.
Handler = Callable[["Device", dict, Any], "tuple[int, str, dict[str, Any]]"]


#: Requests that :meth:`Device.forget_old` leaves.
KEPT = 1000


class Asked:
    """A request of a device, until its final answer, and after.

    :param then: called with the final answer, before anything that comes after it is read.
    """

    def __init__(self, message: dict[str, Any], then: Callable[[dict[str, Any]], Any]) -> None:
        self.message = message
        self.then = then
        #: The connection by which it was sent last.
        self.connection: Connection | None = None
        self.provisional: list[dict[str, Any]] = []
        self.answer: dict[str, Any] | None = None
        self.sent = 0
        self.answers = 0
        self.is_given_up = False
        self.done = gevent.event.Event()


class Device:
    """One device.

    :ivar faults: what must not happen, in words.
    :ivar asked: all its requests, by their ids.
    :ivar seen: ``{id of a request of the server: its answer}``. The ids of all peers are different.
    :ivar acted: ``{number of a chat message: how many times it was acted upon}``.
    """

    def __init__(
        self,
        username: str,
        uuid: str,
        handlers: dict[str, Handler],
        is_compressed: bool = False,
    ) -> None:
        self.username = username
        self.uuid = uuid
        self.faults: list[str] = []
        self.asked: dict[int, Asked] = {}
        self.seen: dict[int, dict[str, Any]] = {}
        self.acted: dict[int, int] = {}
        self.connection: Connection | None = None
        #: Whether it ignores what comes late by a former connection, as pages do. On a bad network,
        #: that may be older than what the latest one has brought.
        self.ignores_former = False
        #: When its latest connection ended.
        self.lost_at = 0.0
        self.codes: list[int] = []
        #: What the site has said of its peer; empty before it has, and when it has left.
        self.identity: dict[str, Any] = {}
        self._handlers = handlers
        #: Ids of requests of the server that its handlers are about to answer.
        self._in_progress: set[int] = set()
        self._is_compressed = is_compressed
        self._ids = itertools.count(1)
        #: Requests with smaller ids are forgotten.
        self._oldest = 0
        self.ended = gevent.event.Event()
        self.ended.set()

    @property
    def name(self) -> str:
        return f"{self.username}/{self.uuid}"

    @property
    def state(self) -> str:
        """Whether it is connected, and how its latest connections have ended; for faults."""
        state = "connected" if self.connection is not None else "not connected"
        return f"{state}, latest codes {self.codes[-3:]}"

    # Connections ------------------------------------------------------------------------

    def connect(self, port: int) -> bool | None:
        """Connect, or move to another server; unanswered requests are sent again.

        :returns: whether its peer is another one than before; ``None``: nobody can tell. Then it
            has left, and is a new one with its next connection.
        :raises Refused: or OSError.
        """
        query = f"username={self.username}&uuid={self.uuid}"

        def take(message: dict[str, Any]) -> None:
            if self.connection is connection or not self.ignores_former:
                self._take(message)

        connection = Connection(port, query, take, self._note_end, self._is_compressed)
        self.connection = connection
        self.ended.clear()
        connection.start()
        asked = self.ask("get", "/self")
        while not asked.done.wait(0.1):
            if self.connection is not connection:
                raise OSError("the connection has ended")
        assert asked.answer is not None
        former, self.identity = self.identity, asked.answer["data"]
        if not former or _is_same(former, self.identity):
            self._send_again(connection)
            return False
        if not former["born"] or not self.identity["born"]:
            # One of them has come while Redis was away.
            self.leave()
            self.become_new()
            return None
        self.give_up()
        return True

    def look(self) -> None:
        """Ask who it is, before it goes: a worker that was taken for dead has made a new peer of
        it, without an end of the connection.
        """
        connection, asked = self.connection, self.ask("get", "/self")
        while self.connection is connection is not None:
            if asked.done.wait(0.1):
                if asked.answer is not None:
                    self.identity = asked.answer["data"]
                return

    def _send_again(self, connection: Connection) -> None:
        for asked in list(self.asked.values()):
            is_open = asked.answer is None and not asked.is_given_up
            if is_open and asked.connection is not connection and asked.message["path"] != "/self":
                self._send(asked)

    def _send(self, asked: Asked) -> None:
        if self.connection is not None:
            asked.sent += 1
            asked.connection = self.connection
            self.connection.send(asked.message)

    def drop(self) -> None:
        """Lose the connection."""
        if self.connection is not None:
            self.connection.break_off()

    def leave(self, patience: float = 20.0) -> None:
        """Leave for good: what it has asked is of no interest any more."""
        if self.connection is not None:
            self.connection.close(1000)
            self.ended.wait(patience)
        self.give_up()

    def give_up(self) -> None:
        """Expect no more answers: the peer is offline, and the next one is another."""
        for asked in self.asked.values():
            asked.is_given_up = True
            asked.done.set()

    def become_new(self) -> None:
        """Be another peer with the next connection."""
        self.give_up()
        self.identity = {}

    def _note_end(self, connection: Connection, code: int) -> None:
        self.codes.append(code)
        if connection is self.connection:
            self.connection = None
            self.lost_at = time.monotonic()
            self.ended.set()

    # Requests of its own ------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        data: dict[str, Any] | None = None,
        then: Callable[[dict[str, Any]], Any] = lambda answer: None,
    ) -> Asked:
        """Send a request."""
        message = {"method": method, "path": path, "id": next(self._ids), "data": data or {}}
        asked = self.asked[message["id"]] = Asked(message, then)
        self._send(asked)
        return asked

    def forget_old(self) -> None:
        """Forget all requests but the latest ones: a device that asks for hours has many."""
        if len(self.asked) < 2 * KEPT:
            return
        for id in list(self.asked)[:KEPT]:
            if self.asked[id].done.is_set():
                del self.asked[id]
                self._oldest = max(self._oldest, id)

    def _take_response(self, message: dict[str, Any]) -> None:
        asked = self.asked.get(message["id"])
        if asked is None:
            if message["id"] <= self._oldest:
                return
            self.faults.append(f"{self.name}: an answer to nothing: {message}")
            return
        if message["status"] < 200:
            asked.provisional.append(message)
            return
        asked.answers += 1
        if asked.answer is None:
            asked.answer = message
            if not asked.is_given_up:
                asked.then(message)
            asked.done.set()
        elif asked.answers > asked.sent and not asked.is_given_up:
            self.faults.append(
                f"{self.name}: {asked.answers} answers to a request sent {asked.sent} times: "
                f"{asked.message['method']} {asked.message['path']}: {asked.answer} and {message}"
            )

    # Requests of the server ---------------------------------------------------------------

    def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            self._take_response(message)
            return
        id = message.get("id")
        answer = self.seen.get(id) if id is not None else None
        if id is not None and id in self._in_progress:
            return  # it came again on another connection, and is answered there soon
        if answer is None:
            if id is not None:
                self._in_progress.add(id)
            handler = self._handlers.get(message["method"])
            data, sender = message.get("data", {}), message.get("sender")
            status, reason, rest = (405, "unknown", {})
            if handler is not None:
                status, reason, rest = handler(self, data, sender)
            if id is None:
                return
            answer = {"status": status, "reason": reason, "id": id, "data": rest}
            self.seen[id] = answer
            self._in_progress.discard(id)
        if self.connection is not None:
            self.connection.send(answer)

    def act(self, number: int) -> None:
        """Act upon a chat message."""
        self.acted[number] = self.acted.get(number, 0) + 1
        if self.acted[number] > 1:
            self.faults.append(f"{self.name}: acted {self.acted[number]} times upon {number}")


def _is_same(former: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether the site has said the same peer twice.

    ``born`` is that of the directory, and 0 of a peer that has come while it was away; ``object``
    is that of the process.
    """
    return former["object"] == now["object"] or former["born"] == now["born"] != 0
