"""Texts on their way through a cluster: messages without an id, and ``peer.data``."""

from __future__ import annotations

from typing import Any

from ..errors import Unsendable, UsageError
from ..excerpts import excerpt_of
from ..wire.dialect import PROTOO, Dialect
from ..wire.messages import parse_data, serialize_data

#: Bytes of the JSON of ``peer.data`` in a cluster. The directory has it for each peer, and each
#: node for the users that it knows.
MAX_DATA = 4096


def insert_id(payload: bytes, id: int, dialect: Dialect) -> bytes:
    """Return the text of a request with its id.

    >>> insert_id(b'{"method":"get","data":{}}', 7, PROTOO)
    b'{"id":7,"method":"get","data":{}}'

    :param payload: the text without an id, in the usual dialect.
    :param dialect: of the link.
    """
    if dialect is PROTOO:
        return b'{"id":%d,%b' % (id, payload[1:])
    message = parse_data(payload)
    return dialect.serialize_request(message["method"], id, message["data"], message.get("sender"))


def translate(payload: bytes, dialect: Dialect) -> bytes:
    """Return the text of a notification in the dialect of a link."""
    if dialect is PROTOO:
        return payload
    message = parse_data(payload)
    return dialect.serialize_notification(message["method"], message["data"], message.get("sender"))


def serialize_peer_data(data: Any) -> bytes:
    """Write ``peer.data`` for other nodes; empty for ``None``.

    :raises UsageError: when it is not JSON, or too long.
    """
    if data is None:
        return b""
    try:
        text = serialize_data(data)
    except Unsendable as error:
        raise UsageError(
            "in a cluster, other workers have to read peer.data: the third value of the function "
            f"given to @protoo.authorize is JSON, or None; it was {excerpt_of(data)} ({error})"
        ) from error
    if len(text) > MAX_DATA:
        raise UsageError(
            "in a cluster, each worker may keep peer.data of many users: the third value of the "
            f"function given to @protoo.authorize is JSON of at most {MAX_DATA} bytes; it was "
            f"{excerpt_of(data)}, with {len(text)} bytes"
        )
    return text


def describe_peer_data(data: Any) -> bytes:
    """Write ``peer.data`` as :func:`serialize_peer_data`; empty when other nodes cannot read it."""
    try:
        return serialize_peer_data(data)
    except UsageError:
        return b""  # the site has put something else there


def parse_peer_data(text: bytes) -> Any:
    """Read what :func:`serialize_peer_data` has written."""
    return parse_data(text) if text else None
