"""Frames: what one node publishes for another, or for all, in one round.

::

    [MAC]  [version, sender, to, seq, after, [item, ...]]       msgpack

``seq`` rises with each frame of the sender, and ``after`` is the ``seq`` of the frame before it
on the same way, 0 for the first: the receiver sees gaps, and repetitions (:mod:`.streams`).
The MAC is there when the cluster has a key: a keyed BLAKE2b of the rest. ``to`` is in it, so a
frame cannot be sent on to another node.

Incoming frames are untrusted: every program that may publish in Redis can send them, and a newer
version of this package may. :class:`BadFrame` tells what is wrong with a frame. Versions:

* A newer package may append fields to items, and have items of new kinds. Fields at the end are
  ignored. Items that are not known are left out, and counted; the others of the frame are good.
* A frame of another ``VERSION`` is not read. That would be for a change that cannot be ignored.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, List, Sequence, Union

import msgspec

from ..core.cluster.items import AnyItem, Item
from ..core.errors import ProtooError
from ..core.excerpts import excerpt, excerpt_of

VERSION = 1

#: Bytes of a MAC: nobody finds one of 128 bits by trying.
MAC_SIZE = 16


class Escaped(Item, tag=100):
    """An item whose text has half of a surrogate pair, as JSON: msgpack cannot have it."""

    text: str


class Goodbye(Item, tag=101):
    """The sender has left."""


class Hello(Item, tag=102):
    """The sender has joined, or is back."""


_AnyItem = Union[AnyItem, Escaped, Goodbye, Hello]


class Frame(msgspec.Struct, array_like=True, gc=False):
    """A frame, read.

    :ivar version: see above.
    :ivar sender: a node.
    :ivar to: a node; empty: all.
    """

    version: int
    sender: str
    to: str
    seq: int
    after: int
    items: List[_AnyItem]


class _RawFrame(msgspec.Struct, array_like=True):
    """A frame whose items are not read."""

    version: int
    sender: str
    to: str
    seq: int
    after: int
    items: List[msgspec.Raw]


class BadFrame(ProtooError):
    """A frame that is not read.

    :ivar subject: what the log tells once for.
    """

    def __init__(self, subject: object, text: str) -> None:
        super().__init__(text)
        self.subject = subject


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode
_decode_raw = msgspec.msgpack.Decoder(_RawFrame).decode
_decode_item = msgspec.msgpack.Decoder(_AnyItem).decode
_decode_any = msgspec.msgpack.Decoder().decode


class FrameCodec:
    """Writes and reads frames.

    :param key: the secret of the cluster; empty: frames have no MAC.
    """

    def __init__(self, key: str | bytes = b"") -> None:
        secret = key.encode() if isinstance(key, str) else key
        self._state: Any = None
        if secret:
            # Of any length; BLAKE2b takes 64 bytes.
            short = hashlib.blake2b(secret, person=b"protoo-cluster").digest()
            self._state = hashlib.blake2b(key=short, digest_size=MAC_SIZE, person=b"protoo-frame")

    def encode(self, sender: str, to: str, seq: int, after: int, items: Sequence[Any]) -> bytes:
        """Return a frame as bytes."""
        frame = (VERSION, sender, to, seq, after, items)
        try:
            data = _encode(frame)
        except UnicodeEncodeError:
            data = _encode((*frame[:-1], [_escape(item) for item in items]))
        return data if self._state is None else self._sign(data) + data

    def decode(self, data: bytes) -> tuple[Frame, int]:
        """Read a frame; returns how many of its items are left out, too.

        :param data: untrusted.
        :raises BadFrame:
        """
        if self._state is not None:
            mac, data = data[:MAC_SIZE], data[MAC_SIZE:]
            if not hmac.compare_digest(mac, self._sign(data)):
                raise BadFrame(
                    "mac",
                    "a frame of the cluster's bus has a wrong MAC. Either PROTOO_CLUSTER_KEY is "
                    "not the same everywhere, or somebody forges frames",
                )
        try:
            frame = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return _decode_slowly(data)
        if frame.version != VERSION:
            raise _of_another_version(frame.version, frame.sender)
        for item in frame.items:
            if type(item) is Escaped:
                return _unescape(frame)
        return frame, 0

    def _sign(self, data: bytes) -> bytes:
        state = self._state.copy()
        state.update(data)
        mac: bytes = state.digest()
        return mac


def _decode_slowly(data: bytes) -> tuple[Frame, int]:
    """Read what can be read of a frame."""
    try:
        raw = _decode_raw(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _explain(data, error) from error
    if raw.version != VERSION:
        raise _of_another_version(raw.version, raw.sender)
    items: list[Any] = []
    for item in raw.items:
        try:
            items.append(_decode_item(item))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    left_out = len(raw.items) - len(items)
    frame, more = _unescape(Frame(raw.version, raw.sender, raw.to, raw.seq, raw.after, items))
    return frame, left_out + more


def _explain(data: bytes, error: Exception) -> BadFrame:
    """Tell what something is that is not a frame."""
    try:
        found = _decode_any(data)
    except Exception:  # noqa: BLE001 (untrusted bytes: some fail in ways of their own)
        found = None
    if isinstance(found, list) and found and type(found[0]) is int and found[0] != VERSION:
        return _of_another_version(found[0], found[1] if len(found) > 1 else None)
    # Bytes in front of a frame are its MAC.
    with_mac = data[MAC_SIZE : MAC_SIZE + 2]
    if len(with_mac) == 2 and with_mac[0] == 0x90 | len(_RawFrame.__struct_fields__):
        return BadFrame(
            "key",
            "a frame of the cluster's bus has a MAC, and this process has no PROTOO_CLUSTER_KEY. "
            "It must be the same everywhere",
        )
    return BadFrame(
        "garbage",
        f"something on the cluster's bus is not a frame: {excerpt_of(data[:40])} "
        f"({excerpt(str(error))}). Does another program use PROTOO_CLUSTER_PREFIX?",
    )


def _of_another_version(version: int, sender: object) -> BadFrame:
    shown = excerpt(sender) if isinstance(sender, str) else excerpt_of(sender)
    return BadFrame(
        ("version", version),
        f"a frame of node {shown} has version {excerpt_of(version)}, and this process reads "
        f"version {VERSION}: the processes of a cluster must run versions of protoo_flask that "
        "understand each other",
    )


def _escape(item: Any) -> Any:
    """Return the item itself, if msgpack can have it."""
    try:
        _encode(item)
    except UnicodeEncodeError:
        return Escaped(json.dumps(msgspec.to_builtins(item)))
    return item


def _unescape(frame: Frame) -> tuple[Frame, int]:
    items: list[Any] = []
    for item in frame.items:
        if type(item) is not Escaped:
            items.append(item)
            continue
        try:
            items.append(msgspec.convert(json.loads(item.text), AnyItem))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
    left_out = len(frame.items) - len(items)
    frame.items = items
    return frame, left_out
