"""The servers that clients of a site have come by, and the drain that their end begins."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Mapping, Protocol
from weakref import WeakSet

from ..settings import DRAIN_TIMEOUT, Settings
from ..transport.server_ends import (
    GUNICORN_NEEDS,
    Ending,
    ServerEnd,
    find_time,
    watch_server,
)
from .drain import Drain

if TYPE_CHECKING:
    from flask import Flask


#: Addresses that are remembered. Behind a Unix socket, they come from the untrusted header Host.
MOST_KNOWN = 16


class Host(Protocol):
    """The site of the clients."""

    app: Flask

    @property
    def settings(self) -> Settings: ...

    def begin_drain(self, seconds: float, make: Callable[..., Drain]) -> Drain:
        """Begin a drain, or hurry the one that there is."""


class Servers:
    """The servers of one site in this process."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._ends: WeakSet[ServerEnd] = WeakSet()
        #: The addresses of servers that have been looked for. The look takes 2 % of a handshake.
        self._known: set[tuple[Any, Any]] = set()

    def watch(self, environ: Mapping[str, Any]) -> None:
        """Have clients drained when the server ends that handles the current request."""
        address = environ.get("SERVER_NAME"), environ.get("SERVER_PORT")
        if address in self._known or not self._host.settings.drain_timeout:
            return
        if len(self._known) < MOST_KNOWN:
            self._known.add(address)
        end = watch_server()
        if end is None or end in self._ends:
            return
        self._ends.add(end)
        end.then(self._drain)
        if end.worker is not None:
            self._check_timeout(find_time(end.worker))

    def _check_timeout(self, seconds: float) -> None:
        wanted = self._host.settings.drain_timeout
        if wanted is not None and wanted != DRAIN_TIMEOUT and wanted > seconds:
            self._host.app.logger.warning(
                "PROTOO_DRAIN_TIMEOUT is %g, but gunicorn ends a worker after graceful_timeout, "
                "which leaves %g seconds to a drain: set graceful_timeout to %g or more",
                wanted,
                seconds,
                wanted + GUNICORN_NEEDS,
            )

    def _drain(self, ending: Ending) -> Drain | None:
        if not all(end.has_begun for end in self._ends):
            return None  # another server of this process goes on
        seconds = self._host.settings.drain_timeout or 0.0
        if ending.seconds is not None:
            seconds = min(seconds, ending.seconds)
        make = partial(Drain, has_successor=ending.has_successor, for_good=ending.ends_process)
        return self._host.begin_drain(seconds, make)
