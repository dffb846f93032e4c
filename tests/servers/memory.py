"""What the kernel says of a server: memory, descriptors and threads of its processes (Linux)."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Iterator

from .processes import Server

KIB, MIB = 1024, 1024 * 1024


def process_ids(server: Server) -> list[int]:
    """Return the ids of a server's process and of all below it: gunicorn's workers."""
    found = [server.process.pid]
    for pid in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            found.extend(map(int, children.split()))
    return found


def resident(server: Server) -> int:
    """Return the bytes of memory that a server occupies now (VmRSS of all its processes)."""
    return _sum(server, "VmRSS")


class Growth:
    """The growth of a server's memory; see :func:`measure_growth`.

    :ivar peak: bytes by which the memory has grown at most, also for a moment.
    :ivar left: bytes by which it was larger at the end.
    """

    peak = 0
    left = 0


@contextlib.contextmanager
def measure_growth(server: Server) -> Iterator[Growth]:
    """Measure the memory of a server while the block runs::

    with measure_growth(server) as growth:
        attack(server)
    assert growth.peak < 20 * MIB
    """
    growth = Growth()
    for pid in process_ids(server):
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak (VmHWM) begins anew
    before = resident(server)
    yield growth
    growth.peak = _sum(server, "VmHWM") - before
    growth.left = resident(server) - before


def count_descriptors(server: Server) -> int:
    """Return how many files and sockets a server's processes have open."""
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in process_ids(server))


def _sum(server: Server, field: str) -> int:
    total = 0
    for pid in process_ids(server):
        status = Path(f"/proc/{pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(field + ":"))
        total += int(line.split()[1]) * KIB
    return total
