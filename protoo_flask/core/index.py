"""Which layers of a router may apply to a request, without trying each of them.

A loop over a thousand regular expressions would cost a thousand times one. But most
patterns begin with plain segments (``/users/...``) or with parameters that are whole
segments, and a layer can only apply to a path that begins in the same way. So the
layers hang in a tree of segments, each at the node that its pattern leads to; those
that may apply to a path are at the nodes that the path leads to. What cannot be put
that way (a compiled regex, no path at all) is at the root, and may apply to any path.

The index finds candidates, never fewer than match; the layer's matcher decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Collection, Iterable, Sequence

from .patterns import ANY_SEGMENT, Shape, fold_case

if TYPE_CHECKING:
    from .layer import Layer


class LayerIndex:
    """The layers of a stack, by the beginnings of their paths and by method.

    :param case_sensitive: as the layers were compiled.
    """

    __slots__ = ("_case_sensitive", "_depth", "_layers", "_repeats", "_root")

    def __init__(self, layers: Sequence[Layer], case_sensitive: bool) -> None:
        self._layers = tuple(layers)
        self._case_sensitive = case_sensitive
        self._root = _Node()
        #: How many segments of a path need to be looked at.
        self._depth = 0
        #: Whether a layer may hang at several nodes: the pattern is a list.
        self._repeats = False
        for position, layer in enumerate(self._layers):
            shapes = [()] if layer.matcher is None else layer.matcher.shapes
            self._repeats = self._repeats or len(shapes) > 1
            for shape in dict.fromkeys(shapes):
                self._depth = max(self._depth, len(shape))
                self._root.at(shape).add(position, layer.methods)

    def __len__(self) -> int:
        return len(self._layers)

    def find(self, method: str, path: str) -> Sequence[Layer]:
        """Return the layers that may apply to a request, in the order of the stack."""
        # As in Express, a parameter that does not decode is an error of the path, also
        # where the route is for other methods.
        wanted = None if "%" in path else method
        nodes = [self._root]
        found = self._root.find(wanted)
        if self._depth:
            # Of a path with thousands of segments, only the first are split off.
            segments = path.split("/", self._depth + 1)[1 : self._depth + 1]
            for segment in segments:
                if not self._case_sensitive:
                    segment = fold_case(segment)
                nodes = [child for node in nodes for child in node.children(segment)]
                if not nodes:
                    break
                for node in nodes:
                    found += node.find(wanted)
            found = sorted(set(found)) if self._repeats else sorted(found)
        layers = self._layers
        return layers if len(found) == len(layers) else [layers[index] for index in found]


class _Node:
    """Where some beginning of a path leads.

    ``positions`` is ``{method: positions in the stack}``, those of layers for any method
    included; under the key ``None`` are all of them.
    """

    __slots__ = ("any_segment", "for_any_method", "literals", "positions")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.any_segment: _Node | None = None
        self.positions: dict[str | None, list[int]] = {None: []}
        self.for_any_method: list[int] = []

    def at(self, shape: Shape) -> _Node:
        """Return the node that a shape leads to, made when there is none."""
        if not shape:
            return self
        segment, rest = shape[0], shape[1:]
        if segment is not ANY_SEGMENT:
            return self.literals.setdefault(segment, _Node()).at(rest)
        if self.any_segment is None:
            self.any_segment = _Node()
        return self.any_segment.at(rest)

    def add(self, position: int, methods: Collection[str] | None) -> None:
        if methods is None:
            self.for_any_method.append(position)
            for positions in self.positions.values():
                positions.append(position)
            return
        for method in methods:
            if method not in self.positions:
                self.positions[method] = list(self.for_any_method)
            self.positions[method].append(position)
        self.positions[None].append(position)

    def find(self, method: str | None) -> list[int]:
        return list(self.positions.get(method, self.for_any_method))

    def children(self, segment: str) -> Iterable[_Node]:
        child = self.literals.get(segment)
        if child is not None:
            yield child
        if self.any_segment is not None and segment:
            yield self.any_segment
