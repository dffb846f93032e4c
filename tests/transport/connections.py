"""What the tests of connections share: requests, a handler that blocks, a fatal error."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from .wire import PATIENCE
from .worlds import Greenlets

#: For what there is in one of the worlds only.
only_greenlets = pytest.mark.parametrize("world", [Greenlets], ids=["greenlets"], indirect=True)


#: Seconds in which something would have happened that must not happen.
MOMENT = 0.1


def request(id: int, method: str = "get", **data: Any) -> dict[str, Any]:
    return {"method": method, "path": "/", "id": id, "data": data}


def close_payload_of(sent: bytes) -> bytes:
    mask, payload = sent[2:6], sent[6:]
    return bytes(a ^ b for a, b in zip(payload, itertools.cycle(mask)))


class Gate:
    """A handler that blocks until it is let through; how it arrives is seen, too."""

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
    """Passes every ``except Exception``."""


def take_departure(site: Any) -> Any:
    """Wait until a connection is no longer open, and the site has been told."""
    return site.departures.get(timeout=PATIENCE)
