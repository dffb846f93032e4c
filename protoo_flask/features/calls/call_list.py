"""The list of a peer's calls, which may be at home on several nodes of a cluster."""

from __future__ import annotations

from functools import partial
from typing import Any, List, Tuple

from ...core.peers.homes import Homes
from ...core.request import Request, answer
from ...core.response import Response
from ..sending_peer import sending_peer

#: Each call with the time at which it began, in seconds since the epoch.
Described = List[Tuple[float, "dict[str, Any]"]]


#: What the homes are asked for.
LIST = "list"


class CallList:
    """One answer, made of the answers of all nodes that have calls of the peer.

    A list without the calls of a node that does not answer would say that they are over. So the
    answer is 503 then, unless the node is dead: its calls are over.

    :param lock: of the calls.
    """

    def __init__(self, req: Request, homes: Homes, service: str, lock: Any) -> None:
        self._req = req
        self._homes = homes
        self._service = service
        self._lock = lock
        self._found: Described = []
        self._missing = 0

    def collect(self, found: Described) -> None:
        """Ask the other nodes, and answer when all have answered; never blocks.

        :param found: the calls at home here.
        """
        peer = sending_peer(self._req)
        self._found = found
        engagements = self._homes.engagements(peer, self._service)
        homes = {home for home in engagements.values() if not self._homes.is_here(home)}
        if not homes:
            self._answer()
            return
        self._req.keep_open()
        self._missing = len(homes)
        for home in homes:
            self._homes.ask(peer, home, self._service, LIST, {}, partial(self.take, home))

    def take(self, home: str, response: Response) -> None:
        """Take the answer of a node."""
        if response.is_provisional:
            return
        with self._lock:
            self._missing -= 1
            if response.is_accept:
                self._found += zip(response.data["started"], response.data["sessions"])
            elif self._may_be_alive(home):
                answer(self._req, Response(503, "some calls are at a node that does not answer"))
            if not self._missing:
                self._answer()

    def _may_be_alive(self, home: str) -> bool:
        peer = sending_peer(self._req)
        doubt = peer.directory.doubt(peer.username)
        return doubt is not None or self._homes.is_alive(home)

    def _answer(self) -> None:
        # The oldest first, as far as the clocks of the nodes agree.
        self._found.sort(key=lambda described: described[0])
        answer(self._req, write(self._found))


def write(found: Described, with_times: bool = False) -> Response:
    """Return the answer to ``get /sessions``.

    :param with_times: for another node, which merges it with its own calls.
    """
    data: dict[str, Any] = {"sessions": [described for _, described in found]}
    if with_times:
        data["started"] = [started for started, _ in found]
    return Response(200, "OK", data)
