"""WebSocket frames (RFC 6455 section 5): bytes to messages and back.

Sans I/O: :meth:`FrameCodec.receive` takes the bytes of one read from the socket, and
returns the messages that are complete. A violation does not raise, because the messages
before it in the same bytes still count. It is kept in :attr:`FrameCodec.error`, and
nothing is decoded after it.

``fast_frames`` has the codec that connections use.
"""

from __future__ import annotations

import codecs
import struct
from typing import Callable, NamedTuple, Tuple

from ...core.close_codes import (
    INVALID_DATA,
    NO_STATUS,
    PROTOCOL_ERROR,
    TOO_BIG,
)
from ...core.wire.surrogates import mend_string

CONTINUATION, TEXT, BINARY = 0x0, 0x1, 0x2
CLOSE, PING, PONG = 0x8, 0x9, 0xA

#: A complete message or control frame: its opcode and its unmasked payload.
Item = Tuple[int, bytes]

#: Frames that are decoded at a time, and the bytes of their messages: some tenths of a millisecond,
#: although a read may have thousands of frames, and a compressed message is longer than its frame.
MAX_FRAMES = 64
MAX_DECODED = 64 * 1024

#: Bytes of the longest message that is short. Reading it takes at most a millisecond.
MAX_SHORT = 8 * 1024

#: More bytes than there will ever be: nothing is decoded any more.
_NEVER = 1 << 62

#: The headers of short text messages, by length.
_TEXT_HEADERS = [bytes((0x80 | TEXT, length)) for length in range(126)]

