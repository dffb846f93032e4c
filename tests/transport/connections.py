"""Helpers for the tests of connections: a request, a handler that blocks, a fatal error."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from .wire import PATIENCE
from .worlds import AttachedGreenlets, Greenlets

#: Marks a test of behaviour that threads do not have.
only_greenlets = pytest.mark.parametrize("world", [Greenlets], ids=["greenlets"], indirect=True)

#: Marks a test of connections that stay with the greenlet of their server.
only_attached_greenlets = pytest.mark.parametrize(
    "world", [AttachedGreenlets], ids=["attached, greenlets"], indirect=True
)

#: Seconds to wait for a frame that must not come.
MOMENT = 0.1


def request(id: int, method: str = "get", **data: Any) -> dict[str, Any]:
    return {"method": method, "path": "/", "id": id, "data": data}


def close_payload_of(sent: bytes) -> bytes:
    """Return the unmasked payload of a short frame."""
    mask, payload = sent[2:6], sent[6:]
    return bytes(a ^ b for a, b in zip(payload, itertools.cycle(mask)))


class Gate:
    """A handler that blocks until the test opens it; the test can wait for its start, too."""

    def __init__(self, site: Any) -> None:
        self._site = site
        self.arrived = site.world.loop.event()
        self._open = site.world.loop.event()

    def __call__(self, req: Any, next: Any) -> None:
        self.block()
        req.reply(200, "let through")

    def block(self) -> None:
        self.arrived.set()
        assert self._open.wait(PATIENCE)

    def wait(self) -> None:
        assert self.arrived.wait(PATIENCE)

    def open(self) -> None:
        self._open.set()


class Fatal(BaseException):
    """An error that ``except Exception`` does not catch."""


def take_departure(site: Any) -> Any:
    """Wait until the site has been told of a departure; return its code and unsent messages."""
    return site.departures.get(timeout=PATIENCE)
