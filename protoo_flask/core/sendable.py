"""A sendable: the part of a request that travels to a peer."""

from __future__ import annotations

from typing import Any

from .errors import UsageError
from .excerpts import excerpt_of


class Sendable:
    """Method, data and sender of a request or notification to a peer.

    :class:`~protoo_flask.Request` is one, with all that belongs to routing and answering.

    :ivar method: any non-empty string.
    :ivar data: a JSON object as a dict.
    :ivar sender: ``{"username": str, "uuid": str}`` of the peer it comes from, or ``None``.
    """

    __slots__ = ("data", "method", "sender")

    def __init__(self, method: str, data: dict[str, Any] | None = None) -> None:
        if not isinstance(method, str) or not method:
            raise UsageError(
                f"Request(method, data) takes a non-empty method, not {excerpt_of(method)}"
            )
        if data is not None and not isinstance(data, dict):
            raise UsageError(f"Request(method, data) takes a dict as data, not {excerpt_of(data)}")
        self.method = method
        self.data: dict[str, Any] = {} if data is None else data
        self.sender: dict[str, str] | None = None
