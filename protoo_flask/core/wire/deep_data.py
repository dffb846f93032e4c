"""Deep data: JSON text of data that is nested more deeply than an encoder can follow.

An encoder calls itself for each level, and Python limits the depth of calls. The calls around the
encoder count, too: data of 400 levels, which a peer may send, cannot be written behind
two hundred middleware. This module writes such data without calling itself. It takes ten times as
long, so it is only for data that the encoder has refused.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator

from .nesting import MAX_DEPTH

#: Levels of data that is written: twice as many as a peer may send, so a site may wrap its data.
MAX_WRITTEN = 2 * MAX_DEPTH


def write_deeply(value: Any, encode: Callable[[Any], bytes]) -> bytes:
    """Write dicts, lists and tuples of any depth up to :data:`MAX_WRITTEN`.

    :param encode: writes keys and all other values.
    :raises RecursionError: beyond that depth, and for data that contains itself.

    >>> import msgspec
    >>> write_deeply({"a": [1, {"b": ()}]}, msgspec.json.encode)
    b'{"a":[1,{"b":[]}]}'
    """
    parts: list[bytes] = []
    #: The containers that are not finished: the rest of the items of each, and its last bracket.
    around: list[tuple[Iterator[tuple[bytes, Any]], bytes]] = []
    items: Iterator[tuple[bytes, Any]] = iter([(b"", value)])
    end = b""
    #: The identities of the same containers, and of the current one.
    open_ones: list[int] = []
    while True:
        for prefix, item in items:
            parts.append(prefix)
            if not isinstance(item, (dict, list, tuple)):
                parts.append(encode(item))
                continue
            if len(around) == MAX_WRITTEN or id(item) in open_ones:
                raise RecursionError
            around.append((items, end))
            open_ones.append(id(item))
            if isinstance(item, dict):
                parts.append(b"{")
                items, end = _members(item, encode), b"}"
            else:
                parts.append(b"[")
                items, end = _elements(item), b"]"
            break
        else:
            parts.append(end)
            if not around:
                return b"".join(parts)
            items, end = around.pop()
            open_ones.pop()


def _members(value: Any, encode: Callable[[Any], bytes]) -> Iterator[tuple[bytes, Any]]:
    comma = b""
    for key, item in value.items():
        # The encoder knows which keys there may be, and how a number is written as one.
        yield comma + encode({key: 0})[1:-2], item
        comma = b","


def _elements(value: Any) -> Iterator[tuple[bytes, Any]]:
    comma = b""
    for item in value:
        yield comma, item
        comma = b","
