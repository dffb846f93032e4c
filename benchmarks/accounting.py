"""CPU time and memory of a process, as the operating system counts them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, in all of its threads.

    The scheduler counts nanoseconds (``schedstat``). Without that, the ticks of ``stat`` are
    used, of 10 ms each. On systems other than Linux, the output of ``ps`` is used.
    """
    tasks = Path(f"/proc/{pid}/task")
    try:
        # All threads, because Node has several. A kernel may be built without schedstat.
        spent = [(task / "schedstat").read_text().split()[0] for task in tasks.iterdir()]
        return sum(map(int, spent)) / 1e9
    except FileNotFoundError:
        pass
    try:
        # Field 2 is the name in parentheses and may contain any text, so it is cut off. The fields
        # 14 and 15 are utime and stime.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except FileNotFoundError:
        return _cpu_seconds_of_ps(pid)


def context_switches(pid: int) -> int:
    """Return how often the processor was taken from a process, or given back by it, so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(map(int, re.findall(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)", status, re.M)))


def _cpu_seconds_of_ps(pid: int) -> float:
    output = subprocess.run(
        ["ps", "-o", "time=", "-p", str(pid)], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    seconds = 0.0
    for part in re.split("[-:]", output.strip()):
        seconds = seconds * 60 + float(part)
    return seconds


def private_bytes(pid: int) -> int | None:
    """Return the private memory of a process: the pages that no other process has.

    ``None`` if the system does not report it.
    """
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, PermissionError):
        return None
    return 1024 * sum(int(kib) for kib in re.findall(r"^Private_\w+:\s+(\d+) kB", rollup, re.M))


def children(pid: int) -> list[int]:
    """Return the process ids of the children of a process."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except FileNotFoundError:
        found = subprocess.run(["pgrep", "-P", str(pid)], stdout=subprocess.PIPE, text=True).stdout
        return [int(child) for child in found.split()]
