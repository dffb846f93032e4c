"""Integers with 65 bits, as msgspec before 0.19 reads them.

From 2**64 + 10**18 + 1 to 2 * 10**19 - 1 (and the negative ones of the same size), msgspec 0.18
loses the highest bit without a word. On Python 3.8 there is no later release. So a text that
may have such an integer is read once more there, by the standard library.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable, TypeVar

import msgspec

#: Twenty digits from the first such integer on, and a few below. In a string, too.
_DIGITS = re.compile(rb"19[4-9][0-9]{17}")

_EXAMPLE = 2 * 10**19 - 1


Message = TypeVar("Message")


def keep_integers(decode: Callable[[bytes], Message]) -> Callable[[bytes], Message]:
    """Return a function that decodes a message with its integers: ``decode`` itself, mostly.

    :param decode: a decoder of msgspec, for a JSON object with or without ``"data"``.
    """
    if msgspec.json.decode(b"%d" % _EXAMPLE) == _EXAMPLE:
        return decode
    return decode_exactly(decode)


def decode_exactly(decode: Callable[[bytes], Message]) -> Callable[[bytes], Message]:
    """Return a function that decodes a message, and has the standard library read the data.

    No other field takes an integer of this size. The function raises a RecursionError for data
    that only msgspec could follow.
    """

    def decode_message(payload: bytes) -> Message:
        message = decode(payload)
        # The text is a JSON object, or the line above has raised.
        if _DIGITS.search(payload):
            corrected: Any = message
            corrected.data = json.loads(payload).get("data")
        return message

    return decode_message
