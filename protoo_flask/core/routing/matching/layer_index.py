"""Which layers of a router may apply to a request, without trying each of them.

A loop over a thousand regular expressions would cost a thousand times one. But most
patterns begin with plain segments (``/users/...``) or with parameters that are whole
segments, and a layer can only apply to a path that begins in the same way. So the
layers hang in a tree of segments, each at the node that its pattern leads to; those
that may apply to a path are at the nodes that the path leads to. What cannot be put
that way (a compiled regex, no path at all) is at the root, and may apply to any path.

A path leads to several nodes at once (``/users/bob`` to that of ``/users/:name`` and that
of ``/:any/bob``). Where it leads is the same for all paths that differ only in what is a
parameter, so it is found once, and kept: a state of a machine that is built as paths
come, as for a regular expression ("lazy DFA").

The index finds candidates, never fewer than match; the layer's matcher decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Collection, Dict, Sequence

from .patterns import ANY_SEGMENT, Shape, fold_case
from .segments import Segments

if TYPE_CHECKING:
    from ..layer import Layer

#: {position in the stack: layer}
Found = Dict[int, "Layer"]

#: How many layers the states that are kept may list together. Of the usual patterns, there
#: are about as many states as nodes; where many begin with a parameter, there could be a
#: state for each combination, and it is the peers who choose the paths.
MAX_LISTED = 100_000


class LayerIndex:
    """The layers of a stack, by the beginnings of their paths and by method.

    :param case_sensitive: as the layers were compiled.
    :ivar listed: how many layers are listed by the states that are kept.
    """

    __slots__ = ("_case_sensitive", "_depth", "_size", "_split", "_start", "listed")

    def __init__(self, layers: Sequence[Layer], case_sensitive: bool) -> None:
        self._size = len(layers)
        self._case_sensitive = case_sensitive
        #: How many segments of a path need to be looked at.
        self._depth = 0
        #: Of a path with thousands of segments, only the first are split off: as many as any
        #: pattern has, and one more.
        self._split = 1
        root = _Node()
        for position, layer in enumerate(layers):
            shapes = [()] if layer.matcher is None else layer.matcher.shapes
            if layer.matcher is not None and isinstance(layer.matcher.segments, Segments):
                self._split = max(self._split, layer.matcher.segments.length)
            for shape in shapes:
                self._depth = max(self._depth, len(shape))
                root.at(shape).layers[position] = layer
        self._split = max(self._split, self._depth + 1)
        self._start = _State([root], {})
        self.listed = 0

    def __len__(self) -> int:
        return self._size

    def find(self, method: str, path: str) -> tuple[Sequence[Layer], list[str] | None]:
        """Return the layers that may apply to a request, in the order of the stack.

        And, for :meth:`.layer.Layer.glance`, the path split at "/", the rest in the last of
        more parts than any pattern has; ``None`` if it is not plain. What is not a parameter
        in a layer's pattern is in the parts too, then: the layer would not be found else.
        """
        state = self._start
        parts = path.split("/", self._split)
        for segment in parts[1 : self._depth + 1]:
            literals = state.literals
            key: str | None = segment
            if segment and not literals:
                key = ANY_SEGMENT
            elif segment and segment not in literals:
                key = self._find_literal(segment, literals)
            state = state.following.get(key) or self._follow(state, key)
        # As in Express, a parameter that does not decode is an error of the path, also
        # where the route is for other methods.
        if "%" in path:
            return state.layers, None
        found = state.by_method.get(method, state.for_any_method)
        return found, parts if path.isascii() else None

    def _find_literal(self, segment: str, literals: Collection[str]) -> str | None:
        """Return the literal that a segment is but for its case; else ``ANY_SEGMENT``."""
        if not self._case_sensitive:
            folded = fold_case(segment)
            if folded in literals:
                return folded
        return ANY_SEGMENT

    def _follow(self, state: _State, segment: str | None) -> _State:
        """Make the state that a segment leads to: a literal, any other, or an empty one."""
        nodes = [child for node in state.nodes for child in node.children(segment)]
        following = _State(nodes, state.found)
        if self.listed + following.size <= MAX_LISTED:
            self.listed += following.size
            state.following[segment] = following
        return following


class _State:
    """Where the first segments of some paths lead.

    :ivar nodes: to which nodes.
    :ivar found: the layers there and on the way.
    :ivar layers: the same, in the order of the stack.
    :ivar by_method: of these, the ones for a method; ``for_any_method``: for every other.
    :ivar literals: the segments that lead elsewhere than any other would.
    :ivar following: the states behind segments, as far as they are known.
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
    """Where some beginning of a path leads, and the layers there."""

    __slots__ = ("any_segment", "layers", "literals")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.any_segment: _Node | None = None
        self.layers: Found = {}

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

    def children(self, segment: str | None) -> list[_Node]:
        """Return where a segment leads; ``ANY_SEGMENT`` is one that no literal is."""
        literal = None if segment is ANY_SEGMENT else self.literals.get(segment)
        # A parameter is never empty.
        other = None if segment == "" else self.any_segment
        return [child for child in (literal, other) if child is not None]
