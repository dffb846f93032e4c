"""The position of a request in the routing: its path, base path, parameters and route."""

from __future__ import annotations

from ..request import Request


class Position:
    """The attributes of a request that differ from layer to layer."""

    __slots__ = ("base_path", "params", "path", "route")

    def __init__(self, req: Request) -> None:
        self.path = req.path
        self.base_path = req.base_path
        self.params = req.params
        self.route = req.route

    def restore(self, req: Request) -> None:
        """Give ``req`` back the attributes that it had at this position."""
        req.path = self.path
        req.base_path = self.base_path
        req.params = self.params
        req.route = self.route

    def restored(self, req: Request) -> RestoredPosition:
        """Restore this position for the length of a ``with`` block."""
        return RestoredPosition(self, req)


class RestoredPosition:
    """A position that a request has inside a ``with`` block."""

    __slots__ = ("_caller", "_position", "_req")

    def __init__(self, position: Position, req: Request) -> None:
        self._position = position
        self._req = req
        self._caller = Position(req)

    def __enter__(self) -> None:
        self._position.restore(self._req)

    def __exit__(self, *exc_info: object) -> None:
        self._caller.restore(self._req)
