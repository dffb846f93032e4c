"""A site and its clients in one process, and the trips through its code, traced.

    python -m benchmarks.trips_in_process CHECKOUT

Everything is the real thing, through public names only: the site under gevent's pywsgi, the
handshake, a socket for each client. ``protoo_flask`` is taken from the checkout. Writes JSON,
``{trip: [walk, walk]}``: each trip is traced twice.

The clock of Python stands still while a trip is traced. The package does some things
differently when they take long, and tracing takes long.
"""

from __future__ import annotations

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()  # before anything else is imported

import contextlib
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Callable, ContextManager, Generator, Iterator

import gevent
from flask import Flask
from gevent.pywsgi import WSGIServer

from . import wires
from .client import Client
from .cookies import SECRET_KEY, cookie_of
from .frames import CLOSE, client_frame, split_frames
from .tracing import Call, Tracer, without_idle_calls

HOST = "127.0.0.1"
#: Seconds in which the server finishes its work after its last answer.
AFTERWORK = 0.005
#: Trips before the traced one. Objects that the server makes once, or keeps for later, exist then.
WARM_UP = 50
#: The close code of a connection that another of the same device replaces.
REPLACED = 3000

#: Prepares a trip, yields, makes the trip, yields, and clears up.
Trip = Generator[None, None, None]


class Clock:
    """``time.monotonic``, but it can be stopped."""

    def __init__(self) -> None:
        self._run = time.monotonic
        self._stopped: float | None = None

    def __call__(self) -> float:
        return self._run() if self._stopped is None else self._stopped

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let no time pass."""
        self._stopped = self._run()
        try:
            yield
        finally:
            self._stopped = None


class World:
    """The sites and the clients that make the trips.

    Most trips go through the site of the benchmarks, and calls through a site of their own,
    where nothing else than calls is told who comes and goes.
    """

    def __init__(self) -> None:
        from protoo_flask import Protoo
        from protoo_flask.middleware import session_handler

        from .servers import protoo_flask_site

        protoo_flask_site.protoo.on("online", lambda peer: None)
        calls = Flask("calls")
        calls.secret_key = SECRET_KEY
        protoo = Protoo(calls, ping_interval=None)
        protoo.use("/users", session_handler(protoo))
        self._site = self._serve(protoo_flask_site.app)
        self._calls = self._serve(calls)
        self._uuids = (f"device{number}" for number in itertools.count())
        self.alice, self.bob = self.connect("alice"), self.connect("bob")
        self.caller = self.connect("alice", self._calls)
        self.devices = [self.connect("bob", self._calls) for _ in range(3)]

    def _serve(self, app: Flask) -> WSGIServer:
        server = WSGIServer((HOST, 0), app, log=None)
        server.start()
        return server

    def connect(
        self, username: str, server: WSGIServer | None = None, uuid: str | None = None
    ) -> Client:
        port = (server or self._site).server_port
        assert port is not None  # it has started
        return Client(
            port,
            wires.Protoo(),
            username,
            uuid or next(self._uuids),
            cookie=cookie_of(username),
        )

    # The trips ------------------------------------------------------------------------

    def request(self) -> Trip:
        """From the bytes of a request to the bytes of its response."""
        id = self.alice.next_id()
        yield
        answer = self.alice.call(self.alice.wire.request(id))
        yield
        self.alice.wire.check(answer, id)

    def relay(self) -> Trip:
        """From alice's message, by way of bob and his answer, back to alice."""
        alice, bob = self.alice, self.bob
        id = alice.next_id()
        wire = wires.Protoo()
        yield
        send(alice, wire.message(bob.username, bob.uuid, id))
        send(bob, wire.answer(bob.receive()))
        answer = alice.receive()
        yield
        wire.check_accepted(answer, id)

    def handshake(self) -> Trip:
        """From the HTTP request of a client to its 101 and the "online" of the site."""
        yield
        client = self.connect("carol")
        yield
        leave(client)

    def takeover(self) -> Trip:
        """A client comes for the second time, and its first connection gets Close 3000."""
        old = self.connect("dave")
        gevent.sleep(AFTERWORK)
        yield
        new = self.connect("dave", uuid=old.uuid)
        [close] = split_frames(old.read())[0]
        yield
        assert close.opcode == CLOSE
        assert int.from_bytes(close.payload[:2], "big") == REPLACED
        leave(old)
        leave(new)

    def fork(self) -> Trip:
        """alice calls bob, whose three devices ring: one accepts, the others get ``end``."""
        caller, devices, wire = self.caller, self.devices, wires.Protoo()
        id = caller.next_id()
        yield
        send(caller, wire.request_to("session", "/users/bob", id, {"offer": "sdp"}))
        connecting = json.loads(caller.receive())
        asked = [json.loads(device.receive()) for device in devices]
        for device, request in zip(devices, asked):
            respond(device, request, 180, "ringing")
        ringing = [json.loads(caller.receive()) for _ in devices]
        respond(devices[0], asked[0], 200, "OK", {"answer": "sdp"})
        accepted = json.loads(caller.receive())
        ends = [json.loads(device.receive()) for device in devices[1:]]
        yield
        statuses = [message["status"] for message in (connecting, *ringing, accepted)]
        assert statuses == [100, 180, 180, 180, 200], statuses
        assert [end["method"] for end in ends] == ["end", "end"], ends
        for device, end in zip(devices[1:], ends):
            respond(device, end, 200, "OK")
        path = connecting["data"]["sessionPath"]
        caller.call(wire.request_to("end", path, caller.next_id(), {}))
        respond(devices[0], json.loads(devices[0].receive()), 200, "OK")


