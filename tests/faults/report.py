"""What is seen of each fault, and after how many seconds, with the default settings.

    python -m tests.faults.report [--rounds N] [--only killed,stopped,...]

Each round provokes each fault once, with two gunicorns that have a worker each, and a Redis. Alice
and Carol are at worker A, Bob and Dave at worker B, to which it happens. The table is the one of
docs/cluster.md. Seconds are of this machine, from the fault on, or from its end where the row says
so; of something that is done then, a request or a connection, those that it takes. With several
rounds they are the smallest and the largest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple

from websockets.exceptions import ConnectionClosed

from .field import Field, FieldClient

#: Seconds to wait for what is to be seen.
PATIENCE = 30.0

#: Seconds after which each worker has seen the other one's signs of life, as in a site that runs.
SETTLED = 4.5

ROOM = "/chat/rooms/42"

#: What somebody is told of another user.
NEWS = ("presence", "end", "leave")

DEFAULTS = {"SITE_PROTOO_NODE_TIMEOUT": "10", "SITE_PROTOO_REQUEST_TIMEOUT": "10"}

Message = dict


class Seen(NamedTuple):
    """Something that was seen.

    :ivar what: for the reader; the same in each round.
    :ivar told: what the client was told.
    """

    fault: str
    what: str
    seconds: float
    told: str


class Witness:
    """A client that notes when each message came, and answers requests with 200.

    :param is_mute: it leaves messages of others unanswered.
    """

    def __init__(self, client: FieldClient, is_mute: bool = False) -> None:
        self.client = client
        self.close_code: int | None = None
        self._is_mute = is_mute
        self._notes: list[tuple[float, Message]] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            for text in self.client.connection:
                message = json.loads(text)
                if "method" in message and "id" in message and not self._is_silent(message):
                    self.client.respond(message, 200, sdp="answer")
                with self._changed:
                    self._notes.append((time.monotonic(), message))
                    self._changed.notify_all()
        with self._changed:
            self.close_code = self.client.connection.protocol.close_code or 1006
            self._notes.append((time.monotonic(), {"closed": self.close_code}))
            self._changed.notify_all()

    def _is_silent(self, message: Message) -> bool:
        return self._is_mute and message["method"] == "message"

    def find(self, is_wanted: Callable[[Message], bool], since: float) -> tuple[float, Message]:
        """Return the first message that is wanted after a moment, and when it came."""

        def look() -> tuple[float, Message] | None:
            found = (note for note in self._notes if note[0] >= since and is_wanted(note[1]))
            return next(found, None)

        with self._changed:
            found = self._changed.wait_for(look, PATIENCE)
        if found is None:
            raise TimeoutError(f"never seen; there was {[note[1] for note in self._notes][-5:]}")
        return found

    def take(
        self, is_wanted: Callable[[Message], bool], since: float
    ) -> list[tuple[float, Message]]:
        """Return the messages that are wanted and came after a moment."""
        with self._changed:
            return [note for note in self._notes if note[0] >= since and is_wanted(note[1])]

    def start(self, method: str, path: str, **data: Any) -> int:
        return self.client.start(method, path, data)

    def answer(self, id: int) -> tuple[float, Message]:
        return self.find(lambda m: m.get("id") == id and m.get("status", 0) >= 200, 0)

    def ask(self, username: str) -> Message:
        return self.answer(self.start("message", f"/users/{username}", text="hi"))[1]

    def ask_until(self, username: str, *statuses: int) -> tuple[float, Message]:
        """Ask again and again until the answer is one of these; returns when it came."""
        deadline = time.monotonic() + PATIENCE
        while (answer := self.ask(username))["status"] not in statuses:
            if time.monotonic() > deadline:
                raise TimeoutError(f"never {statuses}, but {answer}")
            time.sleep(0.02)
        return time.monotonic(), answer

    def close(self) -> None:
        self.client.close()
        self._thread.join(PATIENCE)


def text_of(answer: Message) -> str:
    return f"{answer['status']} `{answer['reason']}`"


def is_presence(username: str, online: bool) -> Callable[[Message], bool]:
    def is_wanted(message: Message) -> bool:
        data = message.get("data", {})
        return (
            message.get("method") == "presence"
            and data["username"] == username
            and data["online"] is online
        )

    return is_wanted


def is_method(name: str) -> Callable[[Message], bool]:
    return lambda message: message.get("method") == name


class Scene:
    """Four people on two workers, and what is seen of a fault.

    Alice watches Bob, has asked him something, has a call with him, and is in a room with him.
    """

    def __init__(self, fault: str, folder: Path, **settings: str) -> None:
        self.fault = fault
        self.seen: list[Seen] = []
        self._stack = contextlib.ExitStack()
        self.field = Field(folder, **{**DEFAULTS, **settings})
        self._stack.callback(self.field.close)
        a, b = self.field.workers
        self.alice, self.carol = self.enter(a.connect("alice")), self.enter(a.connect("carol"))
        self.bob = self.enter(b.connect("bob"), is_mute=True)
        self.dave = self.enter(b.connect("dave"))
        self.answered("subscribe", "/presence/bob")
        self.call = self.alice.start("session", "/calls/bob", sdp="offer")
        assert self.alice.answer(self.call)[1]["status"] == 200
        for witness in (self.alice, self.bob):
            self.answered("session", ROOM, witness)
        time.sleep(SETTLED)
        self.waiting = self.alice.start("message", "/users/bob", text="answer me")
        self.bob.find(is_method("message"), 0)
        self.began = time.monotonic()

    def enter(self, client: FieldClient, is_mute: bool = False) -> Witness:
        witness = Witness(client, is_mute)
        self._stack.callback(witness.close)
        return witness

    def answered(self, method: str, path: str, witness: Witness | None = None) -> None:
        witness = witness or self.alice
        answer = witness.answer(witness.start(method, path))[1]
        assert answer["status"] == 200, answer

    def begin(self) -> None:
        """Count from now on."""
        self.began = time.monotonic()

    def see(self, what: str, moment: float, told: str) -> None:
        self.seen.append(Seen(self.fault, what, moment - self.began, told))

    def see_answer(self, what: str, found: tuple[float, Message]) -> None:
        self.see(what, found[0], text_of(found[1]))

    def ask(self, what: str, witness: Witness, username: str) -> None:
        """See what is answered to a request that is sent now."""
        began = time.monotonic()
        told = text_of(witness.ask(username))
        self.seen.append(Seen(self.fault, what, time.monotonic() - began, told))

    def connect(self, what: str, username: str) -> Witness:
        """See a device connect to the other worker now."""
        began = time.monotonic()
        witness = self.enter(self.field.a.connect(username))
        self.seen.append(Seen(self.fault, what, time.monotonic() - began, "accepted"))
        return witness

    def see_journal(self, what: str, username: str, entry: str) -> None:
        """See when the site has been told something of a user that it was not told before."""
        before = self.field.journal(username).count(entry)
        deadline = time.monotonic() + PATIENCE
        while self.field.journal(username).count(entry) <= before:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{entry} was never told")
            time.sleep(0.02)
        self.see(what, time.monotonic(), f"event `{entry.split()[0]}`")

    def see_loss(self) -> None:
        """See all who learn that Bob's worker is gone."""
        self.see_answer("a request that he has not answered", self.alice.answer(self.waiting))
        moment, message = self.alice.find(is_method("end"), self.began)
        self.see("the call with him", moment, f"`end`, reason `{message['data'].get('reason')}`")
        self.see("the room with him", *self._find_leave())
        moment, _ = self.alice.find(is_presence("bob", False), self.began)
        self.see("a user who watches him", moment, "`presence`, offline")
        self.see_answer("a new request", self.carol.ask_until("bob", 404, 410))

    def _find_leave(self) -> tuple[float, str]:
        moment, message = self.alice.find(is_method("leave"), self.began)
        return moment, f"`leave` of {message['data']['peer']['username']}"

    def see_that_nobody_is_told(self) -> None:
        self.see_news("the user who watches him", self.began)
        events = ", ".join(self.field.journal("bob")[2:])
        self.see("the site", time.monotonic(), events or "nothing")

    def see_news(self, what: str, since: float) -> None:
        """See what Alice was told of Bob."""
        told = []
        for _, message in self.alice.take(lambda m: m.get("method") in NEWS, since):
            data = message["data"]
            state = " online" if data.get("online") else " offline"
            told.append(f"`{message['method']}`{state if 'online' in data else ''}")
        self.see(what, time.monotonic(), ", ".join(told) or "nothing")

    def close(self) -> None:
        self._stack.close()


