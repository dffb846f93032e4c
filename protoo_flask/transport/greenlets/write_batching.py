"""When a message is written: at once.

This is the plain way, and the interface of the fast one (in ``fast_iteration``). The
fast pool of greenlets calls :meth:`~WriteBatching.begin` before it runs the functions that
are ready, and :meth:`~WriteBatching.end` when all of them have returned or blocked.
"""

from __future__ import annotations

from ..channel import Corked


class WriteBatching:
    """Batches nothing: each message is written when it is sent."""

    __slots__ = ()

    def begin(self) -> None:
        """Begin a batch."""

    def add(self, corked: Corked) -> bool:
        """Have ``corked.uncork()`` called at the end of the batch, once; it must not block.

        :returns: ``False`` when the caller must write now, and nothing will be called.
        """
        return False

    def flush(self) -> None:
        """Write the messages of the batch so far, because its end may be far away."""

    def end(self) -> None:
        """Write the messages of the batch."""
