"""The way of one request, and of other trips, through the functions and files of the package.

    python dev.py bench trips [--show TRIP] [--checkout PATH]

==========  ==========================================================================
request     from the bytes of a request on a socket to the bytes of its response
relay       a message from alice to bob (``p2p_messenger``), his 200 back to alice
handshake   from the HTTP request of a client to its 101 and the "online" of the site
takeover    a second connection of the same device; the first gets Close 3000
fork        a call (``session_handler``) to three devices: all ring, one accepts, the
            others get ``end``
==========  ==========================================================================

Counted are the calls of functions of the package, the files that these functions are in,
and the *crossings*: the calls whose nearest caller inside the package is in another file.
A call from outside of the package (the event loop, Flask) is a crossing too. See
``tracing.py`` for the details. All greenlets of the server are traced. The functions of the
site are not counted: the logger and the handler of a request, for instance.

The state is a steady one: each trip is made 50 times before it is traced. It is then traced
twice, and the two walks must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Sequence

from .tables import Table, as_text
from .tracing import Call, count

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("request", "relay", "handshake", "takeover", "fork")

#: ``{trip: calls}``
Walks = Dict[str, List[Call]]


def main(args: Sequence[str]) -> int:
    """Trace, and print a table, or the walk of one trip."""
    parser = argparse.ArgumentParser(
        prog="dev.py bench trips",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--show", choices=NAMES, metavar="TRIP", help=f"its calls, one a line: {', '.join(NAMES)}")
    add(
        "--checkout",
        type=Path,
        action="append",
        metavar="PATH",
        help="where protoo_flask is taken from; several are shown side by side",
    )
    options = parser.parse_args(args)
    checkouts = options.checkout or [ROOT]
    walks = [trace_trips(checkout) for checkout in checkouts]
    if options.show:
        for checkout, traced in zip(checkouts, walks):
            if len(checkouts) > 1:
                print(f"{checkout}:")
            print(as_lines(traced[options.show]))
        return 0
    table: Table = [["trip", *["calls", "files", "crossings"] * len(checkouts)]]
    for name in NAMES:
        table.append([name, *(str(n) for traced in walks for n in count(traced[name]))])
    print(as_text(table))
    return 0


def trace_trips(checkout: Path = ROOT) -> Walks:
    """Make each trip in a process of its own and return its calls, in order.

    :param checkout: where ``protoo_flask`` is taken from.
    :raises RuntimeError: when that process fails, or a trip is not the same for the second
        time.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.trips_in_process", str(checkout.resolve())],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the trips have failed:\n{done.stderr[-2000:]}")
    walks = {}
    for name, (first, second) in json.loads(done.stdout).items():
        if first != second:
            raise RuntimeError(
                f"the trip {name!r} was traced twice, which should give the same calls, not "
                f"{len(first)} and {len(second)}; they differ at {difference(first, second)}"
            )
        walks[name] = [Call(*call) for call in first]
    return walks


def difference(first: Sequence[object], second: Sequence[object]) -> str:
    """Say where two walks that are not the same part."""
    for number, (one, other) in enumerate(zip(first, second)):
        if one != other:
            return f"call {number}: {one} and {other}"
    return f"call {min(len(first), len(second))}, which only one of them has"


def as_lines(walk: Sequence[Call]) -> str:
    """Write a walk with one line for each call, indented by its depth."""
    return "\n".join(f"{'  ' * call.depth}{call.file}  {call.function}" for call in walk)
