"""The size of a JSON text in memory: how many bytes its objects take, estimated from the text.

A list takes 56 bytes and a place in the list around it, also an empty one: so ``[[],[],...]``
takes 22 times its text, and ``{"a":{"a":...}}`` nearly 50 times. To measure the objects would
mean to visit each of them. The characters that begin an object can be counted in the text, at
a tenth of the cost of reading it. Those in strings are counted as well.
"""

from __future__ import annotations

#: Bytes of objects that begin with a character, in CPython 3.8 to 3.14, rounded up. A dict of one
#: entry takes 232. A list of one element takes 88. A string takes 50 besides its text, and has two
#: quotation marks. A number takes 32 or more, and has a comma; so has each place in a list.
DICT, EMPTY_DICT, LIST, QUOTE, COMMA = 240, 64, 88, 27, 60


def estimate_size(text: bytes) -> int:
    """Return about how many bytes the objects of a JSON text take; usually somewhat too many.

    >>> estimate_size(b'{"a":[{},{},{}]}')
    710
    """
    empty = text.count(b"{}")
    size = (
        len(text)
        + (text.count(b"{") - empty) * DICT
        + empty * EMPTY_DICT
        + text.count(b"[") * LIST
        + text.count(b'"') * QUOTE
        + text.count(b",") * COMMA
    )
    if not text.isascii() or b"\\u" in text:
        # One emoji makes each character of its string take four bytes.
        size += 3 * len(text)
    return size
