"""Listeners: the functions of an application, called one at a time by a thread of their own.

So a function may block, and make requests itself: another thread reads the answers.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any, Callable

from ..core.errors import UsageError
from ..core.functions import check_function, show
from ..core.response import Response
from ..core.suggestions import hint
from ..core.tracebacks import log_error
from ..core.transactions.mailbox import Mailbox

_log = logging.getLogger("protoo_flask.client")

#: Calls that may wait. Beyond it, a request is answered 503, and a notification is dropped.
MAX_CALLS = 10_000

#: {event: what its functions get}
EVENTS = {
    "open": "fn()",
    "close": "fn(closed)",
    "refused": "fn(refused)",
    "request": "fn(request)",
    "notification": "fn(request)",
}

_FOREIGN_EVENTS = {
    **dict.fromkeys(["connect", "connected", "online"], "open"),
    **dict.fromkeys(["disconnect", "disconnected", "closed", "offline"], "close"),
    **dict.fromkeys(["message", "msg"], "request"),
    **dict.fromkeys(["error", "failed", "connect_error"], "refused"),
}


class Listeners:
    """The functions, and the calls that wait. An Endpoint of the outbound messages."""

    def __init__(self) -> None:
        self._functions: dict[str, list[Callable[..., Any]]] = {event: [] for event in EVENTS}
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._changed = threading.Condition()
        #: It ends when nothing is left to do and the client is closed.
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def add(self, event: str, function: Callable[..., Any]) -> None:
        """Register a function."""
        check_function(function, EVENTS[event])
        self._functions[event].append(function)

    @staticmethod
    def check(event: str) -> None:
        """Check the name of an event.

        :raises UsageError: when there is none of that name.
        """
        if event not in EVENTS:
            raise UsageError(
                f"client.on(event, fn) knows {', '.join(EVENTS)}, not {show(event)}"
                + hint(event, EVENTS, _FOREIGN_EVENTS)
            )

    def of(self, event: str) -> list[Callable[..., Any]]:
        """Return the functions for an event."""
        return self._functions[event]

    def tell(self, event: str, *arguments: Any) -> None:
        """Have the functions called; does not wait."""
        for function in tuple(self._functions[event]):
            self.run_errand(function, *arguments)

    @property
    def is_full(self) -> bool:
        """Whether too many calls wait."""
        return len(self._calls) >= MAX_CALLS

    # The thread -----------------------------------------------------------------------

    def run_errand(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Have a function called; does not wait."""
        with self._changed:
            self._calls.append((function, arguments))
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="protoo-client-listeners", daemon=True
                )
                self._thread.start()

    def keep_thread(self, is_kept: bool) -> None:
        """Keep the thread while there is nothing to do, or end it then."""
        with self._changed:
            self._is_closed = not is_kept
            self._changed.notify()

    def _next(self) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
        with self._changed:
            while not self._calls:
                if self._is_closed:
                    self._thread = None
                    return None
                self._changed.wait()
            return self._calls.popleft()

    def _work(self) -> None:
        while True:
            call = self._next()
            if call is None:
                return
            function, arguments = call
            try:
                function(*arguments)
            except (Exception, SystemExit) as error:  # noqa: BLE001 (the thread goes on)
                log_error(_log, error, "error in %s", show(function))

    # An Endpoint ----------------------------------------------------------------------

    def call_back(self, function: Callable[[Response], Any], response: Response) -> None:
        """Have a function called for a response."""
        self.run_errand(function, response)

    def may_run_here(self, function: Callable[[Response], Any]) -> bool:
        """Never in the thread that reads."""
        return False

    def call_here(self, function: Callable[[Response], Any], response: Response) -> None:
        """Call a function, in the thread of the listeners."""
        function(response)

    def give_up(self, mailbox: Mailbox) -> None:
        """A server is never given up."""

    def go_on(self) -> None:
        """A server handles its requests itself."""
