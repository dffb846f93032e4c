"""The scenario of the soak: users chat, call, meet and watch each other; devices come and go.

Everything random comes from one seed for each device, so that a device does the same in each run
with the same seed. How the devices meet still depends on time.
"""

from __future__ import annotations

import itertools
import random
import time
from typing import Any, Callable, Sequence

import gevent

from .client import Refused
from .device import Asked, Device
from .site import GRACE_PERIOD

USERS = 10
DEVICES = 3
ROOMS = 4

#: Seconds for an answer: the time of a request, of the grace period, and some for a busy machine.
PATIENCE = 40.0

#: Statuses that an action may have when the other side comes and goes.
USUAL = {200, 403, 404, 408, 410, 429, 480, 486, 487, 491, 503, 603}


class Scenario:
    """The devices, and what is known of all of them together.

    :param ports: those of the servers, or of proxies before them.
    :param is_compressed: whether the devices compress, and expect that the server does.
    :ivar counts: ``{what happened: how often}``.
    """

    def __init__(
        self, seed: int | str, ports: Sequence[int], *, is_compressed: bool = False
    ) -> None:
        self.ports = list(ports)
        self.is_compressed = is_compressed
        self.is_over = False
        #: Whether there may be faults of servers.
        self.is_disturbed = True
        #: Whether a peer may be lost with its worker.
        self.may_lose_peers = False
        #: Whether a peer may be, that was there at a moment of ``time.monotonic()``.
        self.excuse: Callable[[float], bool] = lambda moment: self.may_lose_peers
        #: Whether the network loses what is on its way. Then notifications may be lost, and after
        #: each connect a device asks again for what it wants to know (docs/wire-protocol.md).
        self.is_network_bad = False
        #: Whether Redis is away: then a device that connects to another worker is another peer.
        self.is_redis_away = False
        self.counts: dict[str, int] = {}
        self.faults: list[str] = []
        self._numbers = itertools.count(1)
        #: {number of a message that was answered 200 by its one recipient: the recipient}
        self.delivered: dict[int, str] = {}
        #: {path of a call: those that have accepted it, with their connections}
        self.accepted: dict[str, list[tuple[Player, Any]]] = {}
        self.players = [
            Player(self, f"user{user}", f"d{device}", random.Random(f"{seed}/{user}/{device}"))
            for user in range(USERS)
            for device in range(DEVICES)
        ]
        self.by_name = {player.device.name: player for player in self.players}

    def next_number(self) -> int:
        return next(self._numbers)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def note_acceptance(self, path: str, player: Player) -> None:
        """Take note that a device has accepted a call; one that has not won is told so."""
        accepted = self.accepted.setdefault(path, [])
        accepted.append((player, player.device.connection))
        if len(accepted) == 2:
            gevent.spawn(self._check_winner, path)

    def _check_winner(self, path: str) -> None:
        for _ in range(40):
            winners = [
                player.device.name
                for player, connection in self.accepted[path]
                if path in player.calls and player.device.connection is connection is not None
            ]
            if len(winners) < 2:
                self.count("calls with several that accepted")
                return
            gevent.sleep(0.5)
        self.faults.append(f"{path} has several winners: {winners}")

    def all_faults(self) -> list[str]:
        return self.faults + [fault for player in self.players for fault in player.device.faults]

    def play(self, wait: Callable[[], Any], settle: float) -> None:
        """Let all devices do as they like; then all are connected, and quiet.

        :param wait: returns when it has been long enough.
        :param settle: seconds more, in which no worker is killed.
        """
        greenlets = [gevent.spawn(player.live) for player in self.players]
        wait()
        self.is_disturbed = False
        gevent.sleep(settle)
        self.is_over = True
        left = gevent.joinall(greenlets, timeout=PATIENCE * 2)
        if len(left) < len(greenlets):
            self.faults.append(f"{len(greenlets) - len(left)} devices hang")
            gevent.killall([greenlet for greenlet in greenlets if not greenlet.ready()])
        for greenlet in greenlets:
            if greenlet.exception is not None:
                self.faults.append(f"a device failed: {greenlet.exception!r}")


