"""Foreign calls: calls at home on other nodes of a cluster that ring at devices of this one.

A call is at home on the node of its caller, which decides everything about it. Two things it
cannot know, and the node of a called device does: how many calls of other nodes ring there, and
whether that device is calling the caller just now (glare). So the ``session`` request to a device
of another node, and the ``end``, tell its node about the call (:class:`About`). That node looks at
them before it sends them on, and until the device has answered.

Glare is seen wherever a call finds the other one, and each node decides it the same way, by the
ids:

====================================  ====================================================
a call begins, and the other one      the request of the other call is answered 491 here, or
rings at its caller already           the call that begins is
a call arrives at a device whose      the call that arrives is answered 491, or the call of
own call rings at the other caller    the device ends with 491
====================================  ====================================================

Each call arrives somewhere, or begins somewhere, after the other one has: so at least one node sees
both. Only the call whose id sorts higher is ever ended for glare, so one of them always stays.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ...core.cluster.items import Engagement
from ...core.peers.homes import EngagedRequest, Homes
from ...core.peers.peer import Peer
from .calls import END, SESSION


class About(NamedTuple):
    """What the node of a device is told about a call.

    :ivar path: of the call; the key of its engagements.
    :ivar kind: of the request to the device.
    :ivar caller: ``{"username": str, "uuid": str}``.
    """

    path: str
    kind: str
    caller: dict[str, str]

    @property
    def id(self) -> str:
        """The id of the call."""
        return id_of(self.path)

    def write(self, service: str) -> Engagement:
        """Return it as it goes to another node."""
        data = {"kind": self.kind, "caller": self.caller}
        return Engagement(service, self.path, json.dumps(data).encode())


def read(engagement: Engagement) -> About:
    """Return what :meth:`About.write` has written at another node."""
    data: dict[str, Any] = json.loads(engagement.data)
    return About(engagement.key, data["kind"], data["caller"])


def id_of(path: str) -> str:
    """Return the id of the call with a path."""
    return path.rpartition("/")[2]


def home_of(id: str) -> str:
    """Return the node in the id of a call; "" when there is none. Untrusted."""
    return id.rpartition(".")[2] if "." in id else ""


class ForeignCall(NamedTuple):
    """A call of another node that rings at a device of this one."""

    about: About
    request: EngagedRequest


class ForeignCalls:
    """The calls of other nodes, as far as they ring at devices of this one.

    :param homes: of the cluster.
    :param service: the name of the middleware.
    """

    def __init__(self, homes: Homes, service: str) -> None:
        self._homes = homes
        self._service = service

    def ringing_at(self, peer: Peer) -> list[ForeignCall]:
        """Return the calls that ring at a local device."""
        return [call for call in self._at(peer) if call.about.kind == SESSION]

    def count_ends(self, peer: Peer) -> int:
        """Return how many ``end`` requests of other nodes a local device has not answered."""
        return sum(call.about.kind == END for call in self._at(peer))

    def find_rivals(self, caller: Peer, peers: list[Peer]) -> list[ForeignCall]:
        """Return the calls from one of ``peers`` that ring at a local caller."""
        addresses = [peer.address for peer in peers]
        return [call for call in self.ringing_at(caller) if call.about.caller in addresses]

    def _at(self, peer: Peer) -> list[ForeignCall]:
        if not peer.is_local:
            return []
        found = []
        for request in self._homes.unanswered(peer, self._service):
            if request.engagement is not None:
                found.append(ForeignCall(read(request.engagement), request))
        return found
