"""A change of presence, sent to 1000 watchers: CPU time for each of them.

Target: at most 12 microseconds for each watcher.
"""

from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import Callable, Mapping, Sequence

from ..catalogue import OURS
from ..client import Client
from ..fan_out import run_fan_out
from ..results import Key
from ..run import Run
from ..targets import figure
from ..wires import Protoo, expect
from .kind import CPU, Kind

CHANGES = 20


def run(run: Run) -> None:
    """Connect the watchers once, and measure in each round."""
    with contextlib.ExitStack() as stack:
        subjects = {}
        for server in stack.enter_context(run.running(OURS)):
            clients = stack.enter_context(server.clients(run.sizes.recipients + 1))
            watched, *watchers = clients
            subscribe(watched, watchers)
            subjects[server.name] = partial(measure, server.cpu_seconds, watched, watchers)
        for subject in subjects.values():
            subject()
        run.alternate("presence", subjects)


def subscribe(watched: Client, watchers: Sequence[Client]) -> None:
    """Let all watchers subscribe to one user."""
    for client in watchers:
        wire, id = _wire(client), client.next_id()
        path = f"/presence/{watched.username}"
        answer = client.call(wire.request_to("subscribe", path, id, {}))
        wire.check_accepted(answer, id)


def measure(
    cpu_seconds: Callable[[], float], watched: Client, watchers: Sequence[Client]
) -> Mapping[str, float]:
    """Let one peer publish several changes of its status."""
    wire = _wire(watched)
    ids = [watched.next_id() for _ in range(CHANGES)]
    statuses = [f"status {id}" for id in ids]
    answered, told = iter(ids), iter(statuses)

    def check_answer(answer: bytes) -> None:
        wire.check_accepted(answer, next(answered))

    def check_copy(message: bytes) -> None:
        expect(json.loads(message)["data"]["status"] == next(told), message)

    payloads = [
        wire.request_to("publish", "/presence", id, {"status": status})
        for id, status in zip(ids, statuses)
    ]
    before = cpu_seconds()
    run_fan_out(watched, payloads, watchers, check_answer, check_copy)
    return {"cpu": (cpu_seconds() - before) / (CHANGES * len(watchers)) * 1e6}


def _wire(client: Client) -> Protoo:
    assert isinstance(client.wire, Protoo)
    return client.wire


KIND = Kind(
    "presence",
    "a change of presence, told to 1000 watchers, for each of them",
    run,
    (CPU,),
    (figure("a change sent to 1000 watchers, for each", 12, "µs", Key("presence", OURS, "cpu")),),
)
