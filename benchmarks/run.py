"""A run: which servers and sizes were asked for, and the rounds in which they have turns."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Callable, ContextManager, Iterator, Mapping, Sequence

from .catalogue import CATALOGUE, OURS, Entry
from .process import Server, running
from .results import Results

#: Takes one figure of each metric, once.
Measure = Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rounds: int = 11
    connections: int = 64
    #: Of one measurement, and of what comes before it. Many short rounds see the same
    #: weather; few long ones do not.
    seconds: float = 0.5
    warm_up: float = 0.15
    #: Once for each server: Node compiles what it runs often.
    first_warm_up: float = 1.0
    #: Different requests that each connection makes.
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
    """What the kinds measure with.

    :ivar wanted: the names of the servers asked for; ``None``: all.
    :ivar also: those of other checkouts, which take part wherever this project does.
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
        """Return those of the servers that were asked for and can be run."""
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
        """Start those of the servers that were asked for and can be run."""
        with self.start(self.choose(*names)) as servers:
            yield servers

    def start(self, entries: Sequence[Entry]) -> ContextManager[list[Server]]:
        """Start servers, and stop them in the end."""
        return running(entries, pywsgi=self.pywsgi)

    def alternate(
        self, kind: str, subjects: Mapping[str, Measure], rounds: int | None = None
    ) -> None:
        """Let all have their turn in each of the rounds, A B C A B C, and note the figures.

        :param rounds: at most so many, of what takes long.
        """
        rounds = min(self.sizes.rounds, rounds or self.sizes.rounds)
        for number in range(rounds):
            for name, measure in subjects.items():
                for metric, value in measure().items():
                    self.results.add(kind, name, metric, value)
            self.say(f"{kind}: round {number + 1} of {rounds}")
