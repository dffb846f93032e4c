"""Tellings: the events that this node tells its site, and that other nodes must not overtake.

The latest of each user are named in Redis, as ``node number``, in a key of their own: nobody
looks it up but the scripts of devices, so no lookup is invalidated when it comes and goes.
"""

from __future__ import annotations

import itertools

from . import scripts
from .scripts import TELLING_TIME
from .wires import Wires


class Tellings:
    """The events of one node that have not been told yet."""

    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self._numbers = itertools.count(1)
        #: {number: username}
        self.open: dict[int, str] = {}

    def begin(self, username: str) -> int:
        """See ``Cluster.begin_telling``. The script of a release enters it in Redis."""
        number = next(self._numbers)
        self.open[number] = username
        return number

    def is_open(self, number: int) -> bool:
        """See ``Cluster.is_telling``."""
        return number in self.open

    def end(self, number: int) -> None:
        """See ``Cluster.end_telling``."""
        username = self.open.pop(number, None)
        if username is not None:
            self._wires.run(self._strike_out, username, number)

    def forget(self, number: int) -> None:
        """Take note that there are no such events after all; Redis was not told of them."""
        self.open.pop(number, None)

    def clear(self) -> None:
        """Forget everything: this node has left."""
        self.open.clear()

    def write(self, number: int) -> str:
        """Return events as Redis names them."""
        return f"{self._wires.node} {number}"

    def _strike_out(self, username: str, number: int) -> None:
        writer = self._wires.open_writer
        if writer is not None:  # else it goes by itself
            scripts.TOLD.ask(writer, None, self._wires.keys.user(username), self.write(number))

    def enter_again(self) -> None:
        """Enter what Redis may have lost; in the owner's thread."""
        writer = self._wires.open_writer
        if writer is None:
            return
        for number, username in list(self.open.items()):
            key = self._wires.keys.teller(username)
            writer.ask(None, b"SET", key, self.write(number), b"NX", b"EX", TELLING_TIME)
