"""The inputs of the fuzzers, drawn by Hypothesis from a seed before the first one is sent.

So the same seed gives the same inputs, however the server behaves. A strategy is shared with the
property tests where there is one.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.core.wire import json_texts
from tests.transport.websocket.streams import streams
from tests.transport.wire import TEXT, frame


def draw(strategy: st.SearchStrategy[Any], key: int, count: int) -> list[Any]:
    """Return so many inputs; fewer, if the strategy has not so many different ones."""
    found: list[Any] = []

    @seed(key)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found[:count]


# Messages ------------------------------------------------------------------------------------

_known = json_texts.names_of(["method", "path", "status", "reason", "id", "data", "sender"])
_likely = st.sampled_from(['"get"', '"/echo"', '"message"', "7", "7.0", "0", "200", "99", "{}"])
_fields = json_texts.objects_of(
    _known | json_texts.strings,
    _likely | json_texts.values | json_texts.large_numbers | json_texts.wrapped_scalars,
)


@st.composite
def _damaged(draw_: Any) -> str:
    text = draw_(_fields)
    place = draw_(st.integers(0, len(text)))
    return text[:place] + draw_(st.text(max_size=2)) + text[place + draw_(st.integers(0, 2)) :]


def _is_sendable(text: str) -> bool:
    return len(text) < 60_000 and not any("\ud800" <= letter <= "\udfff" for letter in text)


messages = st.one_of(_fields, _fields, _damaged(), json_texts.values).filter(_is_sendable)

# Requests ------------------------------------------------------------------------------------

_names = st.one_of(
    st.sampled_from(["fuzz", "users", "chat", "rooms", "presence", "sessions", "echo", "stock"]),
    st.sampled_from(["..", ".", "%2e%2e", "%2F", "%00", "%zz", "%", "%ff", "\0", "\n", "\u2028"]),
    st.sampled_from(["x" * 256, "x" * 257, "x" * 5000, "%78" * 300, "__proto__", "toString"]),
    st.text(max_size=8).filter(_is_sendable),
)
_segments = st.builds("".join, st.lists(_names, max_size=2))
_mounted = st.builds(
    "{}/{}".format,
    st.sampled_from(["/users", "/presence", "/chat/rooms", "/users/sessions", "/echo", ""]),
    st.lists(_segments, max_size=4).map("/".join),
)
_methods = st.one_of(
    st.sampled_from(["get", "put", "message", "session", "subscribe", "unsubscribe", "publish"]),
    st.sampled_from(["end", "update", "hold", "unhold", "icecandidate", "private", "ping", "use"]),
    st.text(min_size=1, max_size=8).filter(_is_sendable),
)

#: (method, path) of a request.
paths = st.tuples(_methods, _mounted)

# Handshakes ----------------------------------------------------------------------------------

_KEY = base64.b64encode(bytes(16))
_HEADERS = [
    (b"Host", b"127.0.0.1"),
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", _KEY),
    (b"Sec-WebSocket-Protocol", b"protoo"),
]
_bytes = st.binary(max_size=8) | st.sampled_from(
    [b"", b"protoo, chat", b"chat", b"0", b"13, 12", b"keep-alive, Upgrade", b"h2c", b"x" * 9000]
)
_more_headers = st.tuples(
    st.sampled_from(
        [
            *(b"Origin", b"Cookie", b"Content-Length", b"Transfer-Encoding", b"Expect"),
            *(b"Sec-WebSocket-Extensions", b"X-Forwarded-For", b"Authorization", b"Host"),
        ]
    ),
    _bytes
    | st.sampled_from(
        [b"permessage-deflate", b"permessage-deflate; server_max_window_bits=7", b"chunked"]
    ),
)
_targets = st.one_of(
    st.just(b"/protoo?username=fuzz&uuid=h"),
    st.just(b"/protoo?username=fuzz&uuid=h"),
    st.builds(b"/protoo?username=%b&uuid=%b".__mod__, st.tuples(_bytes, _bytes)),
    st.builds(b"/protoo%b".__mod__, _bytes),
    _bytes,
)


@st.composite
def _handshakes(draw_: Any) -> bytes:
    method = draw_(st.sampled_from([b"GET"] * 6 + [b"POST", b"HEAD", b"OPTIONS", b"get"]))
    version = draw_(st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/2.0", b""]))
    headers = list(_HEADERS)
    for _ in range(draw_(st.integers(0, 3))):
        index = draw_(st.integers(0, len(headers) - 1))
        change = draw_(st.sampled_from(["value", "value", "drop", "twice", "more"]))
        if change == "value":
            headers[index] = (headers[index][0], draw_(_bytes))
        elif change == "drop" and len(headers) > 1:
            del headers[index]
        elif change == "twice":
            headers.append(headers[index])
        else:
            headers.append(draw_(_more_headers))
    lines = [method + b" " + draw_(_targets) + b" " + version]
    lines += [name + b": " + value for name, value in headers]
    data = b"\r\n".join(lines) + b"\r\n\r\n"
    return data[: draw_(st.sampled_from([len(data)] * 5 + [len(data) // 2]))]


handshakes = _handshakes()

# Frames --------------------------------------------------------------------------------------

frames = streams()


@st.composite
def _compressed(draw_: Any) -> bytes:
    """Frames whose payload is compressed, mostly."""
    data = b""
    deflate = zlib.compressobj(wbits=-15)
    for _ in range(draw_(st.integers(1, 4))):
        text = draw_(messages).encode() * draw_(st.sampled_from([1, 1, 1, 50]))
        payload = bytearray(deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH))
        if draw_(st.booleans()):
            del payload[-4:]
        if payload and draw_(st.integers(0, 3)) == 0:
            payload[draw_(st.integers(0, len(payload) - 1))] ^= draw_(st.integers(1, 255))
        cut = draw_(st.integers(0, len(payload)))
        is_whole = draw_(st.booleans())
        first = bytes(payload if is_whole else payload[:cut])
        data += frame(TEXT, first, fin=is_whole, rsv=draw_(st.sampled_from([4, 4, 4, 0])))
        if not is_whole:
            data += frame(0, bytes(payload[cut:]), rsv=draw_(st.sampled_from([0, 0, 0, 4])))
    return data


deflated = _compressed()
