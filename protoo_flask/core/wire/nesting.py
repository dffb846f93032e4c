"""The nesting of JSON text: how deep it is, and the text without it.

Text may be nested more deeply than a parser can follow: a parser calls itself for each level.
Python stops that at some depth, which differs from release to release, and Python 3.12 and 3.13
do not look how much room there is (10 000 levels take more than 2 MiB, a thread may have less).
So there is a limit far below. Data within the limit can also be written again, from anywhere:
:mod:`.deep_data`.

Everything here takes linear time and does not call itself, because the text is untrusted. It
need not be JSON: of other text, the results mean nothing, and nothing is raised.
"""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

#: Levels of arrays and objects in a message, itself included. Half of Python's recursion limit:
#: the other half is for the calls around a parser, and for a site's code that follows the data.
MAX_DEPTH = 500

_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SQUARE = bytes.maketrans(b"{}", b"[]")
#: {a character: how many levels it goes up}
_STEPS = [(byte in b"[{") - (byte in b"]}") for byte in range(256)]

#: How many levels of leaves are removed before the brackets are counted one by one. Text with
#: many brackets is usually wide and not deep: nearly nothing is left to count.
_LEVELS_OF_LEAVES = 4

#: A turn, from closing to opening brackets, costs as much as so many single brackets.
_BRACKETS_OF_A_TURN = 5


class Outline(NamedTuple):
    """A JSON text without its nested arrays and objects.

    :ivar text: the same text, where ``0`` stands for each array or object in the outermost one.
    :ivar depth: levels of arrays and objects of the whole text.
    """

    text: bytes
    depth: int


def is_too_deep(payload: bytes) -> bool:
    """Whether a text has more levels than :data:`MAX_DEPTH`.

    >>> is_too_deep(b"[" * 501 + b"]" * 501)
    True
    """
    # bytes.count() would take ten times as long for a text with few brackets.
    others = len(payload.replace(b"[", b"")) + len(payload.replace(b"{", b""))
    if 2 * len(payload) - others <= MAX_DEPTH:
        return False
    brackets = _remove_strings(payload).translate(_SQUARE, _NO_BRACKETS)
    for _ in range(_LEVELS_OF_LEAVES):
        brackets = brackets.replace(b"[]", b"")
    return _find_deepest(brackets) + _LEVELS_OF_LEAVES > MAX_DEPTH


def _find_deepest(brackets: bytes) -> int:
    """Return the levels of a text of square brackets."""
    turns = brackets.count(b"][")
    if turns * _BRACKETS_OF_A_TURN > len(brackets):
        return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)
    # Few turns: the text is deep. Go up and down many levels in one step.
    depth = deepest = 0
    for part in brackets.replace(b"][", b"] [").split():
        up = len(part) - part.count(b"]")
        depth += up
        deepest = max(deepest, depth)
        depth -= len(part) - up
    return deepest


def outline(payload: bytes) -> Outline:
    """Return the outline of a JSON object.

    >>> outline(b'{"data": {"list": [1, 2]}, "id": 7}')
    Outline(text=b'{"data": 0, "id": 7}', depth=3)
    """
    parts = _split_at_quotes(payload)
    parts[1::2] = [b" " * len(string) for string in parts[1::2]]
    levels = list(accumulate(map(_STEPS.__getitem__, b" ".join(parts))))
    outermost = []
    end = 0
    while end < len(payload):
        start = _find(levels, 2, end)
        outermost.append(payload[end:start])
        if start < len(payload):
            outermost.append(b"0")
        end = _find(levels, 1, start) + 1
    return Outline(b"".join(outermost), max(levels, default=0))


def _find(levels: list[int], level: int, start: int) -> int:
    """Return where a level is first reached, or the length of the text."""
    try:
        return levels.index(level, start)
    except ValueError:
        return len(levels)


def _remove_strings(payload: bytes) -> bytes:
    return b"".join(_split_at_quotes(payload)[::2])


def _split_at_quotes(payload: bytes) -> list[bytes]:
    """Divide a text at the quotation marks; every second part is a string, of the same length."""
    if b"\\" in payload:
        payload = payload.replace(rb"\\", b"__").replace(rb"\"", b"__")
    return payload.split(b'"')
