"""The wire format, declared; parsing and serializing.

One JSON object per WebSocket text message. The structs below *are* the format:
msgspec validates while it decodes. A peer that breaks the format gets a 400 whose reason is
the ``description`` of the field that failed.

Every text that is JSON is either read or refused with its id. Where msgspec alone does not do
that, modules beside this one help: :mod:`.surrogates` (half an emoji), :mod:`.nesting` (a limit,
and the id of a message beyond it), :mod:`.long_integers` (a defect of old releases). Most
messages need none of them, and meet no more than the comparison of a length.

Reading goes through :class:`Incoming`, request and response in one struct, because only
the decoded message shows which of the two it is. A message that fails there is read again
as the kind that it claims to be. That second reading finds the reason. It also accepts a
message whose only fault is in a field of the other kind: such a field is unknown there, and
unknown fields are ignored.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Callable, Dict, NoReturn, Optional, Type, Union

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from ..errors import BadMessage, Unsendable
from ..excerpts import excerpt
from .deep_data import write_deeply
from .garbage import without_collections
from .long_integers import keep_integers
from .nesting import MAX_DEPTH, is_too_deep, outline
from .surrogates import mend_text, mend_values

if sys.version_info >= (3, 9):
    from typing import Annotated
else:  # pragma: no cover
    from typing_extensions import Annotated

#: Ids are integers that a JavaScript number holds exactly (ECMA-262, MAX_SAFE_INTEGER).
MAX_ID = 2**53 - 1

Method = Annotated[str, Meta(min_length=1, description="method must be a non-empty string")]
Path = Annotated[str, Meta(pattern="^/", description='path must start with "/"')]
Id = Annotated[int, Meta(ge=1, le=MAX_ID, description=f"id must be an integer from 1 to {MAX_ID}")]
Status = Annotated[
    int, Meta(ge=100, le=699, description="status must be an integer from 100 to 699")
]
Reason = Annotated[str, Meta(description="reason must be a string")]
Data = Annotated[Optional[Dict[str, Any]], Meta(description="data must be an object")]


class Incoming(msgspec.Struct):
    """A message from a peer, untrusted but valid: a request when it has a method.

    A request without a path is a ping: it has the method "ping" and an id.
    """

    method: Union[Method, UnsetType] = UNSET
    # parse() checks the characters: a regular expression would be more than half of the cost of
    # reading a message.
    path: Union[str, UnsetType] = UNSET
    status: Union[Status, UnsetType] = UNSET
    reason: Reason = ""
    id: Union[Id, UnsetType] = UNSET
    data: Data = None


class IncomingRequest(msgspec.Struct):
    """A request: answered when it has an ``id``, else a notification."""

    method: Method
    path: Path
    id: Union[Id, UnsetType] = UNSET
    data: Data = None


class IncomingResponse(msgspec.Struct):
    """A response: ``id`` is that of the server's request."""

    status: Status
    id: Id
    reason: Reason = ""
    data: Data = None


class OutgoingRequest(msgspec.Struct):
    """A request (or, without ``id``, a notification) to a peer."""

    method: str
    id: Union[int, UnsetType]
    data: Dict[str, Any]
    sender: Union[Dict[str, str], UnsetType]


class OutgoingResponse(msgspec.Struct):
    """A response to a peer's request."""

    status: int
    reason: str
    id: int
    data: Dict[str, Any]


def _encode_subclass(value: Any) -> Any:
    """Return a ``markupsafe.Markup``, say, as the string that it is, as ``json.dumps`` does."""
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"objects of type {type(value).__name__} are not JSON")


class _Wrapped(msgspec.Struct):
    """Data of any kind, in an object."""

    data: Any


class _Claims(msgspec.Struct):
    """The fields of a broken message, not yet decoded: they tell its kind."""

    method: Raw = Raw()
    path: Raw = Raw()
    status: Raw = Raw()
    id: Raw = Raw()


_decode_incoming = keep_integers(msgspec.json.Decoder(Incoming).decode)
_decode_long_incoming = without_collections(_decode_incoming)
_decode_value = msgspec.json.Decoder().decode
_KEEPS_INTEGERS = keep_integers(_decode_value) is _decode_value
_decode_wrapped = without_collections(keep_integers(msgspec.json.Decoder(_Wrapped).decode))
_decode_claims = msgspec.json.Decoder(_Claims).decode
_decode_number = msgspec.json.Decoder(Union[int, float]).decode
_encode = msgspec.json.Encoder(enc_hook=_encode_subclass).encode

