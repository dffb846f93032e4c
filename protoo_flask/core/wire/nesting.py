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

import re
from itertools import accumulate
from typing import NamedTuple

#: Levels of arrays and objects in a message, itself included. Half of Python's recursion limit:
#: the other half is for the calls around a parser, and for a site's code that follows the data.
MAX_DEPTH = 500

# A string. An unclosed one goes up to the end of the text, so the match never fails after a quote.
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"?'
_STRINGS = re.compile(_STRING, re.DOTALL)

#: Brackets in a row, which all open or all close, and the text before them.
_PARTS = re.compile(
    rb'([^\[\]{}"]*(?:%b[^\[\]{}"]*)*)([\[{]+|[\]}]+|\Z)' % _STRING,
    re.DOTALL,
)

_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SQUARE = bytes.maketrans(b"{}", b"[]")
_STEPS = {ord("["): 1, ord("]"): -1}

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
    parts = []
    depth = deepest = 0
    for text, brackets in _PARTS.findall(payload):
        if depth <= 1:
            parts.append(text)
        if brackets[:1] in (b"[", b"{"):
            if depth == 0:
                parts.append(brackets[:1])
            if depth <= 1 < depth + len(brackets):
                parts.append(b"0")
            depth += len(brackets)
            deepest = max(deepest, depth)
        elif brackets:
            # Without those that close the nested ones.
            parts.append(brackets[max(depth - 1, 0) :])
            depth -= len(brackets)
    return Outline(b"".join(parts), deepest)


def _remove_strings(payload: bytes) -> bytes:
    if b"\\" in payload:
        return _STRINGS.sub(b"", payload)
    # Without escapes, every second part between quotes is a string. This takes a third of the time.
    return b"".join(payload.split(b'"')[::2])
