"""A host that writes down what a cluster tells it."""

from __future__ import annotations

import threading
from typing import Any, Sequence

from protoo_flask.core.cluster.places import Claim, Place, Telling


class RecordingHost:
    """A :class:`~protoo_flask.core.cluster.protocol.ClusterHost`.

    :ivar log: ``[(name of the method, *args)]``, in order.
    :ivar local: what :meth:`claims` returns: the local peers.
    :ivar tellings: those of :meth:`buried`, and those before, in order.
    :ivar overlaps: methods that were called while another one had not returned.
    """

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.local: list[tuple[str, str, bytes, float, bool]] = []
        self.overlaps: list[str] = []
        self.tellings: list[tuple[int, Telling | None]] = []
        self._busy = threading.Lock()

    def all(self, *names: str) -> list[tuple[Any, ...]]:
        """Return the arguments of all calls of methods, in order."""
        found = [entry for entry in list(self.log) if entry[0] in names]
        return [entry[1:] if len(names) == 1 else entry for entry in found]

    @property
    def items(self) -> list[Any]:
        """The items that were received, in order."""
        return [item for _, item in self.all("receive")]

    @property
    def lost_items(self) -> list[Any]:
        return [item for _, items in self.all("lost") for item in items]

    def receive(self, node: str, item: Any) -> None:
        self._note("receive", node, item)

    def lost(self, node: str, items: Sequence[Any]) -> None:
        self._note("lost", node, list(items))

    def probed(self, node: str, is_heard: bool) -> None:
        self._note("probed", node, is_heard)

    def may_have_lost(self, node: str) -> None:
        self._note("may_have_lost", node)

    def node_gone(self, node: str) -> None:
        self._note("node_gone", node)

    def buried(
        self, place: Place, is_last: bool, telling: int = 0, before: Telling | None = None
    ) -> None:
        self._note("buried", place, is_last)
        self.tellings.append((telling, before))

    def fenced(self, former: str) -> None:
        self._note("fenced", former)

    def claims(self) -> list[tuple[str, str, bytes, float, bool]]:
        self._note("claims")
        return list(self.local)

    def claimed(self, username: str, uuid: str, claim: Claim | None) -> None:
        self._note("claimed", username, uuid, claim)

    def status_changed(self) -> None:
        self._note("status_changed")

    def _note(self, name: str, *args: Any) -> None:
        if not self._busy.acquire(blocking=False):
            self.overlaps.append(name)
            self.log.append((name, *args))
            return
        try:
            self.log.append((name, *args))
        finally:
            self._busy.release()
