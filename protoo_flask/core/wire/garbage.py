"""Garbage collections while a message is decoded, which find nothing and take long.

A decoder makes no garbage. But before CPython 3.12, it starts a collection for each 700 lists and
dicts that it makes, and all of them count as old ones soon. So one message of 64 KiB, with 20 000
lists, makes Python look through every object of the process: 20 to 40 ms, in a small site. Since
3.12, no collection starts within a decoder. This module has the same effect on older releases: one
young collection follows, in which the objects of the message are looked at once.
"""

from __future__ import annotations

import gc
import sys
from typing import Callable, TypeVar

Message = TypeVar("Message")


def without_collections(decode: Callable[[bytes], Message]) -> Callable[[bytes], Message]:
    """Return a function that decodes a message without garbage collections.

    :param decode: a decoder, which calls no code that others have written.
    """
    if sys.version_info >= (3, 12):
        return decode
    return decode_without_collections(decode)


def decode_without_collections(decode: Callable[[bytes], Message]) -> Callable[[bytes], Message]:
    """Return such a function for any release."""

    def decode_message(payload: bytes) -> Message:
        # The site may have disabled them. And of two threads that are here at a time, the first
        # one enables them.
        if not gc.isenabled():
            return decode(payload)
        gc.disable()
        try:
            return decode(payload)
        finally:
            gc.enable()

    return decode_message