_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class FrameError(NamedTuple):
    """Why the connection must be closed, and with which code."""

    code: int
    reason: str


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Write one whole, unmasked frame, as servers send them."""
    length = len(payload)
    if length < 126:
        if opcode == TEXT:
            return _TEXT_HEADERS[length] + payload
        return bytes((0x80 | opcode, length)) + payload
    if length < 65536:
        return struct.pack("!BBH", 0x80 | opcode, 126, length) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, length) + payload


def close_payload(code: int, reason: str = "") -> bytes:
    """Return the payload of a Close frame; the reason is cut to the 123 bytes that fit."""
    if code == NO_STATUS:
        return b""
    text = mend_string(reason).encode("utf-8")[:123].decode("utf-8", "ignore").encode("utf-8")
    return struct.pack("!H", code) + text


def decode_close(payload: bytes) -> tuple[int, str]:
    """Read the payload of a Close frame.

    :raises ValueError: with a :class:`FrameError` as its argument.
    """
    if not payload:
        return NO_STATUS, ""
    if len(payload) == 1:
        raise ValueError(FrameError(PROTOCOL_ERROR, "a close code has two bytes"))
    code = int(struct.unpack("!H", payload[:2])[0])
    # 1004-1006 and 1015 are never sent; 1012-1014 were registered after the RFC.
    if not (code in (1000, 1001, 1002, 1003) or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise ValueError(FrameError(PROTOCOL_ERROR, f"{code} is not a close code"))
    try:
        return code, payload[2:].decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(FrameError(INVALID_DATA, "the close reason is not UTF-8")) from None


def unmask(payload: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """Apply the mask of a client's frame (RFC 6455 section 5.3).

    As one XOR of two big integers, which is the fastest way without compiled code.
    """
    length = len(payload)
    key = (mask * (length // 4 + 1))[:length]
    value = int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")
    return value.to_bytes(length, "little")


class FrameCodec:
    """Decodes the bytes of a client, and encodes messages for the client.

    :param max_message_size: bytes, inclusive; the fragments of a message are summed.
    :ivar error: the first violation, after which nothing is decoded.
    :ivar has_more: whether :meth:`receive` has left complete frames to its next call.
    """

    __slots__ = ("_buffer", "_fragments", "_kind", "_max", "_needed", "_utf8", "error", "has_more")

    #: ``unmask(payload, mask)`` for the frames of this codec.
    unmask: Callable[[bytes | bytearray, bytes | bytearray], bytes] = staticmethod(unmask)

    def __init__(self, max_message_size: int) -> None:
        self.error: FrameError | None = None
        self.has_more = False
        self._max = max_message_size
        self._buffer = bytearray()
        self._needed = 2  # no frame is complete with fewer bytes in the buffer
        self._kind = 0  # the opcode of the fragmented message that is arriving, or 0
        self._fragments: bytearray | None = None
        self._utf8: codecs.IncrementalDecoder | None = None

    def receive(self, data: bytes) -> list[Item]:
        """Take the bytes of a read, untrusted; return the complete messages, in order.

        If there are many, the first of them; :attr:`has_more` is true then. An empty read returns
        the next.
        """
        items: list[Item] = []
        self.has_more = False
        if self._needed == _NEVER:
            return items
        buffer = self._buffer
        buffer += data
        start = frames = decoded = 0
        while len(buffer) - start >= self._needed:
            if frames == MAX_FRAMES or decoded >= MAX_DECODED:
                self.has_more = True
                break
            end = self._find_end(buffer, start)
            if end == 0:
                break
            item = self._decode_frame(buffer, start, end)
            start = end
            frames += 1
            if item is not None:
                items.append(item)
                decoded += len(item[1])
                if item[0] == CLOSE:
                    # Nothing that follows a Close frame is processed (section 5.5.1).
                    self._needed = _NEVER
        if self._needed == _NEVER:
            buffer.clear()
        else:
            del buffer[:start]
        return items

    def is_between_messages(self) -> bool:
        """Whether nothing of a message has arrived, and more will be decoded."""
        return not (self._buffer or self._kind or self._needed == _NEVER)

    def read_text(self, data: bytes) -> bytes | None:
        """Read a text message without :meth:`receive`, if there is a faster way; else ``None``."""
        return None

    #: ``encode(opcode, payload)``; text is given as UTF-8. It needs no state of the codec.
    encode = staticmethod(encode_frame)

    def _find_end(self, buffer: bytearray, start: int) -> int:
        """Return where the frame at ``start`` ends, or 0 when it is not all there."""
        have = len(buffer) - start
        length = buffer[start + 1] & 0x7F
        header = 6 if length < 126 else 8 if length == 126 else 14
        self._needed = header
        if have < header:
            # A violation in the first two bytes is reported without waiting for more.
            self._check_start(buffer[start], buffer[start + 1])
            return 0
        if length == 126:
            (length,) = struct.unpack_from("!H", buffer, start + 2)
            minimal = length >= 126
        elif length == 127:
            (length,) = struct.unpack_from("!Q", buffer, start + 2)
            minimal = 65536 <= length < 1 << 63
        else:
            minimal = True
        if not self._check_start(buffer[start], buffer[start + 1]):
            return 0
        if not minimal:
            return self._fail(PROTOCOL_ERROR, "the length is not written in its shortest form")
        so_far = len(self._fragments) if self._fragments is not None else 0
        if buffer[start] & 0x8 == 0 and so_far + length > self._max:
            return self._fail(TOO_BIG, f"a message has at most {self._max} bytes")
        self._needed = header + length
        if have < self._needed:
            return 0
        end = start + self._needed
        self._needed = 2
        return end

    def _check_start(self, first: int, second: int) -> bool:
        """Check the first two bytes of a frame."""
        opcode = first & 0x0F
        problem = None
        if first & 0x70:
            problem = "a reserved bit is set, but no extension was agreed on"
        elif opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            problem = f"{opcode} is not an opcode"
        elif not second & 0x80:
            problem = "a client masks its frames"
        elif opcode & 0x8 and not (first & 0x80 and second & 0x7F < 126):
            problem = "a control frame is whole and has at most 125 bytes"
        elif opcode == CONTINUATION and not self._kind:
            problem = "there is no message to continue"
        elif opcode in (TEXT, BINARY) and self._kind:
            problem = "the message before is not finished"
        if problem is not None:
            self._fail(PROTOCOL_ERROR, problem)
        return problem is None

    def _decode_frame(self, buffer: bytearray, start: int, end: int) -> Item | None:
        first = buffer[start]
        short = buffer[start + 1] & 0x7F
        body = start + (6 if short < 126 else 8 if short == 126 else 14)
        payload = self.unmask(buffer[body:end], buffer[body - 4 : body])
        opcode = first & 0x0F
        if opcode & 0x8:
            return opcode, payload
        if first & 0x80 and opcode:
            if opcode == TEXT and not is_utf8(payload):
                self._fail(INVALID_DATA, "a text message is UTF-8")
                return None
            return opcode, payload
        return self._add_fragment(opcode, payload, last=bool(first & 0x80))

    def _add_fragment(self, opcode: int, payload: bytes, last: bool) -> Item | None:
        if opcode:
            self._kind = opcode
            self._fragments = bytearray()
            self._utf8 = _utf8_decoder() if opcode == TEXT else None
        assert self._fragments is not None
        self._fragments += payload
        if self._utf8 is not None:
            try:
                # Checked fragment by fragment: a long message fails at its first bad byte.
                self._utf8.decode(payload, last)
            except UnicodeDecodeError:
                self._fail(INVALID_DATA, "a text message is UTF-8")
                return None
        if not last:
            return None
        item = self._kind, bytes(self._fragments)
        self._kind = 0
        self._fragments = self._utf8 = None
        return item

    def _fail(self, code: int, reason: str) -> int:
        self.error = FrameError(code, reason)
        self._needed = _NEVER
        return 0


def is_utf8(payload: bytes) -> bool:
    if payload.isascii():
        return True
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