# The faults ---------------------------------------------------------------------------------


def killed(folder: Path) -> list[Seen]:
    with contextlib.closing(Scene("a worker is killed", folder)) as scene:
        scene.begin()
        scene.field.b.kill()
        time.sleep(0.5)  # until the kernel has closed its connections
        scene.ask("a new request, half a second later", scene.carol, "bob")
        again = scene.connect("a device that comes to another worker", "dave")
        scene.ask("a request to it", scene.carol, "dave")
        again.close()
        scene.see_loss()
        return scene.seen


def stopped(folder: Path) -> list[Seen]:
    with contextlib.closing(Scene("a worker hangs (SIGSTOP)", folder)) as scene:
        scene.begin()
        scene.field.b.stop()
        scene.see_loss()
        scene.fault = "the worker goes on (seconds from then)"
        scene.begin()
        scene.field.b.go_on()
        moment, _ = scene.alice.find(is_presence("bob", True), scene.began)
        scene.see("a user who watches him", moment, "`presence`, online")
        scene.bob._is_mute = False
        scene.see_answer("a new request", scene.carol.ask_until("bob", 200))
        return scene.seen


def cut_off(folder: Path) -> list[Seen]:
    with contextlib.closing(Scene("a worker is cut off from Redis", folder)) as scene:
        scene.begin()
        scene.field.b.network.hold()
        scene.see_answer("its peers to others", scene.dave.ask_until("alice", 503))
        scene.bob._is_mute = False
        scene.ask("its peers to each other", scene.dave, "bob")
        scene.see_loss()
        scene.fault = "the network is back (seconds from then)"
        scene.begin()
        scene.field.b.network.release()
        moment, _ = scene.alice.find(is_presence("bob", True), scene.began)
        scene.see("a user who watches him", moment, "`presence`, online")
        scene.see_answer("a new request", scene.carol.ask_until("bob", 200))
        return scene.seen


