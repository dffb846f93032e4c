"""The number of processor instructions for a request.

    python dev.py bench instructions [--count N] [--checkout PATH] [--metrics]

callgrind (part of valgrind) simulates a processor and counts its instructions. The same work has
the same count, to about a thousandth, whatever else the machine is doing. The count is not a
time: instructions take different times, and those of the kernel are not counted.

The difference between the counts of 2 N and of N requests is the count of N requests, without
the work that is done only once. "less the floor" is without the instructions of gevent and the
client, which run in the same process: see in_process.py.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Sequence

from .tables import Table, as_text

ROOT = Path(__file__).resolve().parent.parent
COUNT = 300
#: (name, number of floor answers in it), in the order of in_process.py.
SUBJECTS = (("gevent floor", 1), ("a request", 1), ("a relayed message", 2))


def main(args: Sequence[str]) -> int:
    """Count, and print a table. Without valgrind, print a hint and return 0."""
    parser = argparse.ArgumentParser(prog="dev.py bench instructions")
    parser.add_argument("--count", type=int, default=COUNT, metavar="N")
    parser.add_argument("--checkout", type=Path, default=ROOT, metavar="PATH")
    parser.add_argument("--metrics", action="store_true", help="count for Prometheus, too")
    options = parser.parse_args(args)
    count = options.count
    if shutil.which("valgrind") is None:
        print("instructions: not counted, there is no valgrind (Debian: apt-get install valgrind)")
        return 0
    print("counting instructions: this takes a minute", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        run_callgrind(Path(folder), count, options.checkout, options.metrics)
        totals = [read_total(path) for path in sorted(Path(folder).glob("out.*"), key=number_of)]
    # The totals at the three marks of each subject: the work before it, ``count`` times the
    # subject, and twice as many.
    per_subject = [totals[begin : begin + 3] for begin in range(0, len(SUBJECTS) * 3, 3)]
    each = [(double - single) / count for _, single, double in per_subject]
    table: Table = [["instructions for", "in all", "less the floor"]]
    for (name, floors), instructions in zip(SUBJECTS, each):
        table.append([name, f"{instructions:.0f}", f"{instructions - floors * each[0]:.0f}"])
    print(as_text(table))
    return 0


def run_callgrind(folder: Path, count: int, checkout: Path, metrics: bool = False) -> None:
    """Run the servers and their client; callgrind writes a file of counts at each mark.

    :param checkout: the directory from which ``protoo_flask`` is imported.
    :param metrics: whether the site has metrics for Prometheus.
    """
    command = [
        "valgrind",
        "--tool=callgrind",
        "--dump-before=getloadavg",
        f"--callgrind-out-file={folder}/out",
        sys.executable,
        *("-m", "benchmarks.in_process", str(count)),
    ]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
    environment["BENCH_NO_PINGS"] = "1"
    if metrics:
        environment["BENCH_METRICS"] = "1"
    done = subprocess.run(
        command,
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"callgrind has failed:\n{done.stdout[-2000:]}")


def number_of(path: Path) -> int:
    """Return the number of the mark from the name of its file: out.1, out.2, ..."""
    return int(path.suffix[1:])


def read_total(path: Path) -> int:
    """Return the instructions between two marks."""
    found = re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.M)
    assert found is not None
    return int(found.group(1))
