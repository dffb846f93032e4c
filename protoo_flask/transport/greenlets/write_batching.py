"""Rounds: what is sent while the hub has its workers handle what has come leaves together.

Sending is most of what the kernel does for a request, and goes through more code than a
cache of the processor holds. Done after each request, both it and Python begin in a cold
cache each time; one after the other, sixty answers cost a quarter less. So what a round
sends is held back until its end.

Nobody waits long for that: of a long round, what is held back leaves each ``MAX_DELAY``.
When a handler blocks, the round goes on without it. Only one that computes, or blocks in a
way that gevent does not notice, keeps what was sent just before, as it keeps everybody; what
it sends later itself leaves at once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from ..channel import Holder

#: Seconds. Dozens of usual requests are handled in that time.
MAX_DELAY = 0.001

#: So many connections hold something back at once. More would not be cheaper, and each of
#: them keeps its frames.
MAX_HELD = 64


class Round:
    """The round that a hub is in, or will be in.

    :param now: seconds on a clock that never goes back.
    """

    __slots__ = ("_held", "_is_open", "_latest", "_now", "_released")

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._is_open = False
        #: When something was held back for the last time, and when all that was left.
        self._latest = self._released = 0.0
        self._held: list[Holder] = []

    def begin(self) -> None:
        """Hold back what is sent from now on."""
        self._is_open = True
        self._latest = self._released = self._now()

    def end(self) -> None:
        """Send what is held back; what is sent from now on leaves at once."""
        self._is_open = False
        if self._held:
            self._release()

    def hold_back(self, holder: Holder) -> bool:
        """Have ``holder.release()`` called at the end of the round, once; it must not block.

        :returns: ``False`` when what is to be sent shall leave at once.
        """
        if not self._is_open:
            return False
        clock = self._now  # called as self._now(), it would be looked for in the class first
        now = clock()
        if now - self._released > MAX_DELAY or len(self._held) == MAX_HELD:
            # Closed when somebody takes long, and may go on like that.
            self._is_open = now - self._latest <= MAX_DELAY
            self._release()
            if not self._is_open:
                return False
            self._released = now
        self._latest = now
        # Not before: who is told to release has to know that something is held back.
        self._held.append(holder)
        return True

    def _release(self) -> None:
        # Should one fail, the others are still there for the next time.
        self._held.reverse()
        while self._held:
            self._held.pop().release()
