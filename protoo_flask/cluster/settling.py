"""Settling: for which other nodes one waits until it believes that somebody is absent.

Each node says in its beat how far it is:

===========  ======================================================================================
state        it
===========  ======================================================================================
rebuilding   claims its peers
waiting      has claimed them, and knows of nodes that have not, as far as it knows
settled      believes Redis
===========  ======================================================================================

=========================================  ====================================================
a node                                     waits for
=========================================  ====================================================
whose Redis has lost its data              all nodes that it knew, until they are not rebuilding
that is back, and others do not listen,    those, until they have beaten and are not rebuilding:
or have not claimed                        after a failover, Redis lacks what they claimed last
that is new                                others, until none is rebuilding or waiting
that is new, and found nothing in Redis    as many as listen; and a moment, if Redis was not there
                                           at first. Others may be on their way back
=========================================  ====================================================
"""

from __future__ import annotations

from typing import Callable, Mapping

#: States of a node, in the table of beats.
REBUILDING = b"r"
WAITING = b"w"
SETTLED = b"s"

#: Parts of the node timeout that others are awaited. Those that have not come then are taken for
#: dead: they have had as long as a node that is silent.
PATIENCE = 0.8

#: Seconds within which the other nodes are back, after Redis is.
RETURN_TIME = 4.0


class Settling:
    """The nodes that one node waits for.

    :param now: the clock: seconds.
    :param node_timeout: seconds.
    :ivar awaited: ``{node: what its beat must not be}``
    """

    def __init__(self, now: Callable[[], float], node_timeout: float) -> None:
        self.awaited: dict[str, bytes] = {}
        self._now = now
        self._patience = node_timeout * PATIENCE
        self._since = 0.0
        #: Nodes that have to be listed, and how long a new node waits at least.
        self._expected = 0
        self._least = float("-inf")
        #: Until when a node that has found nothing looks whether others are back.
        self._looks_until = float("-inf")

    def wait_for(self, nodes: dict[str, bytes]) -> None:
        """Wait for nodes; ``{node: its beat}``, empty for one that is not listed."""
        self.awaited = nodes
        self._since = self._now()

    def join(self) -> None:
        """Be new."""
        self._since = self._now()

    def join_nobody(self, listeners: int, is_late: bool) -> None:
        """Be new, where nobody is listed.

        :param listeners: how many nodes listen, with this one.
        :param is_late: whether Redis could not be reached at first.
        """
        self._since = now = self._now()
        self._looks_until = now + RETURN_TIME
        self._least = now + RETURN_TIME if is_late else now
        self._expected = listeners

    @property
    def looks(self) -> bool:
        """Whether this node has found nothing, a moment ago."""
        return self._now() < self._looks_until

    def begins_again(self, beats: Mapping[str, bytes]) -> bool:
        """Whether others have come back after this node, which had found nothing."""
        if self.looks and _has(beats, REBUILDING, WAITING):
            self._since = self._now()
            return True
        return False

    def is_over(self, beats: Mapping[str, bytes], own: bytes) -> bool:
        """Whether everybody has come.

        :param beats: of the others.
        :param own: the state of this node.
        """
        for node, noted in list(self.awaited.items()):
            beat = beats.get(node, b"")
            # One that was listed, and is not any more, has left, or was buried.
            if beat != noted and not beat.endswith(REBUILDING):
                self.awaited.pop(node, None)
        if self.awaited:
            return False
        if own is SETTLED and _has(beats, REBUILDING, WAITING):
            return False
        if self.looks and _has(beats, REBUILDING):
            return False
        return self._now() >= self._least and len(beats) + 1 >= self._expected

    @property
    def is_too_long(self) -> bool:
        return self._now() - self._since > self._patience

    def end(self) -> None:
        self.awaited.clear()
        self._expected = 0


def _has(beats: Mapping[str, bytes], *states: bytes) -> bool:
    return any(beat.endswith(states) for beat in beats.values())
