"""All layers of a router, for every request: the plain twin of the layer index."""

from __future__ import annotations

from typing import Sequence

from ..layer import Layer


class AllLayers:
    """The layers of a stack; with ``find`` like that of a :class:`.LayerIndex`."""

    __slots__ = ("_layers",)

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers

    def find(self, method: str, path: str) -> tuple[Sequence[Layer], None]:
        """Return all layers; each then decides for itself, the plain way."""
        return self._layers, None
