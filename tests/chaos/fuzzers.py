"""The fuzzers: what each sends to a server, and how the server must answer.

A check returns what is wrong with the answer, in words, or ``None``. That the server goes on, that
its neighbours are served and that its log is clean is looked at elsewhere, for all of them.
"""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any, Callable, NamedTuple

from hypothesis import strategies as st

from protoo_flask.core.errors import BadMessage
from protoo_flask.core.wire.messages import MAX_ID, parse
from protoo_flask.transport.websocket.frames import FrameCodec
from tests.servers.clients import BINARY, CLOSE, TEXT
from tests.transport.websocket.reference import BAD_GATEWAY, Reference, look_into_close
from tests.transport.websocket.streams import receive_all

from . import inputs
from .ground import Ground, RawPeer

#: ``PROTOO_MAX_MESSAGE_SIZE`` of the site.
MAX_MESSAGE_SIZE = 65536

#: An id of a request that no input has.
LAST_ID = MAX_ID

#: Codes of Close frames about input that breaks RFC 6455, or is too much.
VIOLATIONS = {1002, 1007, 1008, 1009}

BAD_REQUEST, SERVER_ERROR = 400, 500


class Fuzzer(NamedTuple):
    """A fuzzer.

    :ivar check: ``check(ground, input)`` returns what is wrong, or ``None``.
    :ivar needs_compression: whether it is for cells that compress.
    """

    strategy: st.SearchStrategy[Any]
    check: Callable[[Ground, Any], str | None]
    needs_compression: bool = False


# Frames --------------------------------------------------------------------------------------


def check_frames(ground: Ground, data: bytes) -> str | None:
    """wsproto says how a connection ends; each message before that is answered once."""
    codec, reference = FrameCodec(MAX_MESSAGE_SIZE), Reference()
    reference.receive(data)
    items, error = look_into_close(
        receive_all(codec, data), codec.error.code if codec.error else None
    )
    # Each of them finds some violations before the frame is complete.
    wanted = {code for code in (error, reference.code) if code is not None}
    # Where simple-websocket reads, the answer to that code is wsproto's.
    if items and items[-1][0] == CLOSE and (not wanted or items[-1][1] == BAD_GATEWAY):
        wanted.add(items[-1][1])
    heard = _play(ground, data)
    if heard is None:
        return None
    if heard.code is not None and heard.code not in wanted:
        return f"closed with {heard.code}, and not {sorted(wanted)}"
    if heard.code is None and error is not None:
        return f"not closed, and it should be with {error}"
    count = sum(item[0] in (TEXT, BINARY) for item in items)
    if len(heard) != count or any(message["status"] != BAD_REQUEST for message in heard):
        return f"{count} messages were answered by {list(heard)}"
    return None


def check_deflated(ground: Ground, data: bytes) -> str | None:
    """Whatever a message is inflated to, it is answered, or the connection is closed."""
    heard = _play(ground, data, Sec_WebSocket_Extensions="permessage-deflate")
    if heard is not None and heard.code is not None and heard.code not in VIOLATIONS:
        return f"closed with {heard.code}"
    return None


def _play(ground: Ground, data: bytes, **headers: str) -> Any:
    """Send bytes, and listen until the end; returns ``None`` where nobody can tell the end."""
    with ground.connect(**headers) as client:
        # The server may have closed already.
        with contextlib.suppress(OSError):
            client.send_bytes(data)
        if not ground.has_half_close:
            return None
        client.finish()
        return client.listen()


# Messages ------------------------------------------------------------------------------------


def check_messages(ground: Ground, text: str) -> str | None:
    """What asks for an answer is answered once, by its id; and so is the next request."""
    try:
        message = parse(text.encode())
    except BadMessage as error:
        wanted = [error.id]
    else:
        has_answer = isinstance(message.method, str) and isinstance(message.id, int)
        wanted = [message.id] if has_answer else []
    with ground.connect() as client:
        client.send_frame_of(text.encode())
        client.send_request("get", "/echo", LAST_ID)
        *answers, echo = client.await_answer(LAST_ID)
        client.send_frame(CLOSE, b"\x03\xe8")
    final = [answer["id"] for answer in answers if answer["status"] >= 200]
    if echo["status"] != 200:
        return f"the next request was answered {echo}"
    if final != wanted:
        return f"answered by {answers}, and not with the ids {wanted}"
    return _find_errors(answers)


def _find_errors(answers: list[dict[str, Any]]) -> str | None:
    errors = [answer for answer in answers if answer["status"] == SERVER_ERROR]
    return f"an error of the server: {errors}" if errors else None


# Requests ------------------------------------------------------------------------------------


def check_paths(ground: Ground, request: tuple[str, str]) -> str | None:
    """Any method and any path that starts with a slash has one final answer, and no error."""
    method, path = request
    with ground.connect() as client:
        message = {"method": method, "path": path, "id": 7, "data": {}}
        client.send_frame_of(json.dumps(message).encode())
        answers = client.await_answer(7)
        client.send_request("get", "/echo", 8)
        later = client.await_answer(8)
        client.send_frame(CLOSE, b"\x03\xe8")
    if later[:-1]:
        return f"a second answer: {later[:-1]}"
    return _find_errors(answers)


# Handshakes ----------------------------------------------------------------------------------


def check_handshakes(ground: Ground, data: bytes) -> str | None:
    """No bytes are an error of the server; what it has let in can talk."""
    with ground.dial() as sock:
        # The server may have refused it already.
        with contextlib.suppress(OSError):
            sock.sendall(data)
            if b"\r\n\r\n" not in data:
                return None
            sock.settimeout(5)
            line = sock.recv(12, socket.MSG_PEEK)
            status = line[9:12]
            if not line.startswith(b"HTTP/") or not status.isdigit():
                return None
            # 501 and 505 are for methods and versions of HTTP that the server does not know.
            if int(status) >= SERVER_ERROR and status not in (b"501", b"503", b"505"):
                return f"answered {status.decode()}"
            if status == b"101":
                return _check_welcome(sock)
    return None


def _check_welcome(sock: socket.socket) -> str | None:
    sock.settimeout(20)
    with RawPeer.of_answer(sock) as client:
        client.send_request("get", "/echo", LAST_ID)
        try:
            client.await_answer(LAST_ID)
        except EOFError:
            return "let in, and then hung up"
        client.send_frame(CLOSE, b"\x03\xe8")
    return None


FUZZERS = {
    "frames": Fuzzer(inputs.frames, check_frames),
    "messages": Fuzzer(inputs.messages, check_messages),
    "paths": Fuzzer(inputs.paths, check_paths),
    "handshakes": Fuzzer(inputs.handshakes, check_handshakes),
    "deflated": Fuzzer(inputs.deflated, check_deflated, needs_compression=True),
}


def try_input(fuzzer: Fuzzer, ground: Ground, value: Any) -> str | None:
    """Try an input; returns what is wrong, or ``None``. No exception is let out but of the code."""
    try:
        return fuzzer.check(ground, value)
    except (OSError, EOFError, AssertionError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
