"""WebSocket frames as a client writes and reads them (RFC 6455, section 5.2).

Fragments and extensions are not supported, as the servers here use neither.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


class Frame(NamedTuple):
    """A frame from the server; ``raw`` is the whole frame with its header."""

    opcode: int
    payload: bytes
    raw: bytes


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a frame with a new random mask, as required of clients."""
    length = len(payload)
    if length < 126:
        header = bytes((0x80 | opcode, 0x80 | length))
    else:
        header = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
    mask = os.urandom(4)
    return header + mask + apply_mask(payload, mask)


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask a payload, all bytes at once as two long integers."""
    length = len(payload)
    repeated = (mask * (length // 4 + 1))[:length]
    masked = int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")
    return masked.to_bytes(length, "little")


def split_frames(data: bytes) -> tuple[list[Frame], bytes]:
    """Return the complete frames at the beginning of a server's data, and the rest."""
    frames = []
    begin = 0
    while len(data) - begin >= 2:
        length = data[begin + 1]
        body = begin + 2
        if length == 126:
            body += 2
            length = int.from_bytes(data[begin + 2 : body], "big")
        elif length == 127:
            body += 8
            length = int.from_bytes(data[begin + 2 : body], "big")
        end = body + length
        if len(data) < end:
            break
        frames.append(Frame(data[begin] & 0x0F, data[body:end], data[begin:end]))
        begin = end
    return frames, data[begin:]
