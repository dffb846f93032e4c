"""The shape of a pattern: the first segments that every path matching it must have.

The layer index puts a layer into its tree by the shapes of its pattern. A shape may say too
little, down to nothing at all, but nothing wrong.
"""

from __future__ import annotations

import re
from typing import Optional, Tuple

from .patterns import PathPattern

#: A segment of a shape that stands for any text.
ANY_SEGMENT = None

#: For each segment a text, or ``ANY_SEGMENT``.
Shape = Tuple[Optional[str], ...]

#: Characters with a meaning in a pattern: a segment with one of them is not plain text.
_SPECIAL = frozenset("\\:*?+()[]{}|^$")
_ESCAPED = re.compile(r"\\.", re.DOTALL)


def find_shapes(path: PathPattern | None, case_sensitive: bool) -> list[Shape]:
    """Return a shape for each alternative of a path.

    >>> find_shapes(["/users/:name/photos*", "/Chat"], False)
    [('users', None), ('chat',)]
    """
    if path is None or isinstance(path, re.Pattern):
        return [()]
    if isinstance(path, str):
        return [_find_shape(path, case_sensitive)]
    return [shape for item in path for shape in find_shapes(item, case_sensitive)]


def _find_shape(pattern: str, case_sensitive: bool) -> Shape:
    segments = pattern.split("/")
    if segments[0] or "|" in _outside_groups(pattern):
        return ()
    shape: list[str | None] = []
    for segment in segments[1:]:
        if segment[:1] in ("?", "+", "{"):
            return tuple(shape[:-1])  # the quantifier changes the "/" before it
        if re.fullmatch(r":\w+", segment):
            shape.append(ANY_SEGMENT)
        elif segment and not _SPECIAL.intersection(segment):
            shape.append(segment if case_sensitive else fold_case(segment))
        else:
            break
    return tuple(shape)


def fold_case(text: str) -> str:
    """Return the same text for all texts that ``re.IGNORECASE`` treats as equal."""
    if text.isascii():
        return text.lower()
    # re treats both of these as an "i"; Unicode does so only in Turkish.
    return text.replace("\u0130", "i").replace("\u0131", "i").casefold()


def _outside_groups(pattern: str) -> str:
    """Return the text outside of groups; the whole pattern, if that is hard to tell."""
    if "[" in pattern or "(?#" in pattern:
        return pattern
    pattern = _ESCAPED.sub("", pattern)
    depth = 0
    outside = ""
    for character in pattern:
        depth += (character == "(") - (character == ")")
        outside += character if depth == 0 else ""
    return outside
