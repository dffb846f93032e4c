"""The machine: its description, and the processors for server and load generator."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator


@functools.lru_cache(maxsize=None)
def processors() -> tuple[int | None, int | None]:
    """Return the processor for the server, and the one for the load generator.

    Both are the same if there is only one. Both are ``None`` if processes cannot be bound. The
    result is cached: once this process is bound, the system would name only that processor.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    ours = sorted(os.sched_getaffinity(0))
    return ours[0], ours[-1]


def bind(processor: int | None) -> None:
    """Let this process run on this processor only."""
    if processor is not None:
        os.sched_setaffinity(0, {processor})


def move(pid: int, processor: int | None) -> None:
    """Let a running process, with all of its threads, run on this processor only."""
    if processor is not None:
        for task in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(task), {processor})


@contextlib.contextmanager
def bound(processor: int | None) -> Iterator[None]:
    """Bind this process for a while; processes started meanwhile stay bound.

    (Binding a running process would miss the threads that it has already started.)
    """
    if processor is None:
        yield
        return
    before = os.sched_getaffinity(0)
    bind(processor)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_file_limit() -> int:
    """Raise the limit of open files to the maximum, and return it. Servers inherit the limit."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Some systems report no hard limit, but refuse to remove the soft one.
        wanted = hard if hard != resource.RLIM_INFINITY else max(soft, 65536)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def describe() -> dict[str, str]:
    """Return the facts about the machine for the reader of a report."""
    count = os.cpu_count()
    return {
        "processor": f"{_processor_name()}, {count} core{'' if count == 1 else 's'}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Node": node_version() or "none",
    }


def hindrances() -> list[str]:
    """Return the properties of this machine that make the figures less exact."""
    found = []
    server, load = processors()
    if server is None:
        found.append("processes cannot be bound to a processor here: the figures vary more")
    elif server == load:
        found.append(
            "there is one processor only, which the servers and the load generator share: "
            "latencies are not comparable, nor figures that depend on answers coming at once"
        )
    if sys.platform != "linux":
        found.append("this is not Linux: CPU time is that of ps, and memory is not measured")
    return found


def _processor_name() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except FileNotFoundError:
        found = None
    return found.group(1) if found else platform.processor() or platform.machine()


def node_version() -> str | None:
    """Return the version of Node, if it is installed."""
    if shutil.which("node") is None:
        return None
    done = subprocess.run(["node", "--version"], stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().lstrip("v") or None


def python_package_version(name: str) -> str | None:
    """Return the version of a distribution, if it is installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
