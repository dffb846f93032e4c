"""Patterns of whole segments, ``/users/:username/:uuid?``, matched without ``re``.

Nearly all patterns are such, and matching one takes half of what the regular expression
takes, which is a tenth of a request. It is for plain paths only: ASCII, without escapes.
For all others, and as the word on what is right, there is the regular expression; a test
compares them.
"""

from __future__ import annotations

import re
from typing import Dict, Sequence, Tuple, Union

#: The part of the path that matched, and the parameters in it.
Match = Tuple[str, Dict[Union[str, int], str]]

_LITERAL = re.compile(r"[\w.~@!&=,;-]+", re.ASCII)
_PARAMETER = re.compile(r":(\w+)(\?)?")


def is_plain(path: str) -> bool:
    """Whether a path is what the patterns in this module are for."""
    return "%" not in path and path.isascii()


class Segments:
    """A pattern of literals and parameters; the last may be optional.

    :param parts: its segments, as in the pattern.
    :ivar length: how many parts a path has, split at "/", in which each has its own.
    :ivar keys: the positions of its parameters among these, with their names.
    """

    __slots__ = ("_case_sensitive", "_count", "_literals", "_required", "_strict", "keys", "length")

    def __init__(self, parts: Sequence[str], strict: bool, case_sensitive: bool) -> None:
        self._strict = strict
        self._case_sensitive = case_sensitive
        self._count = len(parts)
        self.length = len(parts) + 1  # there is an empty one before the first "/"
        self._required = self._count - parts[-1].endswith("?")
        numbered = list(enumerate(parts, 1))
        self._literals = [
            (position, part if case_sensitive else part.lower())
            for position, part in numbered
            if part[0] != ":"
        ]
        self.keys = [(position, part.strip(":?")) for position, part in numbered if part[0] == ":"]

    def match(self, path: str) -> Match | None:
        """Match a plain path, the whole of it."""
        # One more than there may be, and what follows: no more of a path of thousands.
        parts = path.split("/", self._count + 2)
        length = len(parts) - 1
        if length and not parts[-1] and not self._strict:
            length -= 1
        if length != self._count and length != self._required:
            return None
        for position, literal in self._literals:
            part = parts[position]
            if part != literal and (self._case_sensitive or part.lower() != literal):
                return None
        params: dict[str | int, str] = {}
        for position, key in self.keys:
            if position <= length:
                value = parts[position]
                if not value:
                    return None
                params[key] = value
        # Without a "/" in front, the first part is not the empty one before it.
        return None if parts[0] else (path, params)


class Prefix:
    """A pattern of literals, as routers are mounted at: it matches up to a "/".

    :param pattern: such as "/users".
    :ivar length: characters of a path.
    """

    __slots__ = ("_case_sensitive", "_literal", "length")

    def __init__(self, pattern: str, case_sensitive: bool) -> None:
        self._case_sensitive = case_sensitive
        self._literal = pattern if case_sensitive else pattern.lower()
        self.length = len(pattern)

    def match(self, path: str) -> Match | None:
        """Match the beginning of a plain path."""
        length = self.length
        matched = path[:length]
        if matched != self._literal and (self._case_sensitive or matched.lower() != self._literal):
            return None
        following = path[length : length + 2]
        if following and following[0] != "/":
            return None
        # As in Express, a slash belongs to it when no segment begins there.
        return (path[: length + 1] if following in ("/", "//") else matched), {}


def find_prefix(pattern: object, case_sensitive: bool) -> Prefix | None:
    """Return a pattern as a prefix; ``None`` for one that is more than literals."""
    if not isinstance(pattern, str) or not pattern.startswith("/"):
        return None
    if not all(_LITERAL.fullmatch(part) for part in pattern[1:].split("/")):
        return None
    return Prefix(pattern, case_sensitive)


def find_segments(pattern: object, strict: bool, case_sensitive: bool) -> Segments | None:
    """Return a pattern as segments; ``None`` for one that is more than that."""
    if not isinstance(pattern, str) or not pattern.startswith("/"):
        return None
    parts = pattern[1:].split("/")
    *before, last = parts
    if not all(_is_plain(part, may_be_optional=False) for part in before):
        return None
    if not _is_plain(last, may_be_optional=True):
        return None
    return Segments(parts, strict, case_sensitive)


def _is_plain(part: str, *, may_be_optional: bool) -> bool:
    if _LITERAL.fullmatch(part):
        return True
    parameter = _PARAMETER.fullmatch(part)
    return parameter is not None and (may_be_optional or not parameter.group(2))
