"""The homes of rooms, as one node of a cluster sees them.

A room is at home at the node of the first peer that joins. The directory of the cluster keeps
``{path: node}``, so two nodes that ask at the same time get the same answer. The home is taken
before the room is made, and given up when the room is released:

====================================  ====================================================
a request comes for a room            then
====================================  ====================================================
that the peer is in                   the engagement of the peer tells the home
that it is not in                     the home is asked for; without one, it is here now
and the home is here                  it is handled as in one process
and the home is elsewhere             it is forwarded, and handled there
a join arrives at a home that has     the home is taken once more. If another node has been
just been given up                    faster, the join goes back and tries anew
====================================  ====================================================

A home is kept for as long as the room is there or somebody visits it: a visit begins before the
home is asked for, and ends when the request is handled. Taking blocks, so it happens before the
lock. Giving up does not, and happens under the lock: a home that is taken later is a new one.

A node that was taken for dead has lost its homes. The other nodes have told their members so.
When the home is asked for again, the room goes on here without those, or ends.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Callable, ContextManager, Iterator, Protocol

from ...core.errors import Reject
from ...core.exits import is_contained
from ...core.peers.homes import Homes
from ...core.peers.peer import Peer
from ...core.request import Request, answer
from ...core.response import Response
from ..limits import refuse
from ..sending_peer import sending_peer
from .departures import Departures

#: The answer of a node to a join for a room that is at home elsewhere, and the number of nodes
#: that a join asks. A second one is rare: the first must have given the home up just now.
MOVED = Response(503, "the room has moved: try again")
TRIES = 5

#: The reason of the ``end`` that members get when the node of their room is gone.
SERVER_LOST = "server lost"


class RoomsHere(Protocol):
    """The rooms that are at home here; see :class:`.rooms.Rooms`."""

    lock: ContextManager[Any]

    def forget(self, peer: Peer) -> None:
        """Remove a peer that has gone offline from all rooms here."""

    def regain(self, path: str) -> None:
        """Let a room go on that is at home here again, after this node was taken for dead."""

    def lose(self, path: str) -> None:
        """End a room that is at home elsewhere by now."""


class RoomHomes:
    """The homes of the rooms of one ``room_handler()``, from one node.

    :param service: the name of the middleware.
    :param max_rooms: rooms that one peer may be in, wherever they are at home.
    :param rooms: those that are at home here.
    :ivar departures: the members of these that go offline at other nodes.
    """

    def __init__(self, homes: Homes, service: str, max_rooms: int, rooms: RoomsHere) -> None:
        self.departures = Departures(homes, rooms.forget)
        self._homes = homes
        self._service = service
        self._max_rooms = max_rooms
        self._rooms = rooms
        self._lock = rooms.lock
        #: ``{path: visits, and one for the room}``
        self._visits: dict[str, int] = {}
        #: ``{path: the id of this node when it took the home}``
        self._mine: dict[str, str] = {}
        #: ``{peer: paths of the rooms that it is joining}``
        self._joining: dict[Peer, set[str]] = {}

    def __len__(self) -> int:
        return len(self._visits) + len(self._mine) + len(self._joining)

    # Members of rooms here -------------------------------------------------------------

    def engage(self, peer: Peer, path: str) -> None:
        """Tell the owner of a peer that it is in a room here; the lock is held."""
        self._homes.engage(peer, self._service, path)

    def disengage(self, peer: Peer, path: str) -> None:
        """Tell it that the peer is not."""
        self._homes.disengage(peer, self._service, path)

    def name_news(self, path: str, username: str, uuid: str) -> tuple[str, str]:
        """Return the service and the subject of news about a member; see :class:`.items.Tell`."""
        return self._service, "\n".join((path, username, uuid))

    # Taking homes and giving them up -----------------------------------------------------

    def begin_visit(self, path: str) -> None:
        """Keep the home of a room, if it is here; the lock is held."""
        self._visits[path] = self._visits.get(path, 0) + 1

    def end_visit(self, path: str) -> None:
        """Give the home of a room up, if nobody else needs it; the lock is held."""
        self._visits[path] -= 1
        if self._visits[path]:
            return
        del self._visits[path]
        if self._mine.pop(path, None) is not None:
            self._homes.leave(self._service, path)

    @contextmanager
    def visit(self, path: str) -> Iterator[str | None]:
        """Find the home of a room: ``None``: here, and it stays here meanwhile. Blocks.

        :raises HomeUnknown: when the cluster cannot tell.
        """
        with self._lock:
            self.begin_visit(path)
        try:
            yield self._locate(path)
        finally:
            with self._lock:
                self.end_visit(path)

    def _locate(self, path: str) -> str | None:
        if self._mine.get(path) == self._homes.node:
            return None
        home = self._homes.take(self._service, path)
        is_here = self._homes.is_here(home)
        with self._lock:
            former = self._mine.pop(path, None)
            if is_here:
                self._mine[path] = self._homes.node
        if former is not None and not is_here:
            self._rooms.lose(path)
        elif former is not None and former != self._homes.node:
            self._rooms.regain(path)
        return None if is_here else home

    # Joining -----------------------------------------------------------------------------

    def join(self, req: Request, path: str, join_here: Callable[[Request, str], Any]) -> None:
        """Let a local peer into a room: here by ``join_here(req, path)``, or at its home.

        :raises Reject: when it is in too many rooms; HomeUnknown, when the cluster cannot tell.
        """
        self._begin_join(sending_peer(req), path)
        try:
            is_forwarded = self._try_to_join(req, path, join_here, TRIES)
        except BaseException:
            self._end_join(sending_peer(req), path)
            raise
        if not is_forwarded:
            self._end_join(sending_peer(req), path)

    def join_at_home(
        self, req: Request, path: str, join_here: Callable[[Request, str], Any]
    ) -> None:
        """Let a peer of another node into a room here; or tell it to try anew elsewhere."""
        with self.visit(path) as home:
            if home is None:
                join_here(req, path)
            else:
                answer(req, MOVED)

    def _try_to_join(
        self, req: Request, path: str, join_here: Callable[[Request, str], Any], tries: int
    ) -> bool:
        """Join; returns whether the answer comes from elsewhere, later."""
        with self.visit(path) as home:
            if home is None:
                join_here(req, path)
                return False
        # When the chain of layers returns, the position is another one.
        position = req.base_path, req.path, req.params
        then = partial(self._take_answer, req, path, join_here, tries - 1, position)
        self._homes.forward(req, home, self._service, "join", then)
        return True

    def _take_answer(
        self,
        req: Request,
        path: str,
        join_here: Callable[[Request, str], Any],
        tries: int,
        position: tuple[str, str, Any],
        response: Response,
    ) -> None:
        """Take an answer of the home to a join. Must not block."""
        peer = sending_peer(req)
        if tries and (response.status, response.reason) == (MOVED.status, MOVED.reason):
            req.base_path, req.path, req.params = position
            again = partial(self._join_anew, path=path, join_here=join_here, tries=tries)
            peer.runtime.scheduler.spawn(peer.runtime.call_back, peer, again, req)
            return
        if response.is_final:
            self._end_join(peer, path)
        answer(req, response)

    def _join_anew(
        self, req: Request, path: str, join_here: Callable[[Request, str], Any], tries: int
    ) -> None:
        """Try once more, in the contexts of the peer."""
        peer, is_forwarded = sending_peer(req), False
        try:
            is_forwarded = self._try_to_join(req, path, join_here, tries)
        except BaseException as error:
            # As the handling does of which the first try was a part.
            peer.runtime.fail(req, error)
            if not is_contained(error):
                raise
        finally:
            if not is_forwarded:
                self._end_join(peer, path)

    def _begin_join(self, peer: Peer, path: str) -> None:
        engagements = self._homes.engagements(peer, self._service)
        with self._lock:
            joining = self._joining.get(peer, set())
            count = len(joining.union(engagements))
            if path not in engagements and path not in joining and count >= self._max_rooms:
                reason = f"you are in {count} rooms already, which is the limit"
                raise refuse("rooms", peer, 429, reason)
            self._joining[peer] = joining | {path}

    def _end_join(self, peer: Peer, path: str) -> None:
        with self._lock:
            joining = self._joining.get(peer, set())
            joining.discard(path)
            if not joining:
                self._joining.pop(peer, None)

    def forget_joins(self, peer: Peer) -> None:
        """Count the joins of a peer no more: it is offline."""
        with self._lock:
            self._joining.pop(peer, None)

    # Other requests ------------------------------------------------------------------------

    def forward(self, req: Request, path: str, verb: str) -> bool:
        """Have a request handled at the home of its room; ``False``: that is here.

        :raises HomeUnknown: when the cluster cannot tell.
        """
        peer = sending_peer(req)
        if not peer.is_local:
            return False  # it has been forwarded to this node
        home = self._homes.engagements(peer, self._service).get(path)
        if home is None:
            with self.visit(path) as home:
                pass
        elif self._homes.is_here(home):
            home = None
            if self._mine.get(path) != self._homes.node:
                self._look_again(path)
        if home is None:
            return False
        self._homes.forward(req, home, self._service, verb)
        return True

    # After this node was taken for dead -------------------------------------------------------

    def take_back(self, peer: Peer, path: str) -> bool:
        """Look for the home of a room that was here; ``False``: it was not. Must not block."""
        if path not in self._mine:
            return False
        peer.runtime.scheduler.spawn(self._look_again, path)
        return True

    def _look_again(self, path: str) -> None:
        # The next request looks again, if the cluster cannot tell now.
        with suppress(Reject), self.visit(path):
            pass
