"""What the core needs of time and concurrency, as an interface of one page.

The rim has two implementations (``transport.greenlets``, ``transport.threads``);
tests have one whose clock is advanced by hand.
"""

from __future__ import annotations

from typing import Any, Callable, ContextManager, Protocol


class Timer(Protocol):
    """A call that has not happened yet."""

    def cancel(self) -> None:
        """Forget the call; harmless when it has happened."""


class Event(Protocol):
    """``threading.Event``, or anything with its three methods."""

    def set(self) -> None: ...

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Scheduler(Protocol):
    """Clock, timers and spawning."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    def call_later(self, seconds: float, function: Callable[..., Any], *args: Any) -> Timer:
        """Call ``function(*args)`` in a greenlet or thread of its own, later."""

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function(*args)`` in a greenlet or thread of its own, now."""

    def event(self) -> Event:
        """Return an event that blocks only the caller's greenlet or thread."""

    def lock(self) -> ContextManager[Any]:
        """Return a re-entrant lock.

        Nothing may block while holding one, which is why greenlets need none.
        """
