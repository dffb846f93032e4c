"""Frames: a table of cases, and close frames. ``test_frames_against_wsproto`` has the rest."""

from __future__ import annotations

import struct
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType

from protoo_flask.transport.websocket import frames
from protoo_flask.transport.websocket.frames import (
    FrameCodec,
    FrameError,
    close_payload,
    decode_close,
)

from ..wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_frame, frame
from .streams import LIMIT, decode_in_pieces, masks

EURO = "€".encode()


def decode(data: bytes, limit: int = LIMIT) -> tuple[list[Any], int | None]:
    """Return the items in ``data``, and the code of the violation that follows them."""
    codec = FrameCodec(limit)
    items = codec.receive(data)
    return items, codec.error.code if codec.error else None


LEGAL = {
    "nothing": (b"", []),
    "empty text": (frame(TEXT), [(TEXT, b"")]),
    "text": (frame(TEXT, b"{}"), [(TEXT, b"{}")]),
    "text of 4 bytes in UTF-8": (frame(TEXT, "😀".encode()), [(TEXT, "😀".encode())]),
    "binary": (frame(BINARY, b"\xff\x00"), [(BINARY, b"\xff\x00")]),
    "a mask of zeros": (frame(TEXT, b"{}", mask=bytes(4)), [(TEXT, b"{}")]),
    "125 bytes": (frame(TEXT, b"x" * 125), [(TEXT, b"x" * 125)]),
    "126 bytes": (frame(TEXT, b"x" * 126), [(TEXT, b"x" * 126)]),
    "127 bytes": (frame(TEXT, b"x" * 127), [(TEXT, b"x" * 127)]),
    "65535 bytes": (frame(BINARY, b"x" * 65535), [(BINARY, b"x" * 65535)]),
    "65536 bytes": (frame(BINARY, b"x" * 65536), [(BINARY, b"x" * 65536)]),
    "ping": (frame(PING, b"a" * 125), [(PING, b"a" * 125)]),
    "empty pong": (frame(PONG), [(PONG, b"")]),
    "empty close": (frame(CLOSE), [(CLOSE, b"")]),
    "two messages": (frame(TEXT, b"1") + frame(TEXT, b"2"), [(TEXT, b"1"), (TEXT, b"2")]),
    "two fragments": (frame(TEXT, b"{", fin=False) + frame(CONTINUATION, b"}"), [(TEXT, b"{}")]),
    "empty fragments": (
        frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION),
        [(TEXT, b"")],
    ),
    "a character cut in two": (
        frame(TEXT, EURO[:1], fin=False)
        + frame(CONTINUATION, EURO[1:2], fin=False)
        + frame(CONTINUATION, EURO[2:]),
        [(TEXT, EURO)],
    ),
    "control frames between fragments": (
        frame(BINARY, b"a", fin=False)
        + frame(PING, b"p")
        + frame(CONTINUATION, b"b", fin=False)
        + frame(PONG, b"q")
        + frame(CONTINUATION, b"c"),
        [(PING, b"p"), (PONG, b"q"), (BINARY, b"abc")],
    ),
    "a fragmented message after another": (
        (frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b")) * 2 + frame(TEXT, b"c"),
        [(TEXT, b"ab"), (TEXT, b"ab"), (TEXT, b"c")],
    ),
    "close inside a fragmented message": (
        frame(TEXT, b"a", fin=False) + close_frame(1000),
        [(CLOSE, b"\x03\xe8")],
    ),
    "after a close nothing is decoded": (
        close_frame(1000) + frame(TEXT, b"late") + frame(3) + close_frame(1001),
        [(CLOSE, b"\x03\xe8")],
    ),
    "half a header": (b"\x81", []),
    "half a frame": (frame(TEXT, b"{}")[:-1], []),
}


