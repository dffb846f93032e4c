"""``python -m tests.chaos``: the campaign. ``python3 dev.py chaos`` runs it.

    python -m tests.chaos                           a minute for each cell of the matrix
    python -m tests.chaos --minutes 60              an hour for all of them
    python -m tests.chaos --minutes 1 --quick       three cells, and what is over soon: as in CI
    python -m tests.chaos --only gunicorn+tls,pywsgi --seed 7
    python -m tests.chaos --only messages,paths     some fuzzers, floods or faults, in all cells
    python -m tests.chaos --report docs/reliability.md
    python -m tests.chaos --list                    the names of cells, fuzzers, floods and faults

The seed is printed first. The same seed, minutes and names give the same plan: the same inputs, and
the same faults at the same times. The status is 1 if something is wrong.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Sequence  # noqa: E402

from . import autobahn  # noqa: E402
from .campaign import OVERHEAD, OVERHEAD_OF_CLUSTER, run_cell  # noqa: E402
from .cells import MATRIX, Cell  # noqa: E402
from .faults import FAULTS  # noqa: E402
from .floods import FLOODS  # noqa: E402
from .fuzzers import FUZZERS  # noqa: E402
from .plan import QUICK, make_plan  # noqa: E402
from .report import Report, advice, command, write  # noqa: E402

#: Those of the run of a minute: greenlets, threads, and TLS, one of them with compression.
QUICK_CELLS = ("gunicorn+compression", "pywsgi+tls", "flask-run")

#: Seconds that a cell has at least.
MIN_SECONDS = 20

ACTIONS = [*FUZZERS, *FLOODS, *FAULTS]


def main(args: Sequence[str]) -> int:
    options = parse(args)
    if options.list:
        list_names()
        return 0
    cells, names = choose(options.only, options.quick)
    seconds = max(MIN_SECONDS, round(options.minutes * 60 / len(cells)))
    repeat = command(options.seed, options.minutes, options.only, options.quick)
    report = Report(options.seed, repeat)
    say(f"--seed {options.seed}, {len(cells)} cells of {seconds} s")
    began = time.monotonic()
    for cell in cells:
        overhead = OVERHEAD_OF_CLUSTER if cell.has_cluster else OVERHEAD
        plan = make_plan(options.seed, cell, seconds - overhead, names)
        say(f"{cell.name}: {', '.join(action.name for action in plan)}")
        result = run_cell(cell, options.seed, plan, lambda text: say(f"  {text}"))
        report.results.append(result)
        say(f"{cell.name}: {len(result.findings)} findings in {result.seconds:.0f} s")
        if result.findings:
            only = [cell.name, *(name for name in options.only if name in ACTIONS)]
            repeat = command(options.seed, seconds / 60, only, options.quick)
            print(result.log, *advice(result, repeat), sep="\n", flush=True)
    if options.autobahn:
        with tempfile.TemporaryDirectory() as folder:
            report.autobahn, findings = autobahn.run(Path(folder))
        if report.results:
            report.results[-1].findings += findings
    report.seconds = time.monotonic() - began
    print(f"\n{report.to_markdown()}\n", flush=True)
    for path in options.report:
        write(report, path)
    say(f"{len(report.findings)} findings, --seed {options.seed}")
    return int(bool(report.findings))


def parse(args: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py chaos")
    minutes = float(len(MATRIX))
    parser.add_argument("--minutes", type=float, default=minutes, metavar="N", help="in all cells")
    seed = random.randrange(1_000_000)
    parser.add_argument("--seed", type=int, default=seed, metavar="N", help="of an earlier run")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAMES",
        help="of cells, fuzzers, floods and faults, with commas",
    )
    parser.add_argument("--quick", action="store_true", help="three cells, and quick actions")
    parser.add_argument(
        "--report",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="write the report: JSON to *.json, else Markdown",
    )
    parser.add_argument("--autobahn", action="store_true", help="run that test suite, too")
    parser.add_argument("--list", action="store_true", help="print the names for --only")
    options = parser.parse_args(args)
    known = [cell.name for cell in MATRIX] + ACTIONS
    unknown = [name for name in options.only if name not in known]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are: {', '.join(known)}")
    return options


def choose(only: Sequence[str], is_quick: bool) -> tuple[list[Cell], list[str]]:
    """Return the cells and the names of the actions that are asked for."""
    names = [name for name in ACTIONS if name in only]
    cells = [cell for cell in MATRIX if cell.name in only]
    if is_quick:
        cells = cells or [cell for cell in MATRIX if cell.name in QUICK_CELLS]
        names = names or list(QUICK)
    return cells or MATRIX, names


def list_names() -> None:
    print("cells:  ", ", ".join(cell.name for cell in MATRIX))
    for kind, found in (("fuzzers", FUZZERS), ("floods", FLOODS), ("faults", FAULTS)):
        print(f"{kind + ':':8}", ", ".join(found))


def say(text: str) -> None:
    print(f"chaos: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
