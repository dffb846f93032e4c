"""The campaign in one cell: load, neighbours and the soak go on while the plan is carried out."""

from __future__ import annotations

import contextlib
import random
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

import gevent

from tests.soak.checks import check_empty, check_events, check_quiet, check_stayed
from tests.soak.disturbances import Disturbances
from tests.soak.scenario import Scenario
from tests.soak.site import GRACE_PERIOD

from .cells import Cell
from .corpus import read_corpus
from .endings import Endings
from .faults import FAULTS, Field, try_fault
from .floods import FLOODS
from .fuzzers import FUZZERS, try_input
from .ground import Ground
from .inputs import draw
from .load import Load, Neighbours
from .plan import COSTS, FLOOD_SECONDS, INPUTS, Action
from .samples import check_samples
from .servers import Servers
from .site import NODE_TIMEOUT

#: Seconds of a cell in which the plan is not carried out: servers start, devices come to rest, and
#: leave. A cluster needs more, as it notices dead workers after a time.
OVERHEAD, OVERHEAD_OF_CLUSTER = 14.0, 24.0

#: Bytes by which the memory of a cell may be larger at its end. Allocators keep some of what the
#: floods have needed at their peak; where each client has a thread, for each thread: 44 MiB were
#: seen there, and 21 MiB elsewhere.
MAX_GROWTH = 96 * 1024 * 1024

#: Descriptors that may be open more than at the beginning: of pools that have grown.
MAX_DESCRIPTORS = 16

#: Seconds that a plan may be late; then the rest of it is left out.
DELAY = 3.0

#: Faulty inputs of one action that are told.
SHOWN = 3


@dataclass
class Result:
    """What has happened in a cell.

    :ivar inputs: ``{fuzzer: inputs that were tried}``.
    :ivar floods: ``{flood: messages or connections that were sent}``.
    :ivar faults: ``{fault: how often it was done}``.
    :ivar findings: what is wrong, in words.
    :ivar memory: bytes at the beginning and at the end.
    """

    cell: str
    seconds: float = 0.0
    inputs: dict[str, int] = field(default_factory=dict)
    floods: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    memory: tuple[int, int] = (0, 0)
    messages: int = 0
    messages_per_second: float = 0.0
    requests: int = 0
    connections: int = 0
    lost: int = 0
    repeated: int = 0
    slowest: dict[str, float] = field(default_factory=dict)
    log: str = ""


def run_cell(
    cell: Cell, seed: int, plan: Sequence[Action], say: Callable[[str], Any] = lambda text: None
) -> Result:
    """Carry out a plan in a cell."""
    result = Result(cell.name)
    began = time.monotonic()
    # Drawing takes the processor, so it is done while nobody measures.
    inputs = {
        action: draw(FUZZERS[action.name].strategy, action.seed, INPUTS)
        for action in plan
        if action.kind == "fuzz"
    }
    servers = Servers(cell, f"{seed}/{cell.name}")
    try:
        _Run(cell, seed, plan, inputs, servers, result, say).run()
    except Exception as error:  # noqa: BLE001 - the other cells are worth running
        result.findings.append(f"the campaign failed: {type(error).__name__}: {error}")
    finally:
        result.findings += [f"in the log: {line}" for line in servers.complaints()]
        if result.findings:
            result.log = servers.output()[-20_000:]
        servers.close()
        result.seconds = time.monotonic() - began
    return result


