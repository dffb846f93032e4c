"""A message to 1000 peers: CPU time for each recipient.

The first way is ``message`` to a room of 1000: the room encodes it once and sends it to all
its members. The second way is a handler that calls ``peer.notify()`` for each of
``protoo.peers()``. The same loop is also measured with protoo-server 4.

Target: at most 12 microseconds for each recipient, in a room.
"""

from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import Callable, Mapping, Sequence

from ..catalogue import OURS, PROTOO_SERVER
from ..client import Client
from ..fan_out import run_fan_out
from ..process import Server
from ..results import Key
from ..run import Run
from ..targets import figure
from ..wires import DATA, Protoo, expect
from .kind import Kind, Metric

ROOM = "/chat/rooms/all"
TALKS = 20
IN_ROOM, LOOP = "cpu", "loop"


def run(run: Run) -> None:
    """Connect the recipients once, and measure all servers in turn."""
    with contextlib.ExitStack() as stack:
        subjects = {}
        for server in stack.enter_context(run.running(OURS, PROTOO_SERVER)):
            clients = stack.enter_context(server.clients(run.sizes.recipients + 1))
            has_rooms = server.entry.is_flask
            if has_rooms:
                join(clients)
            subjects[server.name] = partial(measure, server, clients, has_rooms)
        for subject in subjects.values():
            subject()
        run.alternate("broadcast", subjects)


def join(clients: Sequence[Client]) -> None:
    """Let all clients join the room, and read the notifications about the other members."""
    for client in clients:
        wire, id = _wire(client), client.next_id()
        answer = client.call(wire.request_to("session", ROOM, id, {}))
        wire.check_accepted(answer, id)
    for client in clients:
        skip_until_answered(client)


def skip_until_answered(client: Client) -> None:
    """Make a request, and drop the messages before its answer."""
    id = client.next_id()
    message = client.call(client.wire.request(id))
    while b'"id":' not in message or json.loads(message).get("id") != id:
        message = client.receive()
    client.wire.check(message, id)


def measure(server: Server, clients: Sequence[Client], has_rooms: bool) -> Mapping[str, float]:
    """Let one client talk to all others, in each way that the server has."""
    figures = {LOOP: measure_way(server.cpu_seconds, clients, "put", "/broadcast")}
    if has_rooms:
        figures[IN_ROOM] = measure_room(server.cpu_seconds, clients)
    return figures


def measure_room(cpu_seconds: Callable[[], float], clients: Sequence[Client]) -> float:
    """Let one member of the room talk to all others."""
    return measure_way(cpu_seconds, clients, "message", ROOM)


def measure_way(
    cpu_seconds: Callable[[], float], clients: Sequence[Client], method: str, path: str
) -> float:
    """Return the microseconds of CPU time for each recipient."""
    talker, *recipients = clients
    wire = _wire(talker)
    ids = [talker.next_id() for _ in range(TALKS)]
    answered = iter(ids)

    def check_answer(answer: bytes) -> None:
        wire.check_accepted(answer, next(answered))

    def check_copy(message: bytes) -> None:
        expect(json.loads(message)["data"]["text"] == DATA["text"], message)

    payloads = [wire.request_to(method, path, id, DATA) for id in ids]
    before = cpu_seconds()
    run_fan_out(talker, payloads, recipients, check_answer, check_copy)
    return (cpu_seconds() - before) / (TALKS * len(recipients)) * 1e6


def _wire(client: Client) -> Protoo:
    assert isinstance(client.wire, Protoo)
    return client.wire


KIND = Kind(
    "broadcast",
    "a message to 1000 peers, for each recipient",
    run,
    (Metric(IN_ROOM, "CPU, in a room", "µs"), Metric(LOOP, "CPU, one by one", "µs")),
    (
        figure(
            "a message to 1000 peers in a room, for each", 12, "µs", Key("broadcast", OURS, "cpu")
        ),
    ),
)
