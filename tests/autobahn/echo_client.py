"""A client that echoes: the WebSocket of the Python client, for the cases of a fuzzing server."""

from __future__ import annotations

import contextlib
import time
from typing import Any
from urllib.parse import quote

from wsproto.events import BytesMessage
from wsproto.utilities import LocalProtocolError

from protoo_flask.client.dialing import dial
from protoo_flask.client.handshake import Handshake
from protoo_flask.client.pipe import Pipe
from protoo_flask.client.websocket import HANDSHAKE_TIMEOUT, WebSocket

#: Seconds of silence after which the server would be pinged: more than any case takes.
PATIENCE = 600.0

#: Seconds for the server to listen.
START_TIME = 60.0


class EchoWebSocket(WebSocket):
    """Sends back what comes; the server of the suite agrees on no sub-protocol."""

    @property
    def subprotocol(self) -> str:
        return "protoo"

    @subprotocol.setter
    def subprotocol(self, value: Any) -> None: ...

    def __init__(self, pipe: Pipe, handshake: Handshake) -> None:
        self.texts: list[str] = []
        super().__init__(pipe, handshake, self._echo)

    def _echo(self, text: str) -> None:
        self.texts.append(text)
        self.send_text(text.encode())

    @property
    def input_buffer(self) -> _Inputs:
        """The messages that have come; the protocol has no binary ones, so they are sent here."""
        return self._inputs

    @input_buffer.setter
    def input_buffer(self, value: list[Any]) -> None:
        self._inputs = _Inputs(self)

    def send_bytes(self, payload: bytes) -> None:
        """Send a binary message."""
        with contextlib.suppress(OSError, LocalProtocolError):
            self.sock.send(self.ws.send(BytesMessage(data=payload)))


class _Inputs(list):  # type: ignore[type-arg]  # Python 3.8
    def __init__(self, websocket: EchoWebSocket) -> None:
        super().__init__()
        self._websocket = websocket

    def append(self, message: Any) -> None:
        if isinstance(message, bytes):
            self._websocket.send_bytes(message)
        else:
            super().append(message)


def visit(url: str) -> list[str]:
    """Connect, echo to the end, and return the texts that have come."""
    handshake = Handshake(url, "autobahn")
    pipe = Pipe(dial(*handshake.address, handshake.tls, HANDSHAKE_TIMEOUT), PATIENCE)
    websocket = EchoWebSocket(pipe, handshake)
    websocket.run()
    return websocket.texts


def _wait_for(url: str) -> list[str]:
    """Visit a server that has just been started."""
    deadline = time.monotonic() + START_TIME
    while True:
        try:
            return visit(url)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def run_all(url: str, agent: str) -> None:
    """Run all cases of a fuzzing server, and have it write its report."""
    (count,) = _wait_for(f"{url}/getCaseCount")
    for number in range(1, int(count) + 1):
        visit(f"{url}/runCase?case={number}&agent={quote(agent)}")
    visit(f"{url}/updateReports?agent={quote(agent)}")