class _Run:
    """A cell while its plan is carried out."""

    def __init__(
        self,
        cell: Cell,
        seed: int,
        plan: Sequence[Action],
        inputs: dict[Action, list[Any]],
        servers: Servers,
        result: Result,
        say: Callable[[str], Any],
    ) -> None:
        self.cell = cell
        self.plan = plan
        self.inputs = inputs
        self.servers = servers
        self.result = result
        self.say = say
        self.key = f"{seed}/{cell.name}"
        self.may_lose = any(FAULTS[a.name].ends_peers(cell) for a in plan if a.kind == "fault")
        self.endings = Endings()
        self.is_redis_reliable = not any(action.name.startswith("redis") for action in plan)

    def run(self) -> None:
        self._warm_up()
        memory, descriptors = self.servers.resident(), self.servers.count_descriptors()
        self.neighbours = Neighbours(self.servers.ports, self.cell.is_compressed)
        ports = [proxy.port for proxy in self.servers.proxies]
        load = Load(ports, self.cell.is_compressed, self.key, self.endings)
        scenario = Scenario(self.key, ports, is_compressed=self.cell.is_compressed)
        scenario.excuse = self.endings.excuse
        scenario.is_network_bad = True
        self._play(scenario)
        self.say("the plan is carried out")
        load.finish()
        self._look_at(scenario, load)
        self.say("everything was looked at")
        for leave in (load.leave, self.neighbours.leave):
            leave()
        for player in scenario.players:
            player.device.leave()
        self.say("all have left")
        gevent.sleep(GRACE_PERIOD)
        findings = self.result.findings
        findings += check_empty(self.servers.all, self.servers.redis, self.is_redis_reliable)
        result = self.result
        findings += check_samples(self.servers.all, result.messages, result.floods, result.faults)
        if self.cell.has_cluster or not self.may_lose:
            # Nobody tells that the peers of a dead worker are offline, where it was the only one.
            findings += check_events(self.servers.events, self.is_redis_reliable)
        if not self.may_lose and self.is_redis_reliable:
            findings += check_stayed(self.servers.events, load.names)
        self.result.memory = (memory, self.servers.resident())
        if self.result.memory[1] - memory > MAX_GROWTH:
            findings.append(f"memory has grown from {memory} to {self.result.memory[1]} bytes")
        left = self.servers.count_descriptors() - descriptors
        if left > MAX_DESCRIPTORS:
            findings.append(f"{left} descriptors more are open than at the beginning")

    def _warm_up(self) -> None:
        """Have the server load what it loads once."""
        for port in self.servers.ports:
            ground = Ground(port, not self.cell.has_tls)
            for _ in range(20):
                with ground.connect("early") as client:
                    client.send_request("get", "/stock", 1)
                    client.await_answer(1)
                    client.send_frame(8, b"\x03\xe8")
        gevent.sleep(0.5)

    # The plan --------------------------------------------------------------------------------

    def _play(self, scenario: Scenario) -> None:
        redis = self.servers.redis
        rnd = random.Random(f"{self.key}/disturbances")
        disturbances = Disturbances(scenario, self.servers.all, redis, rnd)
        # A worker that was killed is noticed after a time, and its peers are offline then.
        settle = NODE_TIMEOUT + 4.0 if self.cell.has_cluster and self.may_lose else 0.0
        director = gevent.spawn(self._direct, disturbances)
        scenario.play(director.join, settle)
        director.get()

    def _direct(self, disturbances: Disturbances) -> None:
        began = time.monotonic()
        end = self.plan[-1].at + COSTS[self.plan[-1].name] if self.plan else 0.0
        for action in self.plan:
            gevent.sleep(max(0.0, began + action.at - time.monotonic()))
            moment = time.monotonic()
            if moment - began > end + DELAY:
                # The machine is busy. The other cells want their time, too.
                self.say(f"{action.kind} {action.name}: left out")
                continue
            self._act(action, disturbances)
            self.say(f"{action.kind} {action.name}: {time.monotonic() - moment:.1f} s")

    def _act(self, action: Action, disturbances: Disturbances) -> None:
        rnd = random.Random(action.seed)
        field = Field(self.cell, self.servers, disturbances, rnd)
        may_suffer = action.kind == "fault" and FAULTS[action.name].is_disruptive
        with self.neighbours.during(f"{action.kind} {action.name}", may_suffer):
            if action.kind == "fuzz":
                self._fuzz(action, field)
            elif action.kind == "flood":
                count = FLOODS[action.name](field.ground(), FLOOD_SECONDS)
                _add(self.result.floods, action.name, count)
            else:
                fault = FAULTS[action.name]
                ends_peers = fault.ends_peers(self.cell)
                with self.endings.during() if ends_peers else contextlib.nullcontext():
                    found = try_fault(fault, field)
                self.result.findings += [f"{action.name}: {text}" for text in found]
                _add(self.result.faults, action.name, 1)

    def _fuzz(self, action: Action, field: Field) -> None:
        fuzzer, ground = FUZZERS[action.name], field.ground()
        values = self.inputs[action]
        if action.name not in self.result.inputs:
            values = [entry.value for entry in read_corpus(action.name)] + values
        found = []
        for value in values:
            wrong = try_input(fuzzer, ground, value)
            if wrong is not None:
                found.append(f"{action.name}: {wrong}; the input: {value!r}")
        _add(self.result.inputs, action.name, len(values))
        self.result.findings += found[:SHOWN]
        if len(found) > SHOWN:
            self.result.findings.append(f"{action.name}: {len(found) - SHOWN} more inputs")

    # What is seen ----------------------------------------------------------------------------

    def _look_at(self, scenario: Scenario, load: Load) -> None:
        result, neighbours = self.result, self.neighbours
        result.findings += scenario.all_faults() + check_quiet(scenario)
        result.findings += load.faults() + neighbours.faults
        if not self.may_lose and self.is_redis_reliable and "unknown peers" in scenario.counts:
            result.findings.append("a device that was back in time was another peer")
        result.messages = sum(len(pair.acknowledged) for pair in load.pairs)
        result.messages_per_second = result.messages / load.seconds
        result.lost = sum(len(pair.lost) for pair in load.pairs)
        result.repeated = sum(len(pair.repeated) for pair in load.pairs)
        asked = sum(len(player.device.asked) for player in scenario.players)
        answers = sum(sum(pair.answers.values()) for pair in load.pairs)
        result.requests = asked + answers + neighbours.answered
        result.connections = scenario.counts.get("connections", 0)
        result.slowest = neighbours.slowest


def _add(counts: dict[str, int], name: str, count: int) -> None:
    counts[name] = counts.get(name, 0) + count