#: {kind of message: its decoder}
_DECODERS: Dict[type, Callable[[bytes], Any]] = {
    kind: without_collections(keep_integers(msgspec.json.Decoder(kind).decode))
    for kind in (IncomingRequest, IncomingResponse)
}

#: The errors of an encoder. OverflowError: an integer beyond 64 bits; RecursionError: data
#: that contains itself.
_UNWRITABLE = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)

#: Bytes of a text that cannot be nested too deeply, as each level opens and closes.
_SURELY_FLAT = 2 * MAX_DEPTH

_PING = b'"ping"'

#: Unicode's control characters (Cc), and its separators of lines and paragraphs (Zl, Zp).
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_FIELD = re.compile(r"at `\$\.(\w+)`")
_MISSING = re.compile(r"missing required field `(\w+)`")


def parse(payload: bytes) -> Incoming:
    """Read one text message, untrusted, as UTF-8 JSON.

    >>> parse(b'{"method": "get", "path": "/time", "id": 1}').path
    '/time'

    :raises BadMessage: with the reason and the id to answer with.
    """
    decode = _decode_incoming
    if len(payload) > _SURELY_FLAT:
        if is_too_deep(payload):
            _refuse_nesting(payload)
        decode = _decode_long_incoming
    try:
        try:
            message = decode(payload)
        except msgspec.ValidationError:
            return _parse_as_claimed(payload)
        path = message.path
        if message.method is not UNSET:
            if path is not UNSET and path.startswith("/"):
                if not path.isprintable():
                    _check_characters(path, payload)
                return message
        elif message.status is not UNSET and message.id is not UNSET:
            return message
        return _parse_as_claimed(payload)
    # Here for both readings: the first one stops at the first wrong field, and only the second
    # one sees whether the rest is JSON.
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        mended = mend_text(payload)
        if mended != payload:
            return parse(mended)
        raise BadMessage(f"message is not JSON: {error}") from error
    except RecursionError:
        # The site has lowered Python's recursion limit.
        _refuse_nesting(payload)


def _parse_as_claimed(payload: bytes) -> Incoming:
    """Read a message as the kind that it claims to be, or explain why that fails."""
    try:
        claims = _decode_claims(payload)
    except msgspec.ValidationError:
        raise BadMessage("message must be a JSON object") from None
    kind: Type[Union[IncomingRequest, IncomingResponse]]
    if claims.method:
        if bytes(claims.method) == _PING and not claims.path:
            id = _usable_id(payload)
            if id:
                return Incoming(method="ping", id=id)
        kind = IncomingRequest
    elif claims.status:
        kind = IncomingResponse
    else:
        raise BadMessage(
            "method is missing: a request has a method and a path, a response a status",
            _usable_id(payload),
        )
    try:
        found = _DECODERS[kind](payload)
    except msgspec.ValidationError as exc:
        raise BadMessage(_explain(kind, str(exc)), _usable_id(payload)) from exc
    if isinstance(found, IncomingRequest):
        _check_characters(found.path, payload)
    return Incoming(**msgspec.structs.asdict(found))


def _check_characters(path: str, payload: bytes) -> None:
    """Refuse a path with a control character.

    Nobody needs one. But regular expressions stop at some of them, so a guard of the site could
    overlook a path that its handler takes.
    """
    found = _CONTROL.search(path)
    if found is not None:
        raise BadMessage(
            "path must have no control characters: it has "
            f"U+{ord(found.group()):04X} at index {found.start()}",
            _usable_id(payload),
        )


def _refuse_nesting(payload: bytes) -> NoReturn:
    """Refuse a message that is nested too deeply."""
    text, depth = outline(payload)
    if not text.lstrip().startswith(b"{"):
        raise BadMessage("message must be a JSON object")
    allowed = min(MAX_DEPTH, depth - 1)
    raise BadMessage(
        f"message is nested too deeply: it has {depth} levels, and at most {allowed} are read",
        _usable_id(mend_text(text)),
    )


