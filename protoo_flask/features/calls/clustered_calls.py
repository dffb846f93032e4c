"""The calls that are at home at one node of a cluster, and their parties at all nodes.

A party elsewhere is a peer like any other, so :class:`~.calls.Calls` runs as within one process.
What is added here:

======================  ======================================================================
the id of a call        ends with its home, to which other nodes forward requests
parties come and go     at any node: the home watches their users (:mod:`.party_watch`)
each party              is engaged at its node, which tells it when the home is lost
glare, busy devices     are seen at the node of the device (:mod:`.foreign_calls`)
======================  ======================================================================
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, ContextManager

from ...core.cluster.items import Engagement
from ...core.peers.homes import Homes
from ...core.peers.peer import Peer
from ...core.response import Response
from .call import Call
from .calls import END, Calls
from .endings import ENDINGS
from .foreign_calls import About, ForeignCall, ForeignCalls, home_of, id_of, read
from .party_watch import PartyWatch

#: What a home is asked for: whether a call of another node meets one of it.
MEET = "meet"


class ClusteredCalls(Calls):
    """The calls at home at this node; see :class:`.calls.Calls`.

    :param homes: the nodes.
    :param service: the name of the middleware in the cluster.
    """

    def __init__(
        self,
        lock: ContextManager[Any],
        homes: Homes,
        service: str,
        *,
        new_id: Callable[[], str],
        now: Callable[[], float],
        max_sessions: int,
    ) -> None:
        super().__init__(
            lock,
            # The node has another id after others have taken it for dead.
            new_id=lambda: f"{new_id()}.{homes.node}",
            now=now,
            max_sessions=max_sessions,
        )
        self._homes = homes
        self._service = service
        self._foreign = ForeignCalls(homes, service)
        self._parties = PartyWatch(homes, self.see)

    # Parties ------------------------------------------------------------------------------

    def _add(self, call: Call, peers: list[Peer]) -> None:
        super()._add(call, peers)
        self._parties.begin(call.caller.username, call.id, [call.caller])
        self._parties.begin(call.username, call.id, peers)

    def forget(self, call: Call) -> None:
        super().forget(call)
        self._parties.end(call.caller.username, call.id)
        self._parties.end(call.username, call.id)

    def engage(self, peer: Peer, call: Call) -> None:
        super().engage(peer, call)
        self._homes.engage(peer, self._service, call.session.path)

    def disengage(self, peer: Peer, call: Call) -> None:
        if call.id in self._engaged.get(peer, ()):
            super().disengage(peer, call)
            self._homes.disengage(peer, self._service, call.session.path)

    def join(self, peer: Peer) -> None:
        with self._changing():
            if self._parties.is_new(peer):
                super().join(peer)

    def see(self, username: str, peers: list[Peer]) -> None:
        """Compare the parties of calls with the devices of their user, wherever they are."""
        with self._changing():
            came, ids = self._parties.take(username, peers)
            for id in ids:
                call = self._calls.get(id)
                if call is not None:
                    call.leave_missing(username, peers)
            for peer in came:
                super().join(peer)

    def lose(self, peer: Peer, path: str) -> None:
        """End a call whose home is gone, for a local party.

        Or one at home here with parties elsewhere, who were told that this node was gone.
        """
        id = id_of(path)
        with self._changing():
            call = self._calls.get(id)
            if call is not None:
                if call.has_remote_parties:
                    call.close("lost")
            elif not self._homes.is_here(home_of(id)):
                self._send_end(peer, path, ENDINGS["lost"].told)

    # Calls of other nodes -----------------------------------------------------------------

    def check_arrival(self, peer: Peer, engagement: Engagement) -> Response | None:
        """Look at a request of another node to a device; returns the answer, if it is refused."""
        about = read(engagement)
        if about.kind == END:
            return None
        with self._changing():
            if not self._outlast(about, peer):
                return Response(*ENDINGS["glare"][:2], is_local=True)
            if not self.may_ring(peer):
                return Response(486, "busy here", is_local=True)
        self._ask_homes_of(peer, about)
        return None

    def meet(self, about: About, peer: Peer) -> bool:
        """Take note that a call of another node rings at a peer, which may have made one here.

        :returns: whether that call stays.
        """
        with self._changing():
            return self._outlast(about, peer)

    def _outlast(self, about: About, peer: Peer) -> bool:
        """End the calls of a peer that ring at the caller of a call to it.

        :returns: ``False`` when one of them stays, and the call to it does not.
        """
        engaged = self._engaged.get(peer, {}).values()
        rivals = [call for call in engaged if call.caller is peer and call.rings(about.caller)]
        if any(rival.id < about.id for rival in rivals):
            return False
        for rival in rivals:
            rival.close("glare")
        return True

    def _ask_homes_of(self, peer: Peer, about: About) -> None:
        """Have the homes of a device's calls look at a call that rings at it.

        The device may have called at another node, and moved here.
        """
        ringing = {other.about.path for other in self._foreign.ringing_at(peer)}
        engagements = self._homes.engagements(peer, self._service)
        for home in {
            home
            for path, home in engagements.items()
            if path not in ringing and path != about.path and not self._homes.is_here(home)
        }:
            data = {"path": about.path, "caller": about.caller}
            then = partial(self._take_verdict, peer, about.path)
            self._homes.ask(peer, home, self._service, MEET, data, then)

    def _take_verdict(self, peer: Peer, path: str, response: Response) -> None:
        if response.status == ENDINGS["glare"].status:
            with self.lock:
                for other in self._foreign.ringing_at(peer):
                    if other.about.path == path:
                        self._refuse(other, peer)

    def _outlast_rivals(self, call: Call, peers: list[Peer]) -> bool:
        rivals = self._foreign.find_rivals(call.caller, peers)
        if any(rival.about.id < call.id for rival in rivals):
            return False
        if not super()._outlast_rivals(call, peers):
            return False
        for rival in rivals:
            self._refuse(rival, call.caller)
        return True

    def _refuse(self, rival: ForeignCall, peer: Peer) -> None:
        """End a call of another node for glare: its home does so when it gets this answer."""
        ending = ENDINGS["glare"]
        rival.request.finish(ending.status, ending.reason)
        # The device rings already.
        self._send_end(peer, rival.about.path, ending.told)

    def _count(self, peer: Peer) -> tuple[int, int]:
        ringing, ends = super()._count(peer)
        return (
            ringing + len(self._foreign.ringing_at(peer)),
            ends + self._foreign.count_ends(peer),
        )

    def _describe(self, call: Call, kind: str) -> Engagement | None:
        return About(call.session.path, kind, call.caller.address).write(self._service)
