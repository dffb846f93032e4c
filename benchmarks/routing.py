"""The cost of routing a request, with 10, 100 and 1000 routes.

    python benchmarks/routing.py [ROUNDS]

The figures are CPU time of this process, not wall time, so that other work on the machine
matters less. Each round measures every size once, so that a slow phase of the machine affects
all sizes. The figures are medians of the rounds. Only the routing is measured: the handlers do
nothing, and the requests are made before.

Ends with status 1 if a request with 1000 routes costs more than ``TARGET`` times a request
with 10.
"""

from __future__ import annotations

import platform
import random
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from protoo_flask import Request, Router
from protoo_flask.core.routing.layer import RoutingOptions

SIZES = (10, 100, 1000)
TARGET = 3.0
ROUNDS = 15
#: Requests in one measurement. A multiple of all sizes, so that each route gets equally many.
REQUESTS = 1000
ROUTES_OF_A_ROUTER = 10

Walk = Callable[[Request], None]


class Kind(NamedTuple):
    """One way to have many routes.

    :ivar build: returns a function that routes a request, and a path for each route.
    :ivar has_target: whether the target applies to this kind.
    """

    name: str
    build: Callable[[int], tuple[Walk, list[str]]]
    has_target: bool


def handle(req: Request, next: Any) -> None:
    """Do nothing. Without a reply the request can be used again."""


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


class Subject:
    """One kind in one size, and its measurements."""

    def __init__(self, kind: Kind, size: int) -> None:
        self._walk, paths = kind.build(size)
        # A random order, which caches and branch predictors cannot learn.
        random.Random(size).shuffle(paths)
        self._requests = []
        for index in range(REQUESTS):
            request = Request("message")
            request.path = request.original_path = paths[index % size]
            self._requests.append(request)
        self._seconds: list[float] = []

    def warm_up(self) -> None:
        """Route one request, as the first one builds tables."""
        self._walk(self._requests[0])

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


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print(f"{platform.python_implementation()} {platform.python_version()}, {rounds} rounds")
    print("CPU time for one request, and as a ratio to that with 10 routes\n")
    header = "".join(f"{f'{size} routes':>20}" for size in SIZES)
    print(f"{'':38}{header}")
    missed = []
    for kind in KINDS:
        subjects = [Subject(kind, size) for size in SIZES]
        for subject in subjects:
            subject.warm_up()
        for _ in range(rounds):
            for subject in subjects:
                subject.measure()
        base = subjects[0].median
        cells = [f"{item.median * 1e6:.2f} µs {item.median / base:6.2f} x" for item in subjects]
        print(f"{kind.name:38}" + "".join(f"{cell:>20}" for cell in cells), flush=True)
        if kind.has_target and subjects[-1].median > TARGET * base:
            missed.append(kind.name)
    verdict = f"missed by {', '.join(missed)}" if missed else "met"
    print(f"\ntarget: 1000 routes cost at most {TARGET:g} x what 10 do: {verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
