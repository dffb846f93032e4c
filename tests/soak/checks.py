"""What must hold when all devices are connected and quiet, and when all have left."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Callable, Sequence

import gevent

from .scenario import DEVICES, PATIENCE, Player, Scenario
from .servers import Redis, Worker

#: Seconds for the last news to arrive.
SETTLING = 20.0

#: Seconds before and after a wrong event of which the other events of the user are printed.
CONTEXT = 15.0

#: Keys that Redis keeps when nobody is there: those of the nodes, which are.
KEPT = ("{nodes}",)


def check_quiet(scenario: Scenario) -> list[str]:
    """Return what is wrong with a world in which everybody is there, and nobody does anything."""
    faults: list[str] = []
    for player in scenario.players:
        for path in list(player.calls):
            asked = player.device.ask("end", path)
            asked.done.wait(PATIENCE)
            if asked.answer is not None and asked.answer["status"] in (200, 404):
                player.calls.pop(path, None)
            else:
                faults.append(f"{player.device.name}: end of {path} was answered {asked.answer}")
    faults += _wait_for(lambda: _check_calls(scenario))
    faults += _wait_for(lambda: _check_rooms(scenario))
    faults += _wait_for(lambda: _check_presence(scenario))
    faults += _check_messages(scenario)
    return faults


def _wait_for(check: Callable[[], list[str]]) -> list[str]:
    deadline = time.monotonic() + SETTLING
    while True:
        faults = check()
        if not faults or time.monotonic() > deadline:
            return faults
        gevent.sleep(0.5)


def _ask(player: Player, method: str, path: str) -> dict[str, Any]:
    asked = player.device.ask(method, path)
    if not asked.done.wait(PATIENCE) or asked.answer is None:
        return {"status": 0, "data": {"sessions": [{"path": "no answer"}]}}
    return asked.answer


def _check_calls(scenario: Scenario) -> list[str]:
    faults = []
    for player in scenario.players:
        answer = _ask(player, "get", "/users/sessions")
        listed = {entry["path"] for entry in answer["data"].get("sessions", [{"path": "?"}])}
        if listed:
            faults.append(f"{player.device.name} is still in the calls {sorted(listed)}")
        if player.calls:
            faults.append(f"{player.device.name} believes to be in {sorted(player.calls)}")
    return faults


def _check_rooms(scenario: Scenario) -> list[str]:
    """Each member knows exactly the others, as each member says for itself."""
    faults = []
    members: dict[str, set[str]] = {}
    for player in scenario.players:
        for path in player.rooms:
            members.setdefault(path, set()).add(player.device.name)
    for player in scenario.players:
        for path, known in player.rooms.items():
            others = members[path] - {player.device.name}
            if known != others:
                faults.append(
                    f"{player.device.name} in {path}: knows too much {sorted(known - others)}, "
                    f"and not {sorted(others - known)}"
                )
    return faults


def _check_presence(scenario: Scenario) -> list[str]:
    faults = []
    for player in scenario.players:
        for username, state in player.watched.items():
            if not state.get("online") or state.get("devices") != DEVICES:
                faults.append(f"{player.device.name} believes of {username}: {state}")
    return faults


def _check_messages(scenario: Scenario) -> list[str]:
    """A message that was answered 200 was acted upon, once."""
    faults = []
    for number, name in scenario.delivered.items():
        times = scenario.by_name[name].device.acted.get(number, 0)
        if times != 1:
            faults.append(f"{name} has acted {times} times upon {number}, and answered 200")
    return faults


def check_empty(
    workers: Sequence[Worker], redis: Redis | None, is_redis_reliable: bool = True
) -> list[str]:
    """Return what is left in workers and Redis when everybody has gone.

    After an absence of Redis, the sets of the nodes may name claims that have ended meanwhile. They
    go with the node.
    """
    kept = KEPT if is_redis_reliable else (*KEPT, ":np:")

    def look() -> list[str]:
        faults = [
            f"worker {worker.number} has left: {tables}"
            for worker in workers
            if (tables := worker.get("/tables"))
        ]
        if redis is not None:
            left = [key for key in redis.list_keys() if not any(part in key for part in kept)]
            if left:
                faults.append(f"Redis has left: {left}")
        return faults

    return _wait_for(look)


def check_events(path: str, is_redis_reliable: bool = True) -> list[str]:
    """Of each user and device, "online" and "offline" come in turn, in all workers together.

    While Redis is away, each worker tells what it knows: of a user, the events may come twice; a
    device that moves just then has two peers for a while, each with its events.
    """
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    entries = sorted(json.loads(line) for line in lines)
    most = 1 if is_redis_reliable else 2
    counts: dict[str, int] = {}
    latest: dict[str, str] = {}
    faults = []
    for moment, event, name, _ in entries:
        latest[name] = event
        counts[name] = counts.get(name, 0) + (1 if event == "online" else -1)
        is_user = "/" not in name
        if 0 <= counts[name] <= most or (is_user and not is_redis_reliable):
            continue
        user = name.partition("/")[0]
        story = [
            f"{at - moment:+.3f} {what} {whom} by {pid}"
            for at, what, whom, pid in entries
            if whom.partition("/")[0] == user and abs(at - moment) < CONTEXT
        ]
        faults.append(f"{name} was told {event} too often, at {moment:.3f}: {story}")
        counts[name] = 1 if event == "online" else 0
    left = [name for name, event in latest.items() if event != "offline"]
    return faults + [f"{name} is online in the end" for name in left]


def check_stayed(path: str, names: Sequence[str]) -> list[str]:
    """Return which devices the site was told online or offline more than once.

    They were never gone for long.

    :param path: of the file of the events.
    """
    entries = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    faults = []
    for name in names:
        told = [event for _, event, whom, _ in sorted(entries) if whom == name]
        if told != ["online", "offline"]:
            faults.append(f"of {name}, the site was told {told}")
    return faults
