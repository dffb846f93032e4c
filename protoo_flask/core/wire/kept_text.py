"""Kept text: messages that are kept as text, and the memory that a text takes as objects.

A JSON text of 64 KiB may become objects of 3 MiB: an empty array has two characters, and
56 bytes as a Python list. So whatever is kept for a peer is kept as text, and read again when
it is needed. Where objects have to be kept, their memory is estimated from the text.
"""

from __future__ import annotations

import json
from typing import Any

#: Bytes of Python objects, rounded up. The place in the dict or list is counted with the comma
#: before it, and the string of a key or value with its quotes.
_DICT = 240
_EMPTY_DICT = 64
_LIST = 72
_ITEM = 60
_QUOTE = 27


def estimate_objects(text: bytes) -> int:
    """Return the bytes of memory that a JSON text takes as objects, rounded up.

    Braces and commas in strings are counted as well, as a real parser would take longer than
    all the rest of a call.

    >>> estimate_objects(b'{"a":[{},{},{}]}')
    694
    """
    # One character beyond Latin-1 makes Python keep a string with four bytes for each.
    characters = len(text) if text.isascii() else 4 * len(text)
    empty = text.count(b"{}")
    return (
        characters
        + _DICT * (text.count(b"{") - empty)
        + _EMPTY_DICT * empty
        + _LIST * text.count(b"[")
        + _ITEM * text.count(b",")
        + _QUOTE * text.count(b'"')
    )


def read_kept(text: bytes) -> dict[str, Any]:
    """Return the message of a text that was written here: a JSON object."""
    # The standard library, because msgspec 0.18 damages some integers (long_integers.py).
    message: dict[str, Any] = json.loads(text)
    return message
