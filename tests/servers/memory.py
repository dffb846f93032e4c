"""What the kernel says of a server: memory, descriptors and threads of its processes (Linux)."""

from __future__ import annotations

import contextlib
from typing import Iterator

from benchmarks import footprint
from benchmarks.footprint import KIB, MIB, Growth

from .processes import Server

__all__ = ["KIB", "MIB", "Growth", "count_descriptors", "measure_growth", "process_ids", "resident"]


def process_ids(server: Server) -> list[int]:
    """Return the ids of a server's process and of all below it: gunicorn's workers."""
    return footprint.process_ids(server.process.pid)


def resident(server: Server) -> int:
    """Return the bytes of memory that a server occupies now (VmRSS of all its processes)."""
    return footprint.resident(server.process.pid)


@contextlib.contextmanager
def measure_growth(server: Server) -> Iterator[Growth]:
    """Measure the memory of a server while the block runs::

    with measure_growth(server) as growth:
        attack(server)
    assert growth.peak < 20 * MIB
    """
    with footprint.measure_growth(server.process.pid) as growth:
        yield growth


def count_descriptors(server: Server) -> int:
    """Return how many files and sockets a server's processes have open."""
    return footprint.count_descriptors(server.process.pid)
