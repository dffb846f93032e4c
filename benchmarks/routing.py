"""The CPU time of routing one request, with 10, 100 and 1000 routes.

    python benchmarks/routing.py [ROUNDS]

The figures are CPU time of this process, not wall time, so that other work on the machine
matters less. Each round measures every size once, in turn, so that a slow moment of the
machine slows all of them; the figures are medians of the rounds. Only the routing is measured:
the handlers do nothing, and the requests are made before.

A second table has the gain of each fast way: the same routes, routed without it.

The command ends with status 1 when 1000 routes cost more than ``TARGET`` times as much as 10.
"""

from __future__ import annotations

import contextlib
import platform
import random
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from protoo_flask import Request, Router
from protoo_flask.core.routing import fast_layer
from protoo_flask.core.routing.layer import RoutingOptions
from protoo_flask.core.routing.matching import fast_layer_index

SIZES = (10, 100, 1000)
TARGET = 3.0
ROUNDS = 15
#: Requests in one measurement; divided by the size, each route gets as many.
REQUESTS = 1000
ROUTES_OF_A_ROUTER = 10

Walk = Callable[[Request], None]


class Kind(NamedTuple):
    """One way to have many routes.

    :ivar build: returns a function that routes a request, and a path for each of its routes.
    :ivar has_target: whether the target is for this kind.
    """

    name: str
    build: Callable[[int], tuple[Walk, list[str]]]
    has_target: bool


def handle(req: Request, next: Any) -> None:
    """Do nothing: no reply, so that a request can be used again."""


def walk_router(router: Router) -> Walk:
    router.freeze(RoutingOptions())

    def final_handler(error: Any = None) -> None:
        raise AssertionError(f"no route took it: {error!r}")

    def walk(req: Request) -> None:
        router(req, final_handler)

    return walk


def build_literals(size: int) -> tuple[Walk, list[str]]:
    router = Router()
    for number in range(size):
        router.message(f"/route{number}/:id", handle)
    return walk_router(router), [f"/route{number}/abc" for number in range(size)]


def build_parameters(size: int) -> tuple[Walk, list[str]]:
    router = Router()
    for number in range(size):
        router.message(f"/:a/fixed{number}", handle)
    return walk_router(router), [f"/abc/fixed{number}" for number in range(size)]


def build_routers(size: int) -> tuple[Walk, list[str]]:
    top = Router()
    paths = []
    for mount in range(size // ROUTES_OF_A_ROUTER):
        router = Router()
        top.use(f"/mount{mount}", router)
        for number in range(ROUTES_OF_A_ROUTER):
            router.message(f"/route{number}/:id", handle)
            paths.append(f"/mount{mount}/route{number}/abc")
    return walk_router(top), paths


def build_regexes(size: int) -> tuple[Walk, list[str]]:
    router = Router()
    for number in range(size):
        router.message(re.compile(rf"\A/route{number}/([^/]+)\Z"), handle)
    return walk_router(router), [f"/route{number}/abc" for number in range(size)]


def build_plain_loop(size: int) -> tuple[Walk, list[str]]:
    routes = [
        ("message", re.compile(rf"\A/route{number}/([^/]+?)/?\Z", re.IGNORECASE), handle)
        for number in range(size)
    ]

    def walk(req: Request) -> None:
        for method, regex, function in routes:
            found = regex.search(req.path)
            if found is not None and method == req.method:
                req.params = {"id": found.group(1)}
                function(req, None)
                return
        raise AssertionError("no route took it")

    return walk, [f"/route{number}/abc" for number in range(size)]


KINDS = (
    Kind("/routeN/:id", build_literals, True),
    Kind("/:a/fixedN", build_parameters, True),
    Kind("routers of 10 routes, at /mountN", build_routers, True),
    Kind("compiled regexes, tried one by one", build_regexes, False),
    Kind("reference: a plain loop over regexes", build_plain_loop, False),
)


#: Names of the ways to route, and the fast ways that are switched off in each. The fast way
#: into layers needs the index.
WAYS = (
    ("all fast ways", ()),
    ("no fast_layer", (fast_layer,)),
    ("plain", (fast_layer, fast_layer_index)),
)


class Subject:
    """One kind in one size, and the times that were measured."""

    def __init__(self, kind: Kind, size: int) -> None:
        self._walk, paths = kind.build(size)
        # Without an order that a cache or a branch predictor could learn.
        random.Random(size).shuffle(paths)
        self._requests = []
        for index in range(REQUESTS):
            request = Request("message")
            request.path = request.original_path = paths[index % size]
            self._requests.append(request)
        self._seconds: list[float] = []

    def measure(self) -> None:
        walk = self._walk
        begin = time.process_time()
        for request in self._requests:
            walk(request)
        self._seconds.append((time.process_time() - begin) / REQUESTS)

    @property
    def median(self) -> float:
        """Seconds of CPU time for one request."""
        return statistics.median(self._seconds)


@contextlib.contextmanager
def switched_off(fast_ways: Sequence[Any]) -> Iterator[None]:
    """Let the routers made in this block do without some fast ways."""
    for module in fast_ways:
        module.ENABLED = False
    try:
        yield
    finally:
        for module in fast_ways:
            module.ENABLED = True


def measure_in_turn(subjects: Sequence[Subject], rounds: int) -> list[str]:
    """Return a cell for each subject: its time, and the ratio to the first."""
    for _ in range(rounds):
        for subject in subjects:
            subject.measure()
    base = subjects[0].median
    return [f"{item.median * 1e6:.2f} µs {item.median / base:6.2f} x" for item in subjects]


def print_row(name: str, cells: Sequence[str]) -> None:
    print(f"{name:38}" + "".join(f"{cell:>20}" for cell in cells), flush=True)


def print_sizes(rounds: int) -> list[str]:
    """Measure every size of every kind; returns the kinds that missed the target."""
    print("CPU time for one request, and its ratio to the time with 10 routes\n")
    print_row("", [f"{size} routes" for size in SIZES])
    missed = []
    for kind in KINDS:
        subjects = [Subject(kind, size) for size in SIZES]
        print_row(kind.name, measure_in_turn(subjects, rounds))
        if kind.has_target and subjects[-1].median > TARGET * subjects[0].median:
            missed.append(kind.name)
    return missed


def print_ways(rounds: int) -> None:
    """Measure the kinds of the target with and without each fast way."""
    print("\nCPU time for one request, and its ratio to the time with all fast ways\n")
    print_row("", [name for name, _ in WAYS])
    for kind in KINDS:
        for size in SIZES[: 2 if kind.has_target else 0]:
            subjects = []
            for _, fast_ways in WAYS:
                with switched_off(fast_ways):
                    subjects.append(Subject(kind, size))
            print_row(f"{kind.name}: {size}", measure_in_turn(subjects, rounds))


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print(f"{platform.python_implementation()} {platform.python_version()}, {rounds} rounds")
    missed = print_sizes(rounds)
    print_ways(rounds)
    verdict = f"missed by {', '.join(missed)}" if missed else "met"
    print(f"\ntarget: 1000 routes cost at most {TARGET:g} x as much as 10: {verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
