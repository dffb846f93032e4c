"""The wire format from the other side: as a client of a server writes and reads it.

A client's requests have a path. Those of the server have none, and may have a sender.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Union

import msgspec
from msgspec import UNSET, UnsetType

from ..errors import BadMessage, Unsendable, UsageError
from ..excerpts import excerpt_of
from .messages import MAX_ID, Data, Method, Reason, Status, parse_data, serialize_data
from .nesting import MAX_DEPTH, is_too_deep


class Sender(msgspec.Struct):
    """The peer that a request comes from; the server vouches for it."""

    username: str
    uuid: str


class FromServer(msgspec.Struct):
    """A message of a server: a response when it has a status, else a request or notification."""

    method: Union[Method, UnsetType] = UNSET
    status: Union[Status, UnsetType] = UNSET
    reason: Reason = ""
    # Of a response to a message without a usable id, it is 0.
    id: Union[int, UnsetType] = UNSET
    data: Data = None
    sender: Optional[Sender] = None


_decode = msgspec.json.Decoder(FromServer).decode


def serialize_client_request(
    method: str, path: str, id: Optional[int], data: Dict[str, Any]
) -> bytes:
    """Write a request to a server, or a notification when ``id`` is ``None``.

    >>> serialize_client_request("get", "/time", 7, {})
    b'{"method":"get","path":"/time","id":7,"data":{}}'

    :raises UsageError: when ``path`` is none.
    :raises Unsendable: when ``data`` is not a JSON object.
    """
    if not isinstance(path, str) or not path.startswith("/"):
        raise UsageError(f'a path is a string that starts with "/", not {excerpt_of(path)}')
    if not isinstance(data, dict):
        raise Unsendable(f"data must be a dict, not {type(data).__name__}")
    message: Dict[str, Any] = {"method": method, "path": path}
    if id is not None:
        message["id"] = id
    message["data"] = data
    return serialize_data(message)


def parse_from_server(text: str) -> FromServer:
    """Read one text message of a server.

    >>> parse_from_server('{"status": 200, "id": 7}').status
    200

    :raises BadMessage: with the reason, and the id to answer with.
    """
    payload = text.encode("utf-8", "replace")
    try:
        if is_too_deep(payload):
            raise BadMessage(f"message is nested too deeply: at most {MAX_DEPTH} levels are read")
        message = _decode(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadMessage(f"message cannot be read: {error}", _usable_id(payload)) from error
    id = message.id
    if message.status is not UNSET:
        if id is UNSET or not 0 <= id <= MAX_ID:
            raise BadMessage(f"id of a response must be an integer from 0 to {MAX_ID}")
        return message
    if id is not UNSET and not 1 <= id <= MAX_ID:
        raise BadMessage(f"id must be an integer from 1 to {MAX_ID}")
    if message.method is UNSET:
        raise BadMessage("method is missing: a request has a method, a response a status", id or 0)
    return message


def _usable_id(payload: bytes) -> int:
    """Return the id of a broken request; 0 without one, and for a response."""
    try:
        found = parse_data(payload)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return 0
    if not isinstance(found, dict) or "status" in found:
        return 0
    id = found.get("id")
    return id if type(id) is int and 1 <= id <= MAX_ID else 0