def emptied(folder: Path) -> list[Seen]:
    with contextlib.closing(Scene("Redis is stopped", folder)) as scene:
        scene.begin()
        scene.field.redis.stop()
        scene.bob._is_mute = False
        scene.see_answer("a request to another worker", scene.carol.ask_until("bob", 503))
        scene.ask("a request within a worker", scene.carol, "alice")
        scene.connect("a new device", "erin")
        time.sleep(5)  # the workers try again at longer intervals
        scene.fault = "Redis is started, empty (seconds from then)"
        scene.begin()
        scene.field.redis.start()
        scene.see_answer("a request to another worker", scene.carol.ask_until("bob", 200))
        scene.see_answer("a request to the new device", scene.dave.ask_until("erin", 200))
        scene.see_that_nobody_is_told()
        return scene.seen


def hung(folder: Path) -> list[Seen]:
    with contextlib.closing(Scene("Redis hangs (SIGSTOP)", folder)) as scene:
        scene.begin()
        scene.field.redis.pause()
        scene.bob._is_mute = False
        id = scene.carol.start("message", "/users/bob", text="hi")
        scene.see_answer("a request to another worker", scene.carol.answer(id))
        scene.ask("another one", scene.carol, "bob")
        scene.ask("a request within a worker", scene.carol, "alice")
        scene.fault = "Redis goes on (seconds from then)"
        scene.begin()
        scene.field.redis.resume()
        scene.see_answer("a request to another worker", scene.carol.ask_until("bob", 200))
        scene.see_that_nobody_is_told()
        return scene.seen