@pytest.mark.parametrize(("data", "items"), LEGAL.values(), ids=LEGAL.keys())
@pytest.mark.parametrize("size", [1, 2, 3, 1000, 1_000_000], ids="{} at a time".format)
def test_legal_frames_are_decoded_however_they_are_cut(data, items, size):
    assert decode_in_pieces(data, [size] * (len(data) // size)) == (items, None)


ILLEGAL = {
    "first reserved bit": (frame(TEXT, rsv=4), 1002),
    "second reserved bit": (frame(TEXT, rsv=2), 1002),
    "third reserved bit": (frame(PING, rsv=1), 1002),
    "not masked": (frame(TEXT, b"{}", mask=None), 1002),
    "control frame not masked": (frame(CLOSE, mask=None), 1002),
    **{f"opcode {n}": (frame(n), 1002) for n in (*range(3, 8), *range(11, 16))},
    "fragmented ping": (frame(PING, fin=False), 1002),
    "fragmented close": (frame(CLOSE, fin=False), 1002),
    "ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "ping with a long length": (frame(PING, b"x", size=2), 1002),
    "close of 126 bytes": (frame(CLOSE, b"\x03\xe8" + b"x" * 124), 1002),
    "nothing to continue": (frame(CONTINUATION, b"x"), 1002),
    "a new message in a message": (frame(TEXT, fin=False) + frame(TEXT), 1002),
    "a new message of another kind": (frame(TEXT, fin=False) + frame(BINARY, fin=False), 1002),
    "125 bytes in two bytes of length": (frame(TEXT, b"x" * 125, size=2), 1002),
    "65535 bytes in eight bytes of length": (frame(BINARY, b"x" * 65535, size=8), 1002),
    "a negative length": (struct.pack("!BBQ", 0x82, 0xFF, 1 << 63) + b"mask", 1002),
    "not UTF-8": (frame(TEXT, b"\xff"), 1007),
    "overlong UTF-8": (frame(TEXT, b"\xc0\xaf"), 1007),
    "a surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "beyond Unicode": (frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
    "half a character": (frame(TEXT, EURO[:2]), 1007),
    "half a character in fragments": (
        frame(TEXT, EURO[:1], fin=False) + frame(CONTINUATION, EURO[1:2]),
        1007,
    ),
    "not UTF-8 in a first fragment": (frame(TEXT, b"\xff", fin=False), 1007),
    "one byte too many": (frame(BINARY, b"x" * (LIMIT + 1)), 1009),
    "one byte too many in fragments": (
        frame(BINARY, b"x" * LIMIT, fin=False) + frame(CONTINUATION, b"x"),
        1009,
    ),
}


@pytest.mark.parametrize(("data", "code"), ILLEGAL.values(), ids=ILLEGAL.keys())
@pytest.mark.parametrize("size", [1, 7, 1_000_000], ids="{} at a time".format)
def test_a_violation_is_found_and_nothing_is_decoded_after_it(data, code, size):
    data = frame(PING, b"before") + data + frame(TEXT, b"after")
    assert decode_in_pieces(data, [size] * (len(data) // size)) == ([(PING, b"before")], code)


@pytest.mark.parametrize("first", [b"\xc1\x80", b"\x83\x80", b"\x81\x00", b"\x09\x80", b"\x80\x80"])
def test_two_bytes_are_enough_to_find_a_violation_in_them(first):
    assert decode(first) == ([], 1002)


def test_a_message_that_is_too_big_is_refused_before_it_arrives():
    header = struct.pack("!BBQ", 0x81, 0xFF, 1 << 40) + b"mask"
    assert decode(header) == ([], 1009)
    assert decode(frame(TEXT, b"x" * 60, fin=False) + b"\x80\xa8mask", limit=100) == ([], None)
    assert decode(frame(TEXT, b"x" * 60, fin=False) + b"\x80\xa9mask", limit=100) == ([], 1009)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_the_limit_is_inclusive(parts):
    def message(size: int) -> bytes:
        sizes = [size // parts] * (parts - 1)
        sizes.append(size - sum(sizes))
        return b"".join(
            frame(CONTINUATION if i else TEXT, b"x" * n, fin=i == parts - 1) + frame(PONG)
            for i, n in enumerate(sizes)
        )

    items, code = decode(message(100) * 2, limit=100)
    assert [payload for opcode, payload in items if opcode == TEXT] == [b"x" * 100] * 2
    assert code is None
    assert decode(message(101), limit=100)[1] == 1009


def test_a_control_frame_does_not_count_towards_the_limit():
    data = frame(TEXT, b"x" * 10, fin=False) + frame(PING, b"y" * 125) + frame(CONTINUATION)
    assert decode(data, limit=10) == ([(PING, b"y" * 125), (TEXT, b"x" * 10)], None)


def test_a_violation_gives_its_reason():
    codec = FrameCodec(100)
    codec.receive(frame(3))
    assert codec.error == FrameError(1002, "3 is not an opcode")


def test_decoding_is_linear_in_the_size_of_a_message():
    size = 40_000_000
    data = struct.pack("!BBQ", 0x82, 0xFF, size) + b"mask" + bytes(size)
    codec = FrameCodec(size)
    items: list[Any] = []
    start = time.thread_time()
    for i in range(0, len(data), 4096):
        items += codec.receive(data[i : i + 4096])
    # Well below a second; were the buffer copied for each piece, minutes.
    assert time.thread_time() - start < 10
    assert [len(payload) for _, payload in items] == [size]


def test_buffers_do_not_stay_large_after_a_large_message():
    codec = FrameCodec(1 << 20)
    for piece in (frame(TEXT, b"x" * 500_000, fin=False), frame(CONTINUATION, b"x" * 500_000)):
        codec.receive(piece)
    assert codec._buffer.__sizeof__() < 1000
    assert codec._fragments is None


# Encoding -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 100_000])
def test_wsproto_reads_encoded_frames(size):
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(FrameCodec(100).encode(TEXT, b"x" * size))
    received = "".join(event.data for event in client.events())
    assert received == "x" * size


@pytest.mark.parametrize("size", [125, 126, 65535, 65536])
def test_the_length_is_written_in_its_shortest_form(size):
    overhead = len(frames.encode_frame(BINARY, b"x" * size)) - size
    assert overhead == (2 if size < 126 else 4 if size < 65536 else 10)


@given(payload=st.binary(max_size=300), mask=masks)
@settings(database=None)
def test_unmasking_is_masking(payload, mask):
    sent = frame(BINARY, payload, mask=mask)
    masked = sent[len(sent) - len(payload) :]
    assert frames.unmask(masked, mask) == payload
    assert frames.unmask(bytearray(masked), bytearray(mask)) == payload


def test_the_plain_codec_has_no_shortcut():
    assert FrameCodec(LIMIT).read_text(frame(TEXT, b"{}")) is None


# Close frames --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1008, 1011, 1014, 3000, 3999, 4999])
def test_a_close_code_and_its_reason_are_read_as_written(code):
    assert decode_close(close_payload(code, "é")) == (code, "é")


def test_a_close_frame_may_be_empty():
    assert decode_close(b"") == (1005, "")
    assert close_payload(1005) == b""


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_a_close_code_that_is_never_sent_is_a_violation(code):
    with pytest.raises(ValueError, match=f"{code} is not a close code") as caught:
        decode_close(struct.pack("!H", code))
    assert caught.value.args[0].code == 1002


def test_a_broken_close_frame_is_a_violation():
    with pytest.raises(ValueError, match="two bytes") as caught:
        decode_close(b"\x03")
    assert caught.value.args[0].code == 1002
    with pytest.raises(ValueError, match="not UTF-8") as caught:
        decode_close(b"\x03\xe8\xff")
    assert caught.value.args[0].code == 1007


def test_a_lone_surrogate_in_a_reason_is_written_as_u_fffd():
    assert decode_close(close_payload(1000, "half \ud83d!")) == (1000, "half \ufffd!")


@pytest.mark.parametrize("reason", ["x" * 500, "é" * 61 + "xé", "€" * 41 + "x", "😀" * 100])
def test_a_long_reason_is_cut_between_characters(reason):
    payload = close_payload(1008, reason)
    assert len(payload) <= 125
    assert len(payload) >= 125 - 3
    assert reason.startswith(decode_close(payload)[1])
