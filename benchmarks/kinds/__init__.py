"""The kinds of measurements, one module each."""

from __future__ import annotations

from . import (
    broadcast,
    crowd,
    flat,
    handshake,
    memory,
    pipelined,
    presence,
    relay,
    request,
)
from .kind import Kind

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        request.KIND,
        relay.KIND,
        pipelined.KIND,
        broadcast.KIND,
        presence.KIND,
        handshake.KIND,
        memory.KIND,
        crowd.KIND,
        flat.KIND,
    )
}
#: The kinds in a short run.
SHORT_KINDS = ("request", "relay", "memory")