def full(folder: Path) -> list[Seen]:
    with contextlib.closing(Scene("Redis is full", folder)) as scene:
        scene.field.redis.ask("CONFIG", "SET", "maxmemory", "1")
        scene.begin()
        answer = scene.field.a.site.knock("?username=erin&uuid=e1")
        scene.see("a new device", time.monotonic(), f"{answer.status} `{answer.text.strip()}`")
        scene.bob._is_mute = False
        scene.ask("a request", scene.carol, "bob")
        scene.field.redis.ask("CONFIG", "SET", "maxmemory", "0")
        scene.connect("a new device, when there is room", "erin")
        return scene.seen


def ended(folder: Path) -> list[Seen]:
    patient = {"SITE_PROTOO_DISCONNECT_GRACE_PERIOD": "15"}
    fault = "a worker ends (SIGTERM), 15 s of grace"
    with contextlib.closing(Scene(fault, folder, **patient)) as scene:
        scene.begin()
        scene.field.b.server.interrupt()
        moment, message = scene.bob.find(lambda m: "closed" in m, scene.began)
        scene.see("its clients", moment, f"closed with {message['closed']}")
        again = scene.connect("a device that comes to another worker", "bob")
        again.find(is_method("message"), scene.began)
        scene.see_answer("a request that he had not answered", scene.alice.answer(scene.waiting))
        scene.see_answer("a new request", scene.carol.ask_until("bob", 200))
        scene.see_news("watchers, calls, rooms", scene.began)
        scene.field.b.server.process.wait(PATIENCE)
        scene.see("the process", time.monotonic(), "has ended")
        return scene.seen


FAULTS: dict[str, Callable[[Path], list[Seen]]] = {
    "killed": killed,
    "stopped": stopped,
    "cut_off": cut_off,
    "emptied": emptied,
    "hung": hung,
    "full": full,
    "ended": ended,
}


def rows(seen: list[Seen]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of the table, one for each thing that is seen."""
    merged: dict[tuple[str, str], list[Seen]] = {}
    for one in seen:
        merged.setdefault((one.fault, one.what), []).append(one)
    former = ""
    for (fault, what), some in merged.items():
        seconds = sorted(one.seconds for one in some)
        told = " or ".join(dict.fromkeys(one.told for one in some))
        span = "-".join(dict.fromkeys([f"{seconds[0]:.1f}", f"{seconds[-1]:.1f}"]))
        yield "" if fault == former else fault, what, told, span
        former = fault


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main(args: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.report")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default=",".join(FAULTS))
    options = parser.parse_args(args)
    seen: list[Seen] = []
    failures = 0
    for number in range(options.rounds):
        for name in options.only.split(","):
            say(f"round {number + 1}: {name}")
            with tempfile.TemporaryDirectory() as folder:
                try:
                    seen += FAULTS[name](Path(folder))
                except (AssertionError, OSError, ConnectionClosed) as error:
                    # The other faults are worth seeing. A TimeoutError is an OSError.
                    failures += 1
                    say(f"{name}: {error!r}")
    order = {fault: number for number, fault in enumerate(dict.fromkeys(one.fault for one in seen))}
    seen.sort(key=lambda one: order[one.fault])
    table = [("fault", "who", "is told", "after, s"), 4 * ("---",), *rows(seen)]
    sys.stdout.writelines(f"| {' | '.join(row)} |\n" for row in table)
    return failures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
