"""Frames with permessage-deflate (RFC 7692), for sites that set ``PROTOO_COMPRESSION``.

It is off by default: the zlib state of a connection is some 300 KiB, and small JSON
gains nothing.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

from ...core.close_codes import INVALID_DATA, POLICY_VIOLATION, TOO_BIG
from .fast_frames import FastFrameCodec
from .frames import BINARY, TEXT, Item, encode_frame, is_utf8

EXTENSION = "permessage-deflate"

#: The first reserved bit of a frame says that its message is compressed (section 6).
RSV1 = 0x40

#: The last bytes of each compressed message; they are not sent (section 7.2.1).
TAIL = b"\x00\x00\xff\xff"

#: Bytes to which the messages of one read may be inflated together. A read has 16 KiB, so only
#: messages that are nearly all repetition come to the limit: 64 times their size. Without a
#: limit, a read could become 15 MiB of messages at once, in front of a handler that blocks.
MAX_INFLATED = 1024 * 1024

#: How a parameter may name the size of a window (section 7.1.2).
WINDOW_BITS = tuple(str(bits) for bits in range(8, 16))


class Agreement(NamedTuple):
    """The parameters of the extension for one client.

    :ivar header: for ``Sec-WebSocket-Extensions``.
    :ivar keep_outgoing: whether messages to the client may refer to earlier ones.
    :ivar keep_incoming: whether messages from the client may.
    :ivar window_bits: messages to the client may refer back 2**window_bits bytes.
    """

    header: str
    keep_outgoing: bool
    keep_incoming: bool
    window_bits: int


def negotiate(offers: str, max_message_size: int) -> tuple[str, DeflateCodec] | None:
    """Agree on permessage-deflate when the client offers it.

    :param offers: the client's ``Sec-WebSocket-Extensions``, untrusted.
    :returns: the header to answer with, and the codec; ``None`` without an agreement.
    """
    for offer in offers.split(","):
        agreement = _accept(offer)
        if agreement is not None:
            return agreement.header, DeflateCodec(agreement, max_message_size)
    return None


def _accept(offer: str) -> Agreement | None:
    """Accept an offer, or decline it if a parameter is not in section 7.1."""
    name, *rest = [part.strip() for part in offer.split(";")]
    if name != EXTENSION:
        return None
    header = [EXTENSION]
    parameters: dict[str, str] = {}
    for part in rest:
        key, _, value = part.partition("=")
        key, value = key.strip(), value.strip().strip('"')
        if key in parameters or not _is_parameter(key, value):
            return None
        parameters[key] = value
        if key != "client_max_window_bits":
            header.append(f"{key}={value}" if value else key)
    return Agreement(
        "; ".join(header),
        keep_outgoing="server_no_context_takeover" not in parameters,
        keep_incoming="client_no_context_takeover" not in parameters,
        window_bits=int(parameters.get("server_max_window_bits", zlib.MAX_WBITS)),
    )


def _is_parameter(key: str, value: str) -> bool:
    if key in ("server_no_context_takeover", "client_no_context_takeover"):
        return not value
    if key == "server_max_window_bits":
        # zlib cannot write for a window of 8 bits.
        return value in WINDOW_BITS and value != "8"
    # A hint that needs no answer: every window that a client may use can be read.
    return key == "client_max_window_bits" and value in ("", *WINDOW_BITS)


class DeflateCodec(FastFrameCodec):
    """As :class:`~.fast_frames.FastFrameCodec`, with compression.

    :param max_message_size: bytes of an inflated message, inclusive.
    """

    __slots__ = ("_agreement", "_compressed", "_deflater", "_inflated", "_inflater")

    def __init__(self, agreement: Agreement, max_message_size: int) -> None:
        super().__init__(max_message_size)
        self._agreement = agreement
        self._compressed = 0  # the opcode of the compressed message that is coming, or 0
        self._deflater: Any = None
        self._inflater: Any = None
        #: Bytes that the compressed messages of this read have become.
        self._inflated = 0

    def receive(self, data: bytes) -> list[Item]:
        if data:  # and not the next portion of the same read
            self._inflated = 0
        return super().receive(data)

    def encode(self, opcode: int, payload: bytes) -> bytes:
        """Return the frame of a message, or of a control frame, which is never compressed."""
        if opcode != TEXT:
            return encode_frame(opcode, payload)
        deflater = self._deflater or zlib.compressobj(wbits=-self._agreement.window_bits)
        if self._agreement.keep_outgoing:
            self._deflater = deflater
        data = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
        return encode_frame(RSV1 | TEXT, data[: -len(TAIL)])

    def _check_start(self, first: int, second: int) -> bool:
        if first & RSV1 and first & 0x0F in (TEXT, BINARY):
            first ^= RSV1
        return super()._check_start(first, second)

    def _decode_frame(self, buffer: bytearray, start: int, end: int) -> Item | None:
        if buffer[start] & RSV1:
            self._compressed = buffer[start] & 0x0F
            # Its payload is not text before it is inflated.
            buffer[start] = buffer[start] & 0x80 | BINARY
        item = super()._decode_frame(buffer, start, end)
        if item is None or not self._compressed or item[0] != BINARY:
            return item
        opcode, self._compressed = self._compressed, 0
        payload = self._inflate(item[1])
        if payload is None:
            return None
        if opcode == TEXT and not is_utf8(payload):
            self._fail(INVALID_DATA, "a text message is UTF-8")
            return None
        return opcode, payload

    def _inflate(self, data: bytes) -> bytes | None:
        inflater = self._inflater or zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # At most one byte too many: a few compressed bytes may stand for gigabytes.
            payload: bytes = inflater.decompress(data + TAIL, self._max + 1)
        except zlib.error:
            self._fail(INVALID_DATA, "the message cannot be inflated")
            return None
        if len(payload) > self._max:
            self._fail(TOO_BIG, f"a message has at most {self._max} bytes")
            return None
        if self._inflated and self._inflated + len(payload) > MAX_INFLATED:
            self._fail(POLICY_VIOLATION, "too much in compressed messages at once")
            return None
        self._inflated += len(payload)
        # A message may end in a final block, followed by an empty one (section 7.2.3.5);
        # the next message begins anew.
        if len(inflater.unused_data) > len(TAIL) + 1:
            self._fail(INVALID_DATA, "nothing follows a final block")
            return None
        keep = self._agreement.keep_incoming and not inflater.eof
        self._inflater = inflater if keep else None
        return payload
