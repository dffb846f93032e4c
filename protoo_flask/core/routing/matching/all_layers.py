"""All layers of a router, for every request: the plain twin of the layer index."""

from __future__ import annotations

from typing import Callable, Sequence

from ..layer import Layer


class AllLayers:
    """The layers of a stack; with ``find`` like that of a :class:`.LayerIndex`.

    :param prepare: called before each use, while the stack may still grow.
    """

    __slots__ = ("_layers", "_prepare")

    def __init__(self, layers: Sequence[Layer], prepare: Callable[[], None] | None = None) -> None:
        self._layers = layers
        self._prepare = prepare

    def find(self, method: str, path: str) -> tuple[Sequence[Layer], None]:
        """Return all layers; each then decides for itself, the plain way."""
        if self._prepare is not None:
            self._prepare()
        return self._layers, None
