"""A device of the soak: the client library of one user, and a record of all that happened to it.

It keeps the rules of the wire: its ids are its own for ever; a request without an answer is sent
again when it is back within the grace period; a request of the server that it has seen gets the
same answer, and nothing is done twice.
"""

from __future__ import annotations

import itertools
from typing import Any, Callable

import gevent
import gevent.event

from .client import Connection

#: ``handler(device, data, sender) -> (status, reason, data)``.
Handler = Callable[["Device", dict, Any], "tuple[int, str, dict[str, Any]]"]


class Asked:
    """A request of a device, until its final answer, and after.

    :param then: called with the final answer, before anything that comes after it is read.
    """

    def __init__(self, message: dict[str, Any], then: Callable[[dict[str, Any]], Any]) -> None:
        self.message = message
        self.then = then
        self.provisional: list[dict[str, Any]] = []
        self.answer: dict[str, Any] | None = None
        self.sent = 1
        self.answers = 0
        self.is_given_up = False
        self.done = gevent.event.Event()


class Device:
    """One device.

    :ivar faults: what must not happen, in words.
    :ivar asked: all its requests, by their ids.
    :ivar seen: ``{id of a request of the server: its answer}``.
    :ivar acted: ``{number of a chat message: how many times it was acted upon}``.
    """

    def __init__(self, username: str, uuid: str, handlers: dict[str, Handler]) -> None:
        self.username = username
        self.uuid = uuid
        self.faults: list[str] = []
        self.asked: dict[int, Asked] = {}
        self.seen: dict[int, dict[str, Any]] = {}
        self.acted: dict[int, int] = {}
        self.connection: Connection | None = None
        self.codes: list[int] = []
        #: Whether its server has died since it was last looked at.
        self.has_lost_server = False
        self._is_going = False
        self._is_connecting = False
        self._handlers = handlers
        self._ids = itertools.count(1)
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

    def connect(self, port: int) -> None:
        """Connect, or move to another server; unanswered requests are sent again.

        :raises Refused: or OSError.
        """
        query = f"username={self.username}&uuid={self.uuid}"
        self._is_connecting = True
        try:
            connection = Connection(port, query, self._take, self._note_end)
        finally:
            self._is_connecting = False
        self.connection = connection
        self._is_going = False
        self.ended.clear()
        connection.start()
        for asked in list(self.asked.values()):
            if asked.answer is None and not asked.is_given_up:
                asked.sent += 1
                connection.send(asked.message)

    def drop(self) -> None:
        """Lose the connection."""
        self._is_going = True
        if self.connection is not None:
            self.connection.break_off()

    def leave(self, patience: float = 20.0) -> None:
        """Leave for good: what it has asked is of no interest any more."""
        self._is_going = True
        if self.connection is not None:
            self.connection.close(1000)
            self.ended.wait(patience)
        self.give_up()

    def give_up(self) -> None:
        """Expect no more answers: the peer is offline, and the next one is another."""
        for asked in self.asked.values():
            asked.is_given_up = True
            asked.done.set()
        self.seen.clear()

    def _note_end(self, connection: Connection, code: int) -> None:
        self.codes.append(code)
        if connection is self.connection:
            self.connection = None
            if not self._is_going and not (code == 3000 and self._is_connecting):
                # Its peer is gone with its worker: what it has asked will not be answered. With
                # 3000, it has moved to a worker that has died before the answer to its handshake.
                self.has_lost_server = True
                self.give_up()
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
        if self.connection is not None:
            self.connection.send(message)
        elif self.has_lost_server:
            # In the middle of something: that has come to an end.
            asked.is_given_up = True
            asked.done.set()
        return asked

    def _take_response(self, message: dict[str, Any]) -> None:
        asked = self.asked.get(message["id"])
        if asked is None:
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
        if answer is None:
            handler = self._handlers.get(message["method"])
            data, sender = message.get("data", {}), message.get("sender")
            status, reason, rest = (405, "unknown", {})
            if handler is not None:
                status, reason, rest = handler(self, data, sender)
            if id is None:
                return
            answer = {"status": status, "reason": reason, "id": id, "data": rest}
            self.seen[id] = answer
        if self.connection is not None:
            self.connection.send(answer)

    def act(self, number: int) -> None:
        """Act upon a chat message."""
        self.acted[number] = self.acted.get(number, 0) + 1
        if self.acted[number] > 1:
            self.faults.append(f"{self.name}: acted {self.acted[number]} times upon {number}")
