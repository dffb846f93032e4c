"""The connections of a site that limits how many each address has: each has a place.

See :mod:`..core.connection_limit`. A connection tells the closing links when it begins to close,
and when it has ended. One of both is the end of its place.
"""

from __future__ import annotations

from typing import Any

from ..core.connection_limit import Place
from .closing_links import Closing, ClosingLinks


class CountedLinks(ClosingLinks):
    """The closing connections of one app, and the places of those that are open."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._places: dict[Closing, Place] = {}

    def expect(self, link: Closing, place: Place) -> None:
        """Take note of the place of a connection that begins."""
        self._places[link] = place

    def opened(self, link: Closing) -> None:
        """Take note that a connection is open, unless it is closing by now."""
        place = self._places.get(link)
        if place is not None:
            place.open()

    def add(self, link: Closing, device: tuple[str, str]) -> list[Closing]:
        self._leave(link)
        return super().add(link, device)

    def remove(self, link: Closing) -> None:
        self._leave(link)
        super().remove(link)

    def _leave(self, link: Closing) -> None:
        place = self._places.pop(link, None)
        if place is not None:
            place.leave()