class Player:
    """One device, and its user's habits.

    :ivar calls: ``{path: role}`` of the calls that the device believes to be in.
    :ivar rooms: ``{path: the other members that it knows of}``.
    :ivar watched: ``{username: the latest state that it was told}``.
    """

    def __init__(self, scenario: Scenario, username: str, uuid: str, rnd: random.Random) -> None:
        self._scenario = scenario
        self._rnd = rnd
        self._port = rnd.choice(scenario.ports)
        self.calls: dict[str, str] = {}
        self.rooms: dict[str, set[str]] = {}
        self.watched: dict[str, dict[str, Any]] = {}
        #: Whether it may have missed notifications.
        self._has_missed = False
        self.device = Device(
            username,
            uuid,
            {
                "message": self._on_message,
                "session": self._on_session,
                "end": self._on_end,
                "join": self._on_join,
                "leave": self._on_leave,
                "presence": self._on_presence,
                "update": lambda device, data, sender: (200, "OK", {}),
            },
            scenario.is_compressed,
        )

    # What others do ---------------------------------------------------------------------

    def _on_message(self, device: Device, data: dict[str, Any], sender: Any) -> Any:
        if "sessionPath" not in data:
            device.act(data["number"])
        return 200, "OK", {}

    def _on_session(self, device: Device, data: dict[str, Any], sender: Any) -> Any:
        draw = self._rnd.random()
        gevent.sleep(self._rnd.random() * 0.5)  # it rings
        if draw < 0.3:
            return 486, "busy here", {}
        if draw < 0.35:
            return 603, "decline", {}
        self.calls[data["sessionPath"]] = "callee"
        self._scenario.note_acceptance(data["sessionPath"], self)
        return 200, "OK", {}

    def _on_end(self, device: Device, data: dict[str, Any], sender: Any) -> Any:
        path = data["sessionPath"]
        self.calls.pop(path, None)
        self.rooms.pop(path, None)
        return 200, "OK", {}

    def _on_join(self, device: Device, data: dict[str, Any], sender: Any) -> Any:
        if data["sessionPath"] in self.rooms:
            self.rooms[data["sessionPath"]].add(_name(data["peer"]))
        return 200, "OK", {}

    def _on_leave(self, device: Device, data: dict[str, Any], sender: Any) -> Any:
        self.rooms.get(data["sessionPath"], set()).discard(_name(data["peer"]))
        return 200, "OK", {}

    def _on_presence(self, device: Device, data: dict[str, Any], sender: Any) -> Any:
        if data["username"] in self.watched:
            self.watched[data["username"]] = data
        return 200, "OK", {}

    # What it does -----------------------------------------------------------------------

    def live(self) -> None:
        """Do one thing after the other until the soak is over; then be connected."""
        actions = [
            (10, self._chat),
            (3, self._chat_with_all),
            (3, self._call),
            (4, self._meet),
            (2, self._watch),
            (2, self._drop_and_return),
            (1, self._drop_for_good),
            (1, self._leave_and_return),
            (2, self._move),
        ]
        weights, functions = zip(*actions)
        while not self._scenario.is_over:
            gevent.sleep(self._rnd.random() * 0.2)
            if self.device.connection is None:
                self._connect()
            elif self._has_missed:
                self._ask_again()
            else:
                self._rnd.choices(functions, weights)[0]()
        while self.device.connection is None or self._has_missed:
            if self.device.connection is None:
                self._connect()
            else:
                self._ask_again()

    def _connect(self) -> None:
        port = self._rnd.choice(self._scenario.ports)
        if self._scenario.is_redis_away and self.device.identity:
            port = self._port
        self.device.ignores_former = self._scenario.is_network_bad
        try:
            is_new = self.device.connect(port)
        except (OSError, Refused) as error:
            self._scenario.count(f"refused: {error}")
            gevent.sleep(0.3)
            return
        self._port = port
        self._scenario.count("connections")
        if is_new is False:
            self._has_missed = self._scenario.is_network_bad
            return
        if is_new is None:
            self._scenario.count("unknown peers")
            self._become_new()
            return
        latest = self.device.codes[-1]
        self._scenario.count(f"new peers, Close {latest}")
        absence = time.monotonic() - self.device.lost_at
        if not self._scenario.excuse(self.device.lost_at) and absence < GRACE_PERIOD:
            self._scenario.faults.append(
                f"{self.device.name} is another peer after {latest} and {absence:.1f} s"
            )
        self._become_new()

    def _become_new(self) -> None:
        """Be another peer from now on: the one before is offline."""
        self.calls.clear()
        self.rooms.clear()
        self.watched.clear()

    def _finish(self, what: str, asked: Asked) -> int:
        """Wait for the final answer; returns the status, or 0 if it has been given up."""
        deadline = time.monotonic() + PATIENCE
        while not asked.done.wait(0.2) and time.monotonic() < deadline:
            if self.device.connection is None:
                self._connect()  # as a page does
        if not asked.done.is_set():
            message = asked.message
            self._scenario.faults.append(
                f"{self.device.name}: no answer within {PATIENCE:g} s to {message['method']} "
                f"{message['path']} {message['id']}, sent {asked.sent} times; {self.device.state}"
            )
            asked.is_given_up = True
            return 0
        if asked.answer is None:
            return 0
        status: int = asked.answer["status"]
        self._scenario.count(f"{what}: {status}")
        if status not in USUAL:
            self._scenario.faults.append(f"{self.device.name}: {what} was answered {asked.answer}")
        return status

    def _choose(self) -> Player:
        while True:
            other = self._rnd.choice(self._scenario.players)
            if other is not self:
                return other

    def _chat(self) -> None:
        number, other = self._scenario.next_number(), self._choose().device
        path = f"/users/{other.username}/{other.uuid}"
        asked = self.device.ask("message", path, {"number": number})
        if self._finish("message to a device", asked) == 200:
            self._scenario.delivered[number] = other.name

    def _chat_with_all(self) -> None:
        number, other = self._scenario.next_number(), self._choose().device
        asked = self.device.ask("message", f"/users/{other.username}", {"number": number})
        self._finish("message to a user", asked)

    def _call(self) -> None:
        other = self._choose().device

        def begin(answer: dict[str, Any]) -> None:
            if answer["status"] == 200 and asked.provisional:
                self.calls[asked.provisional[0]["data"]["sessionPath"]] = "caller"

        offer = {"sdp": "offer" * 10}
        asked = self.device.ask("session", f"/users/{other.username}", offer, then=begin)
        gevent.sleep(0.1)
        if self._rnd.random() < 0.1 and asked.provisional and not asked.done.is_set():
            path = asked.provisional[0]["data"]["sessionPath"]
            self._finish("cancel", self.device.ask("end", path))
        if self._finish("call", asked) != 200:
            return
        if not asked.provisional:
            # It was lost with a connection, and the 200 has waited for the next one.
            self._list_calls()
            return
        path = asked.provisional[0]["data"]["sessionPath"]
        gevent.sleep(self._rnd.random() * 0.5)
        self._finish("update", self.device.ask("update", path, {"sdp": "again"}))
        if self._rnd.random() < 0.8:
            status = self._finish("hang up", self.device.ask("end", path))
            if status in (200, 404):
                self.calls.pop(path, None)

    def _list_calls(self) -> None:
        """Ask which calls it is in."""

        def take(answer: dict[str, Any]) -> None:
            for entry in answer["data"].get("sessions", []):
                self.calls.setdefault(entry["path"], "caller")

        self._finish("list calls", self.device.ask("get", "/users/sessions", then=take))

    def _meet(self) -> None:
        path = f"/chat/rooms/{self._rnd.randrange(ROOMS)}"
        if path in self.rooms and self._rnd.random() < 0.5:
            self._leave_room(path)
        elif path in self.rooms:
            number = self._scenario.next_number()
            self._finish("say", self.device.ask("message", path, {"number": number}))
        else:
            self.join(path)

    def join(self, path: str) -> None:
        """Join a room."""

        def enter(answer: dict[str, Any]) -> None:
            if answer["status"] == 200:
                self.rooms[path] = {_name(peer) for peer in answer["data"]["peers"]}

        if self._finish("join a room", self.device.ask("session", path, then=enter)) == 503:
            # Its home may have let it in, and only the answer has been lost.
            self._leave_room(path)

    def _leave_room(self, path: str) -> None:
        def go(answer: dict[str, Any]) -> None:
            self.rooms.pop(path, None)

        while self._finish("leave a room", self.device.ask("end", path, then=go)) == 503:
            gevent.sleep(0.5)

    def _ask_again(self) -> None:
        """Ask for all of which notifications may have been lost."""
        self._has_missed = False
        for path in list(self.rooms):
            self.join(path)
        for username in list(self.watched):
            self._subscribe(username)

    def _watch(self) -> None:
        username = f"user{self._rnd.randrange(USERS)}"
        if username in self.watched:
            asked = self.device.ask("unsubscribe", f"/presence/{username}")
            self.watched.pop(username)
            self._finish("unsubscribe", asked)
        else:
            self._subscribe(username)

    def _subscribe(self, username: str) -> None:
        def begin(answer: dict[str, Any]) -> None:
            if answer["status"] == 200:
                self.watched[username] = answer["data"]

        self._finish("subscribe", self.device.ask("subscribe", f"/presence/{username}", then=begin))

    # How it comes and goes ----------------------------------------------------------------

    def _drop_and_return(self) -> None:
        self.device.look()
        self.device.drop()
        self.device.ended.wait(PATIENCE)
        gevent.sleep(self._rnd.random() * (GRACE_PERIOD - 2.0))
        self._connect()
        self._scenario.count("returns within the grace period")

    def _drop_for_good(self) -> None:
        self.device.drop()
        self.device.ended.wait(PATIENCE)
        gevent.sleep(GRACE_PERIOD + 2.0)
        self.device.become_new()
        self._become_new()

    def _leave_and_return(self) -> None:
        self.device.leave()
        gevent.sleep(0.5 + self._rnd.random())
        self.device.become_new()
        self._become_new()

    def _move(self) -> None:
        """Connect once more, mostly to another worker, while the connection is there."""
        self.device.look()
        self._connect()
        self._scenario.count("moves")


def _name(address: dict[str, str]) -> str:
    return f"{address['username']}/{address['uuid']}"
