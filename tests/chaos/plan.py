"""The plan of a cell: which actions, in which order, when, and with which inputs.

It follows from the seed, the cell and the seconds alone, so it is the same whenever they are.
"""

from __future__ import annotations

import random
from typing import Iterable, NamedTuple

from .cells import Cell
from .faults import FAULTS
from .floods import FLOODS
from .fuzzers import FUZZERS

#: Seconds that an action takes, about; the next one begins after them.
COSTS = {
    **dict.fromkeys(FUZZERS, 1.0),
    **dict.fromkeys(FLOODS, 2.0),
    **dict.fromkeys(FAULTS, 2.0),
    "slow reader": 3.0,
    "clock": 0.2,
    "mistakes": 0.5,
    "pool": 1.0,
    "delay": 2.5,
    "kill": 3.0,
    "term": 6.0,
    "hup": 5.0,
    "redis restart": 6.0,
    "redis away": 14.0,
    "redis pause": 14.0,
}

#: Inputs of a fuzzer in one action, and seconds of a flood.
INPUTS, FLOOD_SECONDS = 100, 1.0

#: What a run of a minute is made of: what is over soon, and depends on no limit of the kernel.
QUICK = (
    *FUZZERS,
    *("requests", "notifications", "pings", "fragments", "bad messages", "responses"),
    *("connections", "slow handshakes"),
    *("kill", "hup", "cut", "clock", "mistakes", "pool"),
)


class Action(NamedTuple):
    """Something that is done to a cell.

    :ivar kind: "fuzz", "flood" or "fault".
    :ivar at: seconds from the beginning of the play, at the earliest.
    :ivar seed: of all that is random in it.
    """

    kind: str
    name: str
    at: float
    seed: int


def names_for(cell: Cell, names: Iterable[str] = ()) -> list[str]:
    """Return the names of the actions that can be done in a cell, of those that are asked for."""
    wanted = set(names)
    found = [
        name
        for name, fuzzer in FUZZERS.items()
        if cell.is_compressed or not fuzzer.needs_compression
    ]
    found += FLOODS
    found += [name for name, fault in FAULTS.items() if fault.is_for(cell)]
    return [name for name in found if not wanted or name in wanted]


def kind_of(name: str) -> str:
    return "fuzz" if name in FUZZERS else "flood" if name in FLOODS else "fault"


def make_plan(seed: int, cell: Cell, seconds: float, names: Iterable[str] = ()) -> list[Action]:
    """Return the actions of a cell, each kind once before any comes again.

    :param names: only these; all by default.
    """
    rnd = random.Random(f"{seed}/{cell.name}")
    possible = names_for(cell, names)
    actions: list[Action] = []
    at = 0.0
    has_room = bool(possible)
    while has_room:
        has_room = False
        for name in rnd.sample(possible, len(possible)):
            if at + COSTS[name] > seconds and actions:
                continue
            has_room = True
            actions.append(Action(kind_of(name), name, at, rnd.randrange(2**32)))
            at += COSTS[name]
    return actions
