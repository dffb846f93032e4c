"""``python -m benchmarks limits``: attacks a server, and prints how much it has held.

    python -m benchmarks limits [ATTACK ...] [--seconds 10] [--most 1024] [--checkout PATH]

Each attack has a server of its own: gunicorn with one gevent worker, default settings. The
memory is the resident memory of the worker, in MiB.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Sequence

from .. import machine
from ..catalogue import CATALOGUE, HERE, OURS, Entry
from ..footprint import KIB, MIB, count_descriptors, measure_growth
from ..process import Server
from ..tables import as_markdown, as_text
from .arena import Arena, mib
from .attacks import ATTACKS, HOLDS

HEADER = (
    "attack",
    "tried",
    "before",
    "peak",
    "after",
    "holds",
    "descriptors",
    "threads",
    "log",
    "the attackers were told",
    "another client's echo",
)


def main(args: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks limits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=f"of {', '.join(ATTACKS)}")
    parser.add_argument("--seconds", type=float, default=10, help="for each attack")
    parser.add_argument(
        "--most", type=int, default=1024, help="stop an attack at so many MiB of growth"
    )
    parser.add_argument(
        "--afterwards", type=float, default=0, help="seconds until the look at what is left"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    parser.add_argument("--checkout", type=Path, default=HERE.parent, help="attack another one")
    options = parser.parse_args(args)
    names = options.attacks or list(ATTACKS)
    for name in names:
        if name not in ATTACKS:
            parser.error(f"there is no attack {name!r}; there are: {', '.join(ATTACKS)}")
    machine.raise_file_limit()
    rows: list[Sequence[str]] = [HEADER]
    for name in names:
        rows.append(run(name, options))
        print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    print(as_markdown(rows) if options.markdown else as_text(rows))
    return 0


def entry_of(name: str, checkout: Path) -> Entry:
    """Return the server for an attack."""
    settings = json.dumps(ATTACKS[name].settings)
    return CATALOGUE[OURS]._replace(
        name=name,
        source="attacked_site:app",
        environment={"ATTACK_SETTINGS": settings},
        checkout=checkout,
    )


def run(name: str, options: argparse.Namespace) -> Sequence[str]:
    """Run one attack; returns its row of the table."""
    attack = ATTACKS[name]
    server = Server(entry_of(name, options.checkout.resolve()))
    try:
        server.connect(0).close()
        server.collect()
        descriptors = count_descriptors(server.pid)
        arena = Arena(server, options.seconds, options.most * MIB)
        with measure_growth(server.pid) as growth:
            log = server.log_bytes()
            with arena.watched() as neighbour:
                attack.run(arena)
                arena.wait(0.5)
                delays = arena.get("/delays")
                neighbour.stop()  # looking at all objects of the server takes long
                holds = arena.weigh(HOLDS.get(name), growth.before)
                told = arena.told()
            arena.end()
            time.sleep(options.afterwards)
            server.settle()
            server.collect()
            log = server.log_bytes() - log
            running = arena.get("/running")
            if running["handlers"] or running["listeners"]:
                told = f"{told}; still running: {running}"
    finally:
        server.stop()
    worst = max(neighbour.echoes, default=0.0)
    echo = neighbour.failed or f"worked, at worst {1000 * worst:.0f} ms"
    echo += f" ({delays['turn']:.0f} of the processor, {delays['collection']:.0f} of a collection)"
    return (
        name,
        str(arena.operations),
        mib(growth.before),
        mib(growth.before + growth.peak),
        mib(growth.before + growth.left),
        holds,
        f"{descriptors} -> {arena.most_descriptors}",
        str(arena.most_threads),
        f"{log / KIB:.0f} KiB",
        told,
        echo,
    )
