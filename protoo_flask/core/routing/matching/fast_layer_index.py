"""The fast way to the layers that may apply to a request: a tree of segments.

Trying a thousand regular expressions takes a thousand times as long as trying one. But most
patterns begin with plain segments (``/users/...``) or with parameters that are whole segments,
and a layer can only apply to a path that begins in the same way. So the layers hang in a tree
of segments, each at the node of its pattern's :mod:`shape <.shapes>`. A path leads to the nodes
of the layers that may apply. A layer without such a shape (a compiled regex, no path at all)
hangs at the root, and may apply to any path.

A path leads to several nodes at once: ``/users/bob`` to the node of ``/users/:name`` and to
the node of ``/:any/bob``. Paths that differ only in their parameters lead to the same nodes.
So the index computes each set of nodes once, and keeps it as a state of a machine that grows
while paths come, as lazy automata for regular expressions do.

The index finds candidates: every layer that applies, and maybe more. Each layer decides for
itself. The gain is a quarter of the time of the routing with 10 routes, and five sixths with
100 (benchmarks/routing.py). The fast way into layers builds on it as well. The slow twin is
:class:`.AllLayers`; tests/core/routing/matching/test_fast_layer_index.py compares the two.
"""

from __future__ import annotations

import re
from typing import Collection, Dict, Sequence

from ..layer import Layer
from .patterns import PathPattern
from .shapes import ANY_SEGMENT, Shape, find_shapes, fold_case

#: Read when a router is frozen. Without the index, every layer is tried.
ENABLED = True

#: {position in the stack: layer}
Found = Dict[int, Layer]

#: Layers that all kept states may list together. The usual patterns make about as many states
#: as nodes. Many patterns that begin with a parameter could make a state for each combination,
#: and untrusted peers choose the paths.
MAX_LISTED = 100_000


class LayerIndex:
    """The layers of a stack, by the beginnings of their paths and by method.

    :param case_sensitive: as the layers were compiled.
    :ivar listed: layers that the kept states list together.
    """

    __slots__ = ("_case_sensitive", "_depth", "_split", "_start", "listed")

    def __init__(self, layers: Sequence[Layer], case_sensitive: bool) -> None:
        self._case_sensitive = case_sensitive
        #: Segments of a path that decide where it leads.
        self._depth = 0
        root = _Node()
        for position, layer in enumerate(layers):
            for shape in find_shapes(layer.path, case_sensitive):
                self._depth = max(self._depth, len(shape))
                root.at(shape).layers[position] = layer
        #: A path is split into as many segments as the longest pattern has, and a rest.
        #: The rest of an untrusted path may have thousands.
        self._split = 1 + max((_count_segments(layer.path) for layer in layers), default=0)
        self._start = _State([root], {})
        self.listed = 0

    def find(self, method: str, path: str) -> tuple[Sequence[Layer], list[str] | None]:
        """Return the layers that may apply to a request, in the order of the stack.

        The second value is for the fast way into these layers: the path, split at "/". It is
        ``None`` for a path with escapes, or with characters beyond ASCII.
        """
        state = self._start
        parts = path.split("/", self._split)
        for segment in parts[1 : self._depth + 1]:
            literals = state.literals
            key: str | None = segment
            if not literals:
                key = ANY_SEGMENT if segment else segment
            elif segment not in literals:
                key = self._find_literal(segment, literals)
            state = state.following.get(key) or self._follow(state, key)
        # As in Express, a parameter that does not decode is an error of the path, even where
        # the route is for other methods. So the method does not narrow the choice here.
        if "%" in path:
            return state.layers, None
        found = state.by_method.get(method, state.for_any_method)
        return found, parts if path.isascii() else None

    def _find_literal(self, segment: str, literals: Collection[str]) -> str | None:
        """Return the literal that a segment equals except for case, else ``ANY_SEGMENT``."""
        if not segment:
            return segment
        if not self._case_sensitive:
            folded = fold_case(segment)
            if folded in literals:
                return folded
        return ANY_SEGMENT

    def _follow(self, state: _State, segment: str | None) -> _State:
        """Make the state behind a segment: a literal, ``ANY_SEGMENT``, or an empty one."""
        nodes = [child for node in state.nodes for child in node.children(segment)]
        following = _State(nodes, state.found)
        if self.listed + following.size <= MAX_LISTED:
            self.listed += following.size
            state.following[segment] = following
        return following


def _count_segments(path: PathPattern | None) -> int:
    """Return how many segments a path has at most, as far as its text tells."""
    if path is None or isinstance(path, re.Pattern):
        return 0
    return path.count("/") if isinstance(path, str) else max(map(_count_segments, path))


class _State:
    """The place to which the first segments of some paths lead.

    :ivar nodes: the nodes at this place.
    :ivar found: the layers at these nodes, and at those on the way.
    :ivar layers: the same layers, in the order of the stack.
    :ivar by_method: {method: the layers for it}; ``for_any_method`` for all other methods.
    :ivar literals: the segments that lead to a place of their own.
    :ivar following: {segment: the state behind it}, as far as paths have come there.
    """

    __slots__ = (
        "by_method",
        "following",
        "for_any_method",
        "found",
        "layers",
        "literals",
        "nodes",
    )

    def __init__(self, nodes: Sequence[_Node], found: Found) -> None:
        self.nodes = nodes
        self.found = {**found}
        for node in nodes:
            self.found.update(node.layers)
        self.layers = tuple(self.found[position] for position in sorted(self.found))
        with_methods = [(layer, layer.methods) for layer in self.layers]
        self.for_any_method = tuple(layer for layer, of in with_methods if of is None)
        self.by_method = {
            method: tuple(layer for layer, of in with_methods if of is None or method in of)
            for method in {method for _, of in with_methods for method in of or ()}
        }
        self.literals = frozenset(segment for node in nodes for segment in node.literals)
        self.following: dict[str | None, _State] = {}

    @property
    def size(self) -> int:
        """How many layers it lists, and one for itself."""
        return 1 + len(self.layers) + sum(map(len, self.by_method.values()))


class _Node:
    """A node of the tree: the layers with a shape that ends here, and the nodes below."""

    __slots__ = ("any_segment", "layers", "literals")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.any_segment: _Node | None = None
        self.layers: Found = {}

    def at(self, shape: Shape) -> _Node:
        """Return the node that a shape leads to; missing nodes are made."""
        if not shape:
            return self
        segment, rest = shape[0], shape[1:]
        if segment is not ANY_SEGMENT:
            return self.literals.setdefault(segment, _Node()).at(rest)
        if self.any_segment is None:
            self.any_segment = _Node()
        return self.any_segment.at(rest)

    def children(self, segment: str | None) -> list[_Node]:
        """Return the nodes behind a segment; ``ANY_SEGMENT`` is one that equals no literal."""
        literal = None if segment is ANY_SEGMENT else self.literals.get(segment)
        # A parameter is never empty.
        other = None if segment == "" else self.any_segment
        return [child for child in (literal, other) if child is not None]
