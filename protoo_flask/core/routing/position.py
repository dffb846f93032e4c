"""What a middleware sees of where in the routing it is: path, parameters, route."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Iterator

if TYPE_CHECKING:
    from ..request import Request


class Position:
    """The part of a request that is different at each depth of the routing."""

    __slots__ = ("base_path", "params", "path", "route")

    def __init__(self, req: Request) -> None:
        self.path = req.path
        self.base_path = req.base_path
        self.params = req.params
        self.route = req.route

    def restore(self, req: Request) -> None:
        """Make ``req`` what it was when this position was taken."""
        req.path = self.path
        req.base_path = self.base_path
        req.params = self.params
        req.route = self.route

    @contextmanager
    def restored(self, req: Request) -> Iterator[None]:
        """Restore this position for as long as a block runs."""
        caller = Position(req)
        self.restore(req)
        try:
            yield
        finally:
            caller.restore(req)
