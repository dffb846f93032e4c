"""Recent answers: those of this node to others, for nodes that have lost them.

A frame of the bus may be lost. The node that waits for an answer finds that out later, and asks
once more what has become of its request: see :mod:`.comparison`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

#: Final answers that are kept of each kind, and their bytes in total.
MAX_RECENT = 1000
MAX_RECENT_SIZE = 1024 * 1024

K = TypeVar("K")
V = TypeVar("V")


class RecentAnswers(Generic[K, V]):
    """``{key: final answer}``, the oldest first."""

    def __init__(self) -> None:
        self._answers: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: K) -> V | None:
        """Return the answer to a request, unless that was long ago."""
        found = self._answers.get(key)
        return None if found is None else found[0]

    def add(self, key: K, answer: V, size: int) -> None:
        """Keep an answer, in the place of older ones.

        :param size: bytes of its text.
        """
        answers = self._answers
        former = answers.pop(key, None)
        if former is not None:
            self._size -= former[1]
        answers[key] = answer, size
        self._size += size
        while len(answers) > MAX_RECENT or (self._size > MAX_RECENT_SIZE and len(answers) > 1):
            _, (_, oldest) = answers.popitem(last=False)
            self._size -= oldest
