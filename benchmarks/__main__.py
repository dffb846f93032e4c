"""Measures this project beside others.

    python dev.py bench [--short] [--only KIND,KIND] [--servers NAME,NAME] [--rounds N]
    python dev.py bench instructions [--count N]

Ends with status 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Sequence

from . import instructions, machine, report
from .catalogue import CATALOGUE, FLASK_SOCK, FLOOR, OURS, PROTOO_SERVER, add_checkout
from .kinds import KINDS, SHORT_KINDS
from .node_packages import ensure_node_packages
from .run import FULL, SHORT, Run
from .targets import Verdict

RESULTS = Path(__file__).resolve().parent / "results"
SHORT_SERVERS = [OURS, FLASK_SOCK, PROTOO_SERVER, FLOOR]


def parse(args: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py bench", description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true", help="less than a minute")
    parser.add_argument("--only", metavar="KINDS", help=f"of {','.join(KINDS)}")
    parser.add_argument("--servers", metavar="NAMES", help=f'of "{",".join(CATALOGUE)}"')
    parser.add_argument("--rounds", type=int, metavar="N")
    parser.add_argument(
        "--also", action="append", default=[], metavar="PATH", help="another checkout, too"
    )
    parser.add_argument("--pywsgi", action="store_true", help="gevent's server, not gunicorn")
    return parser.parse_args(args)


def main(args: Sequence[str]) -> int:
    if args and args[0] == "instructions":
        return instructions.main(args[1:])
    options = parse(args)
    sizes = SHORT if options.short else FULL
    if options.rounds:
        sizes = dataclasses.replace(sizes, rounds=options.rounds)
    servers = SHORT_SERVERS if options.short else None
    if options.servers:
        servers = choose(options.servers, CATALOGUE)
    kinds = choose(options.only, KINDS) if options.only else list(SHORT_KINDS)
    if not options.only and not options.short:
        kinds = list(KINDS)

    machine.bind(machine.processors()[1])
    machine.raise_file_limit()
    ensure_node_packages()
    also = [add_checkout(Path(path)) for path in options.also]
    run = Run(sizes, servers, also=also, pywsgi=options.pywsgi, say=say)
    for name in kinds:
        KINDS[name].run(run)
        print(f"\n{KINDS[name].title}")
        print(report.as_text(report.table_of(KINDS[name], run.results)))
    verdicts = [
        Verdict(target, target.value(run.results))
        for kind in kinds
        for target in KINDS[kind].targets
    ]
    print("\n" + report.as_text(report.targets_table(verdicts)))
    return int(any(verdict.is_missed for verdict in verdicts))


def say(text: str) -> None:
    print(f"\r{text:70}", end="", file=sys.stderr, flush=True)


def choose(text: str, allowed: Sequence[str]) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in allowed:
            sys.exit(f"dev.py bench: there is no {name!r}; there are: {', '.join(allowed)}")
    return names


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
