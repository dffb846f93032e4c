"""The clock of an app's tests."""

from __future__ import annotations

import math
from typing import Any

from ..core.errors import UsageError
from .server import Server


class TestClock:
    """The clock of one app, which stands still until a test moves it; see ``protoo.test_clock``.

    Time-outs, the grace period, ringing, pings and limits go by it. ``time.time()`` and
    ``gevent.sleep()`` in the code of a site are in real time.

    ::

        alice.drop()
        protoo.test_clock.advance(15)            # the grace period
        bob.expect_notification("presence")
    """

    #: For pytest, which takes a class of this name for tests.
    __test__ = False

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def now(self) -> float:
        """Seconds on this clock; only differences mean something."""
        return self._server.loop.now()

    @property
    def patience(self) -> float:
        """Seconds of real time that a call waits for code in real time (10)."""
        return self._server.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self._server.patience = seconds

    def advance(self, seconds: float) -> None:
        """Move the clock by seconds. What is due happens in order, and is done when this returns.

        :raises Unsettled: when the app does not come to rest.
        :raises UsageError: for a negative or infinite number, and for what is no number.
        """
        self._server.check_thread("advance()")
        if not isinstance(seconds, (int, float)) or not 0 <= seconds < math.inf:
            raise UsageError(f"advance(seconds) takes a number from 0 on, not {seconds!r}")
        self._server.advance(seconds)

    def settle(self) -> None:
        """Let the app go on until it is at rest, and the clock stands.

        :raises Unsettled: when it does not come to rest.
        """
        self._server.check_thread("settle()")
        self._server.settle()

    def ignore(self, worker: Any) -> None:
        """Let a greenlet or a thread of the app not count, when the app has to come to rest.

        For one that never ends, and has nothing to do with the test.
        """
        self._server.stillness.ignore(worker)
