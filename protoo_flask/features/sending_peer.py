"""The sending peer: the peer that a received request came from."""

from __future__ import annotations

from ..core.peers.peer import Peer
from ..core.request import Request


def sending_peer(req: Request) -> Peer:
    """Return the peer that sent a request; every received request has one."""
    assert req.peer is not None  # None only for a request that was made here to be sent
    return req.peer
