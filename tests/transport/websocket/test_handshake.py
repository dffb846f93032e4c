"""The opening handshake (RFC 6455 section 4.2)."""

from __future__ import annotations

from typing import Any

import pytest

from protoo_flask.core.wire.dialect import PROTOO, ProtooDialect
from protoo_flask.transport.websocket.deflate import DeflateCodec
from protoo_flask.transport.websocket.fast_frames import FastFrameCodec
from protoo_flask.transport.websocket.handshake import (
    Handshake,
    HandshakeError,
    negotiate_handshake,
    serialize_handshake,
)

#: The example of RFC 6455 section 1.3.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def make_environ(**headers: str | None) -> dict[str, Any]:
    """Return the environ of a good handshake, changed; ``None`` takes a header away."""
    environ = {
        "REQUEST_METHOD": "GET",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_KEY": KEY,
        "HTTP_SEC_WEBSOCKET_PROTOCOL": "protoo",
    }
    for name, value in headers.items():
        key = name if name in environ else f"HTTP_SEC_WEBSOCKET_{name}"
        environ[key] = value
    return {key: value for key, value in environ.items() if value is not None}


def negotiate(compression: bool = False, **headers: str | None) -> Handshake:
    return negotiate_handshake(
        make_environ(**headers), compression=compression, max_message_size=100
    )


def refuse(**headers: str | None) -> HandshakeError:
    with pytest.raises(HandshakeError) as caught:
        negotiate(**headers)
    return caught.value


def test_the_example_of_the_rfc_is_answered_as_there():
    assert negotiate().headers == [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", ACCEPT),
        ("Sec-WebSocket-Protocol", "protoo"),
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [("CONTENT_LENGTH", "5"), ("CONTENT_LENGTH", "50"), ("HTTP_TRANSFER_ENCODING", "chunked")],
)
def test_a_handshake_with_a_body_is_refused(key, value):
    environ = {**make_environ(), key: value}
    with pytest.raises(HandshakeError, match="has no body") as caught:
        negotiate_handshake(environ, compression=False, max_message_size=100)
    assert caught.value.status == 400


@pytest.mark.parametrize("length", ["", "0", "00", " 0 "])
def test_a_handshake_with_a_body_of_no_bytes_is_accepted(length):
    environ = {**make_environ(), "CONTENT_LENGTH": length}
    negotiate_handshake(environ, compression=False, max_message_size=100)


def test_the_codec_has_the_sites_limit():
    codec = negotiate().codec
    assert type(codec) is FastFrameCodec
    codec.receive(b"\x81\xe5mask")
    assert codec.error.code == 1009


@pytest.mark.parametrize("key", [KEY, f" {KEY} ", "AAAAAAAAAAAAAAAAAAAAAA=="])
def test_a_key_is_16_bytes_in_base64(key):
    assert negotiate(KEY=key).headers[2][0] == "Sec-WebSocket-Accept"


@pytest.mark.parametrize(
    "key",
    [None, "", "x", KEY[:-1], KEY[:-2], KEY + "=", "AAAA", "AAAA" * 6, "é" * 24, "!" * 24],
)
def test_a_key_that_is_none_is_refused_with_400(key):
    error = refuse(KEY=key)
    assert (error.status, error.reason) == (400, "Sec-WebSocket-Key must be 16 bytes in base64")


@pytest.mark.parametrize("version", [None, "", "8", "12", "14", "013", "13, 8", "x"])
def test_another_version_is_told_which_one_is_spoken(version):
    error = refuse(VERSION=version)
    assert error.status == 426
    assert error.headers == {"Sec-WebSocket-Version": "13"}


@pytest.mark.parametrize("offered", ["protoo", "chat, protoo", "protoo,chat", " protoo ,x"])
def test_the_sub_protocol_may_be_one_of_several(offered):
    assert ("Sec-WebSocket-Protocol", "protoo") in negotiate(PROTOCOL=offered).headers


@pytest.mark.parametrize("offered", [None, "", "chat", "Protoo", "protoo2", "my protoo", "protoo;"])
def test_without_the_sub_protocol_it_is_refused_with_400(offered):
    error = refuse(PROTOCOL=offered)
    assert error.status == 400
    assert 'new WebSocket(url, "protoo")' in error.reason


@pytest.mark.parametrize(
    "line", [{"REQUEST_METHOD": "HEAD"}, {"SERVER_PROTOCOL": "HTTP/1.0"}], ids=["HEAD", "HTTP/1.0"]
)
def test_only_a_get_of_http_1_1_is_a_handshake(line):
    assert refuse(**line).status == 400


def test_compression_is_agreed_on_only_when_the_site_asks_for_it():
    offer = "permessage-deflate; client_max_window_bits"
    assert type(negotiate(EXTENSIONS=offer).codec) is FastFrameCodec
    agreed = negotiate(compression=True, EXTENSIONS=offer)
    assert agreed.headers[-1] == ("Sec-WebSocket-Extensions", "permessage-deflate")
    assert type(agreed.codec) is DeflateCodec


@pytest.mark.parametrize("offer", [None, "", "x-webkit-deflate-frame", "permessage-deflate; x=1"])
def test_without_an_offer_that_is_understood_there_is_no_compression(offer):
    agreed = negotiate(compression=True, EXTENSIONS=offer)
    assert "Sec-WebSocket-Extensions" not in dict(agreed.headers)
    assert type(agreed.codec) is FastFrameCodec


def test_the_response_is_written_with_its_cookies():
    assert serialize_handshake([("Upgrade", "websocket"), ("Set-Cookie", "a=1")]) == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSet-Cookie: a=1\r\n\r\n"
    )


class OtherDialect(ProtooDialect):
    subprotocol = "protoo4"


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [("protoo4", "protoo4"), ("protoo", "protoo"), ("x, protoo4, protoo", "protoo4")],
)
def test_the_first_sub_protocol_of_the_client_that_the_server_speaks_chooses_the_dialect(
    offered, chosen
):
    agreed = negotiate_handshake(
        make_environ(HTTP_SEC_WEBSOCKET_PROTOCOL=offered),
        compression=False,
        max_message_size=100,
        dialects=(PROTOO, OtherDialect()),
    )
    assert agreed.dialect.subprotocol == chosen
    assert ("Sec-WebSocket-Protocol", chosen) in agreed.headers
