"""Another client of an attacked server, who only wants an echo.

A process of its own, so that it does not wait for the interpreter of the attackers:

    python -m benchmarks.limits.neighbour PORT

It prints the seconds that each echo took, one a line, until its input ends. A line that is not a
number says why it has stopped.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from ..catalogue import CATALOGUE, OURS
from ..client import Client
from ..cookies import cookie_of
from ..wires import WrongAnswer

#: Seconds between two echoes.
INTERVAL = 0.05


class Neighbour:
    """The other end: starts the process, and reads its figures at the end.

    :ivar echoes: seconds that each echo took.
    :ivar failed: why there are no more; ``None``: they were stopped.
    """

    def __init__(self, port: int) -> None:
        self.echoes: list[float] = []
        self.failed: str | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(port)],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it is connected, or has failed

    def stop(self) -> None:
        """Stop, and take its figures; harmless when it has stopped."""
        assert self._process.stdin is not None
        if self._process.stdin.closed:
            return
        text, _ = self._process.communicate("")
        for line in text.splitlines():
            try:
                self.echoes.append(float(line))
            except ValueError:
                self.failed = line


def main(port: int) -> None:
    try:
        wire = CATALOGUE[OURS].wire
        neighbour = Client(port, wire, "neighbour", "n1", cookie_of("neighbour"))
        print("connected", flush=True)
        with contextlib.closing(neighbour):
            for id in itertools.count(1):
                begin = time.monotonic()
                neighbour.call(b'{"method":"get","path":"/echo","id":%d}' % id)
                print(time.monotonic() - begin)
                if select.select([0], [], [], INTERVAL)[0] and not os.read(0, 1):
                    return
    except (OSError, WrongAnswer) as error:
        print(str(error)[:60] or type(error).__name__, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
