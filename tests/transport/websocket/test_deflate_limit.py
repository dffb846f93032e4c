"""The bytes that one read of compressed messages may become."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest

from protoo_flask.transport.channel import READ_SIZE
from protoo_flask.transport.websocket.deflate import MAX_INFLATED

from ..wire import CLOSE, PING, TEXT, frame
from .streams import receive_all
from .test_deflate import RSV1, compressed, deflate, make_codec

#: The default of PROTOO_MAX_MESSAGE_SIZE.
SIZE = 65536


def messages(count: int) -> bytes:
    """Return frames of the same large message, each of some 70 bytes."""
    compressor = zlib.compressobj(wbits=-15)
    body = b"x" * SIZE
    return b"".join(frame(TEXT, deflate(body, compressor), rsv=RSV1) for _ in range(count))


def test_one_read_may_inflate_to_the_limit():
    codec = make_codec(limit=SIZE)
    items = receive_all(codec, messages(MAX_INFLATED // SIZE))
    assert (len(items), codec.error) == (MAX_INFLATED // SIZE, None)


def test_one_read_that_inflates_to_more_is_a_violation():
    codec = make_codec(limit=SIZE)
    items = receive_all(codec, messages(MAX_INFLATED // SIZE + 1) + frame(PING, b"after"))
    assert len(items) == MAX_INFLATED // SIZE
    assert codec.error.code == 1008
    assert "compressed" in codec.error.reason
    assert receive_all(codec, frame(TEXT, b"{}")) == []


def test_each_read_counts_anew():
    codec = make_codec(limit=SIZE)
    half = MAX_INFLATED // SIZE // 2 + 1
    stream = messages(2 * half)
    middle = len(messages(half))
    assert len(receive_all(codec, stream[:middle])) == half
    assert len(receive_all(codec, stream[middle:])) == half
    assert codec.error is None


def test_one_message_may_always_be_as_large_as_the_site_allows():
    codec = make_codec(limit=2 * MAX_INFLATED)
    body = b"x" * (2 * MAX_INFLATED)
    assert len(receive_all(codec, compressed(body))) == 1
    assert codec.error is None


def test_messages_that_are_not_compressed_do_not_count():
    codec = make_codec(limit=SIZE)
    stream = frame(TEXT, b"x" * SIZE) * (MAX_INFLATED // SIZE + 2)
    assert len(receive_all(codec, stream)) == MAX_INFLATED // SIZE + 2
    assert codec.error is None


@pytest.mark.parametrize("last", [b"", frame(CLOSE, b"")])
def test_a_read_takes_no_more_memory_than_the_limit(last):
    codec = make_codec(limit=SIZE)
    stream = (messages(1000) + last)[:READ_SIZE]
    tracemalloc.start()
    try:
        receive_all(codec, stream)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * MAX_INFLATED
