"""Time and concurrency, as the core needs them: an interface of one page.

The rim has two implementations (``transport.greenlets``, ``transport.threads``);
tests have one with a clock that is advanced by hand.
"""

from __future__ import annotations

import functools
import weakref
from typing import Any, Callable, ContextManager, Protocol, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

#: Seconds that work with several items may take before others have their turn: the messages of a
#: read, requests that have waited, requests whose time is up. Dozens of usual requests are handled
#: in that time. The item at hand is finished.
TURN_TIME = 0.001


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
    """Clock, timers and spawning.

    :ivar preempts: whether another thread may run between any two steps. Greenlets switch
        only where one blocks, so code that never blocks needs no lock among them.
    :ivar owner: the identity of the thread that owns the state of the app.
    """

    preempts: bool
    owner: int

    def thread_id(self) -> int:
        """Return the identity of the current thread; :attr:`owner` where that does not matter."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    def call_later(self, seconds: float, function: Callable[..., Any], *args: Any) -> Timer:
        """Call ``function(*args)`` in a greenlet or thread of its own, later."""

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function(*args)`` in a greenlet or thread of its own, now."""

    def event(self) -> Event:
        """Return an event that blocks only the caller's greenlet or thread."""

    def is_foreign(self) -> bool:
        """Whether the state of the app belongs to another thread than the current one.

        It does so among greenlets, for all threads but that of the hub. Code of the core runs in
        the owner's thread. Only the methods for the site look at this, and hand over.
        """

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Return ``function(*args)``, run by the owner of the state; it must not block.

        :raises ServerStopped: in a foreign thread, when the owner does not run any more.
        """

    def hand_over(self, function: Callable[..., Any], *args: Any) -> None:
        """Have the owner of the state run ``function(*args)`` soon; do not wait for it.

        What one thread hands over, here or by :meth:`call`, is run in order.

        :raises ServerStopped: as :meth:`call`.
        """

    def lock(self) -> ContextManager[Any]:
        """Return a re-entrant lock.

        Nothing may block while holding one, which is why greenlets need none.
        """


def call_later_if_alive(
    scheduler: Scheduler, seconds: float, method: Callable[..., Any], *args: Any
) -> Timer:
    """Call a method later, if its object and the arguments still exist then.

    A timer is held by the server's loop, and must not keep an app alive: test suites make an
    app for each test, and an idle timer may have a minute to go.
    """
    weak = [weakref.ref(arg) for arg in args]
    return scheduler.call_later(seconds, _WeakMethod(method), *weak)


class _WeakMethod:
    """A bound method that keeps neither its object nor its arguments alive."""

    __slots__ = ("_method",)

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = weakref.WeakMethod(method)

    @property
    def __wrapped__(self) -> Any:
        return self._method()

    @property
    def __self__(self) -> Any:
        return getattr(self._method(), "__self__", None)

    def __call__(self, *weak: Callable[[], Any]) -> None:
        method, args = self._method(), [ref() for ref in weak]
        if method is not None and all(arg is not None for arg in args):
            method(*args)


def one_step(method: F) -> F:
    """Make a method one step also among threads: it holds its object's ``_lock``.

    The classes that every message passes through are written without locks, for greenlets:
    taking a lock that locks nothing would be a tenth of a request. For threads, a subclass
    has the same methods with a lock.
    """

    @functools.wraps(method)
    def hold_lock(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            return method(self, *args, **kwargs)

    return cast(F, hold_lock)