def _usable_id(payload: bytes) -> int:
    """Return the id to answer a broken message with, or 0."""
    try:
        id = _decode_number(_decode_claims(payload).id)
    except (msgspec.DecodeError, RecursionError):
        return 0
    # No message has 7.0 as its id, but the client knows it by that name.
    return int(id) if 1 <= id <= MAX_ID and id == int(id) else 0


def _explain(kind: type, problem: str) -> str:
    """Turn msgspec's finding into the description of the field it names."""
    missing = _MISSING.search(problem)
    field = missing or _FIELD.search(problem)
    if field is None:
        return problem
    description = _describe(kind, field.group(1))
    if description is None:
        return problem
    return f"{field.group(1)} is missing: {description}" if missing else description


def _describe(kind: type, name: str) -> Optional[str]:
    for field in msgspec.structs.fields(kind):
        if field.name != name:
            continue
        found = field.type
        options = (found, *getattr(found, "__args__", ()))
        for option in options:
            for meta in getattr(option, "__metadata__", ()):
                if isinstance(meta, Meta) and meta.description:
                    return meta.description
    return None


def serialize_request(
    method: str,
    id: Optional[int],
    data: Dict[str, Any],
    sender: Optional[Dict[str, str]] = None,
) -> bytes:
    """Write a request, or a notification when ``id`` is ``None``.

    >>> serialize_request("get", 7, {})
    b'{"method":"get","id":7,"data":{}}'

    :raises Unsendable: when ``data`` is not a JSON object.
    """
    if not isinstance(data, dict):
        raise Unsendable(f"data must be a dict, not {type(data).__name__}")
    number = UNSET if id is None else id
    address = UNSET if sender is None else sender
    message = OutgoingRequest(method, number, data, address)
    try:
        return _encode(message)
    except _UNWRITABLE as error:
        return _encode_mended(message, error)


def serialize_response(status: int, reason: str, id: int, data: Dict[str, Any]) -> bytes:
    """Write a response.

    :raises Unsendable: when ``data`` is not a JSON object.
    """
    if not isinstance(data, dict):
        raise Unsendable(f"data must be a dict, not {type(data).__name__}")
    message = OutgoingResponse(status, reason, id, data)
    try:
        return _encode(message)
    except _UNWRITABLE as error:
        return _encode_mended(message, error)


def serialize_data(data: Any) -> bytes:
    """Write the data of a message, or other JSON.

    :raises Unsendable: when it is not JSON.
    """
    try:
        return _encode(data)
    except _UNWRITABLE as error:
        return _encode_mended(_Wrapped(data), error)[len(b'{"data":') : -1]


def parse_data(text: bytes) -> Any:
    """Read JSON that :func:`serialize_data` has written."""
    if _KEEPS_INTEGERS and len(text) <= _SURELY_FLAT:
        return _decode_value(text)
    return _decode_wrapped(b'{"data":%b}' % text).data


def _encode_mended(message: msgspec.Struct, error: Exception) -> bytes:
    """Write a message that has lone surrogates, with U+FFFD for each of them, or deep data.

    :param error: the error of the encoder.
    :raises Unsendable: when that error has another cause, or the message has other faults, too.
    """
    if isinstance(error, UnicodeEncodeError):
        try:
            return _encode_without_surrogates(message)
        except _UNWRITABLE as another:
            error = another
    if isinstance(error, RecursionError):
        # Data that could just be read, maybe, and the calls around have left no room to write it.
        fields = msgspec.structs.asdict(message)
        present = {name: value for name, value in fields.items() if value is not UNSET}
        try:
            return write_deeply(present, _encode_part)
        except _UNWRITABLE as another:
            error = another
    if isinstance(error, RecursionError):
        reason = "data cannot be written as JSON: it is nested too deeply, or contains itself"
        raise Unsendable(reason) from None
    raise Unsendable(f"data cannot be written as JSON: {excerpt(str(error))}") from error


def _encode_without_surrogates(value: Any) -> bytes:
    plain = msgspec.to_builtins(value, str_keys=True, enc_hook=_encode_subclass)
    return _encode(mend_values(plain))


def _encode_part(value: Any) -> bytes:
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode_without_surrogates(value)