TRIPS: dict[str, Callable[[World], Trip]] = {
    "request": World.request,
    "relay": World.relay,
    "handshake": World.handshake,
    "takeover": World.takeover,
    "fork": World.fork,
}


def send(client: Client, payload: bytes) -> None:
    client.socket.sendall(client_frame(payload))


def respond(
    client: Client, request: Any, status: int, reason: str, data: dict[str, Any] | None = None
) -> None:
    """Answer a request that a client has received."""
    answer = {"status": status, "reason": reason, "id": request["id"], "data": data or {}}
    send(client, json.dumps(answer).encode())


def leave(client: Client) -> None:
    """Leave with 1000, which a server answers before it ends the connection."""
    client.socket.sendall(client_frame(b"\x03\xe8", CLOSE))
    while client.socket.recv(1 << 16):
        pass
    client.socket.close()


def make(trip: Trip, tracing: ContextManager[None] | None = None) -> None:
    """Make one trip; what lies between its yields happens inside of ``tracing``."""
    next(trip)
    with tracing or contextlib.nullcontext():
        next(trip)
        gevent.sleep(AFTERWORK)
    for _ in trip:
        raise AssertionError("a trip yields twice")
    gevent.sleep(AFTERWORK)


@contextlib.contextmanager
def tracing(tracer: Tracer, clock: Clock) -> Iterator[None]:
    """Trace a block, in which no time passes."""
    with clock.stopped(), tracer.tracing():
        yield


def main(checkout: Path) -> None:
    # Pings would come between.
    os.environ["BENCH_NO_PINGS"] = "1"
    # The modules of the package import this name, so it is replaced before they are imported.
    clock = Clock()
    time.monotonic = clock
    sys.path.insert(0, str(checkout))
    import protoo_flask

    folder = Path(protoo_flask.__file__).parent
    assert folder == checkout / "protoo_flask", folder
    world, tracer = World(), Tracer(folder)
    gevent.sleep(AFTERWORK)
    with tracing(tracer, clock):
        gevent.sleep(AFTERWORK)
    idle = tracer.walk
    walks: dict[str, list[list[Call]]] = {}
    for name, trip in TRIPS.items():
        for _ in range(WARM_UP):
            make(trip(world))
        walks[name] = []
        for _ in range(2):
            make(trip(world), tracing(tracer, clock))
            walks[name].append(without_idle_calls(tracer.walk, idle))
    json.dump(walks, sys.stdout)
    sys.stdout.flush()
    # At once: what a server does when it ends is not of interest.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
