"""What the operating system has on its books about a process: CPU time and memory."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has taken so far, in all of its threads.

    The scheduler counts nanoseconds (``schedstat``). Where it does not tell, the ticks of
    ``stat`` have to do, of 10 ms each, and outside of Linux what ``ps`` says.
    """
    tasks = Path(f"/proc/{pid}/task")
    try:
        # Read first: Node works in threads, too, and a kernel may come without schedstat.
        spent = [(task / "schedstat").read_text().split()[0] for task in tasks.iterdir()]
        return sum(map(int, spent)) / 1e9
    except FileNotFoundError:
        pass
    try:
        # The name, in parentheses, may contain anything; utime and stime are 14 and 15.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except FileNotFoundError:
        return _cpu_seconds_of_ps(pid)


def _cpu_seconds_of_ps(pid: int) -> float:
    output = subprocess.run(
        ["ps", "-o", "time=", "-p", str(pid)], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    seconds = 0.0
    for part in re.split("[-:]", output.strip()):
        seconds = seconds * 60 + float(part)
    return seconds


def private_bytes(pid: int) -> int | None:
    """Return the memory that would be free without this process: its pages that no other has.

    ``None`` where the system does not tell.
    """
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, PermissionError):
        return None
    return 1024 * sum(int(kib) for kib in re.findall(r"^Private_\w+:\s+(\d+) kB", rollup, re.M))


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except FileNotFoundError:
        found = subprocess.run(["pgrep", "-P", str(pid)], stdout=subprocess.PIPE, text=True).stdout
        return [int(child) for child in found.split()]
