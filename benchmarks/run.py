"""A run: the chosen servers and sizes, and the rounds in which the servers take turns."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Callable, ContextManager, Iterator, Mapping, Sequence

from .catalogue import CATALOGUE, OURS, Entry
from .process import Server, running
from .results import Results

#: Measures once, and returns one figure for each metric.
Measure = Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Sizes:
    """The sizes and durations of the measurements."""

    rounds: int = 11
    connections: int = 64
    #: Seconds of one measurement, and of the warm-up before it. In a short round all servers find
    #: the machine in the same condition. In a long round they may not.
    seconds: float = 0.5
    warm_up: float = 0.15
    #: Seconds, once for each server: Node compiles code that runs often.
    first_warm_up: float = 1.0
    #: Number of different requests of each connection.
    exchanges: int = 8
    recipients: int = 1000
    idle: int = 1000
    handshakes: int = 200
    crowd: int = 10_000
    crowd_rate: int = 1000
    crowd_seconds: float = 30.0
    flat: tuple[int, ...] = (10, 100, 1000, 10_000)


FULL = Sizes()
SHORT = Sizes(rounds=5, first_warm_up=0.5, seconds=0.4, idle=300)


class Run:
    """The servers, sizes and results of a run, for the kinds to measure with.

    :ivar wanted: the names of the requested servers; ``None`` for all.
    :ivar also: the names of other checkouts, which take part wherever this project does.
    """

    def __init__(
        self,
        sizes: Sizes = FULL,
        wanted: list[str] | None = None,
        *,
        also: Sequence[str] = (),
        pywsgi: bool = False,
        say: Callable[[str], None] = print,
    ) -> None:
        self.sizes = sizes
        self.wanted = wanted
        self.also = also
        self.pywsgi = pywsgi
        self.say = say
        self.results = Results()

    def choose(self, *names: str) -> list[Entry]:
        """Return the servers among ``names`` that are requested and can be run."""
        chosen = []
        for name in [*names, *(self.also if OURS in names else ())]:
            entry = CATALOGUE[name]
            if self.wanted is not None and name not in [*self.wanted, *self.also]:
                continue
            obstacle = entry.obstacle()
            if obstacle is None:
                chosen.append(entry)
                versions = self.results.facts.setdefault("versions", {})
                versions.update(entry.versions())
            else:
                self.results.leave_out(f"{name}: {obstacle}")
        return chosen

    @contextlib.contextmanager
    def running(self, *names: str) -> Iterator[list[Server]]:
        """Start the servers among ``names`` that are requested and can be run."""
        with self.start(self.choose(*names)) as servers:
            yield servers

    def start(self, entries: Sequence[Entry]) -> ContextManager[list[Server]]:
        """Start servers, and stop them in the end."""
        return running(entries, pywsgi=self.pywsgi)

    def alternate(
        self, kind: str, subjects: Mapping[str, Measure], rounds: int | None = None
    ) -> None:
        """Measure all subjects in turn in each round, A B C A B C, and store the figures.

        :param rounds: a smaller number of rounds, for measurements that take long.
        """
        rounds = min(self.sizes.rounds, rounds or self.sizes.rounds)
        for number in range(rounds):
            for name, measure in subjects.items():
                for metric, value in measure().items():
                    self.results.add(kind, name, metric, value)
            self.say(f"{kind}: round {number + 1} of {rounds}")
