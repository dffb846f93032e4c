"""Compares this project with others.

    python dev.py bench [--short] [--only KIND,KIND] [--servers NAME,NAME] [--rounds N]
    python dev.py bench --write-docs
    python dev.py bench instructions [--count N]
    python dev.py bench trips [--show TRIP]
    python dev.py bench floods [--only FLOOD,FLOOD]
    python dev.py bench cluster [--only relay,broadcast]
    python -m benchmarks clients [--count N] [--connections N]
    python -m benchmarks figures [--check]
    python -m benchmarks limits [ATTACK ...]
    python -m benchmarks restart [--count N] [--windows SECONDS,SECONDS]

Ends with status 1 if a target is missed, or if something has failed.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import sys
import time
from pathlib import Path
from typing import Iterable, Sequence

from . import clients, cluster, floods, instructions, machine, restart, trips
from .catalogue import CATALOGUE, FLASK_SOCK, FLOOR, OURS, PROTOO_SERVER, add_checkout
from .docs_page import write_docs
from .figures import command as figures
from .kinds import KINDS, SHORT_KINDS
from .limits import command as limits
from .node_packages import ensure_node_packages
from .process import ServerFailed
from .report import kind_table, markdown_report, text_report, verdicts_of
from .results import Results
from .run import FULL, SHORT, Run
from .tables import as_text
from .wires import WrongAnswer

RESULTS = Path(__file__).resolve().parent / "results"
SHORT_SERVERS = [OURS, FLASK_SOCK, PROTOO_SERVER, FLOOR]


def parse(args: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dev.py bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--short", action="store_true", help="a run of less than a minute, for every day")
    add("--only", metavar="KINDS", help=f"only these kinds, of {','.join(KINDS)}")
    add("--servers", metavar="NAMES", help=f'only these servers, of "{",".join(CATALOGUE)}"')
    add("--rounds", type=int, metavar="N", help=f"default {FULL.rounds}, short {SHORT.rounds}")
    add("--also", action="append", default=[], metavar="PATH", help="also measure this checkout")
    add("--pywsgi", action="store_true", help="serve with gevent's pywsgi instead of gunicorn")
    add("--write-docs", action="store_true", help="write docs/performance.md and its plots")
    add("--redraw", action="store_true", help="measure nothing, and use the last results")
    return parser.parse_args(args)


def main(args: Sequence[str]) -> int:
    if args and args[0] == "instructions":
        return instructions.main(args[1:])
    if args and args[0] == "trips":
        return trips.main(args[1:])
    if args and args[0] == "floods":
        return floods.main(args[1:])
    if args and args[0] == "clients":
        return clients.main(args[1:])
    if args and args[0] == "cluster":
        return cluster.main(args[1:])
    if args and args[0] == "figures":
        return figures.main(args[1:])
    if args and args[0] == "limits":
        return limits.main(args[1:])
    if args and args[0] == "restart":
        return restart.main(args[1:])
    options = parse(args)
    is_part = bool(options.short or options.only or options.servers)
    path = RESULTS / ("part.json" if is_part else "full.json")
    results = Results.load(path) if options.redraw else measure(options)
    results.save(path)
    path.with_suffix(".md").write_text(markdown_report(results), encoding="utf-8")
    print(text_report(results))
    if options.write_docs:
        if is_part and (RESULTS / "full.json").exists():
            newer, results = results, Results.load(RESULTS / "full.json")
            results.replace_kinds(newer)
            results.save(RESULTS / "full.json")
        for written in write_docs(results):
            print(f"written: {written}")
    is_missed = any(verdict.is_missed for verdict in verdicts_of(results))
    return int(is_missed or bool(results.failures))


def measure(options: argparse.Namespace) -> Results:
    """Run all requested kinds."""
    sizes = SHORT if options.short else FULL
    if options.rounds:
        sizes = dataclasses.replace(sizes, rounds=options.rounds)
    servers = SHORT_SERVERS if options.short else None
    if options.servers:
        servers = choose(options.servers, CATALOGUE)
    kinds = list(SHORT_KINDS if options.short else KINDS)
    if options.only:
        kinds = choose(options.only, KINDS)
    also = [add_checkout(Path(path)) for path in options.also]

    machine.bind(machine.processors()[1])
    machine.raise_file_limit()
    ensure_node_packages()
    run = Run(sizes, servers, also=also, pywsgi=options.pywsgi, say=say)
    begin = time.monotonic()
    for name in kinds:
        try:
            KINDS[name].run(run)
        except (WrongAnswer, ServerFailed, OSError) as error:
            # The results of the other kinds are still useful.
            run.results.fail(f"{name}: {error!r}")
        say("")
        if run.results.servers(name):
            print(as_text(kind_table(KINDS[name], run.results)) + "\n", file=sys.stderr)
    leave_out_the_rest(run, kinds)
    state_facts(run, "pywsgi" if options.pywsgi else "gunicorn -k gevent -w 1", begin)
    return run.results


def leave_out_the_rest(run: Run, kinds: Sequence[str]) -> None:
    for name in KINDS:
        if name not in kinds:
            run.results.leave_out(f"{name}: not asked for")
    for name in CATALOGUE:
        if run.wanted is not None and name not in [*run.wanted, *run.also]:
            run.results.leave_out(f"{name}: not asked for")


def state_facts(run: Run, served_by: str, begin: float) -> None:
    """Store the facts about a run for the reader of the report."""
    facts = run.results.facts
    facts["machine"] = machine.describe()
    facts["hindrances"] = machine.hindrances()
    versions = facts.setdefault("versions", {})
    for name in ("protoo-flask", "msgspec", "greenlet", "Werkzeug"):
        versions[name] = machine.python_package_version(name) or "?"
    server, load = machine.processors()
    facts["run"] = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "took": f"{(time.monotonic() - begin) / 60:.0f} minutes, {run.sizes.rounds} rounds",
        "Python servers": served_by,
        "bound to": f"server: processor {server}, load generator: processor {load}",
    }


def say(text: str) -> None:
    """Show the progress, if the output is a terminal."""
    if sys.stderr.isatty():
        print(f"\r{text:78}\r", end="", file=sys.stderr, flush=True)


def choose(text: str, allowed: Iterable[str]) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in allowed:
            sys.exit(f"dev.py bench: there is no {name!r}; there are: {', '.join(allowed)}")
    return names


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
