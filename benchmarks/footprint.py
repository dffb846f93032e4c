"""The footprint of a process: memory, descriptors and threads, with those of its children (Linux).

A limit that counts bytes of JSON can hold while the process grows twenty times as much. So
whoever looks at a limit looks here, at the numbers of the kernel.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Iterator

KIB, MIB = 1024, 1024 * 1024


def process_ids(pid: int) -> list[int]:
    """Return the ids of a process and of all below it: gunicorn's workers."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text()
            found.extend(map(int, children.split()))
    return found


def resident(pid: int) -> int:
    """Return the bytes of memory that a process occupies now (VmRSS)."""
    return _sum(pid, "VmRSS")


class Growth:
    """The growth of a process's memory; see :func:`measure_growth`.

    :ivar before: bytes at the beginning.
    :ivar peak: bytes by which the memory has grown at most, also for a moment.
    :ivar left: bytes by which it was larger at the end.
    """

    before = 0
    peak = 0
    left = 0


@contextlib.contextmanager
def measure_growth(pid: int) -> Iterator[Growth]:
    """Measure the memory of a process while the block runs."""
    growth = Growth()
    for each in process_ids(pid):
        Path(f"/proc/{each}/clear_refs").write_text("5")  # the peak (VmHWM) begins anew
    growth.before = resident(pid)
    yield growth
    growth.peak = _sum(pid, "VmHWM") - growth.before
    growth.left = resident(pid) - growth.before


def count_descriptors(pid: int) -> int:
    """Return how many files and sockets a process has open."""
    return sum(len(os.listdir(f"/proc/{each}/fd")) for each in process_ids(pid))


def count_threads(pid: int) -> int:
    """Return how many threads a process has."""
    return sum(len(os.listdir(f"/proc/{each}/task")) for each in process_ids(pid))


def _sum(pid: int, field: str) -> int:
    total = 0
    for each in process_ids(pid):
        status = Path(f"/proc/{each}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(field + ":"))
        total += int(line.split()[1]) * KIB
    return total
