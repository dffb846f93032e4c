"""TLS that ends in the process of the server, with clients that read slowly."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from pathlib import Path
from typing import Any, Iterator

import pytest

from . import sites
from .clients import CLOSE, PING, TEXT, RawClient, Site, eventually
from .processes import DEADLINE, SITES, start

CERTIFICATE = Path(__file__).parents[1] / "transport" / "certificate.pem"

PYWSGI = f"""
{{patch}}
from gevent.pywsgi import WSGIServer
from tests.servers.sites import create_app
server = WSGIServer(
    ("127.0.0.1", 0), create_app(), certfile={str(CERTIFICATE)!r}, keyfile={str(CERTIFICATE)!r}
)
server.start()
print("https://127.0.0.1:%d" % server.server_port)
server.serve_forever()
"""

FILES = ["--certfile", str(CERTIFICATE), "--keyfile", str(CERTIFICATE)]

COMMANDS = {
    "gunicorn": ["-m", "gunicorn", "-k", "gevent", "--bind", "127.0.0.1:0", *FILES, SITES + "()"],
    "pywsgi": ["-c", PYWSGI.format(patch="from gevent import monkey; monkey.patch_all()")],
    "pywsgi-unpatched": ["-c", PYWSGI.format(patch="")],
    "flask-run": [
        *("-m", "flask", "run", "--port", "0"),
        *("--cert", str(CERTIFICATE), "--key", str(CERTIFICATE)),
    ],
}


class SecureSite(Site):
    """A site whose server ends TLS."""

    def __init__(self, port: int, prefix: str = "") -> None:
        super().__init__(port, prefix)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def open_http(self) -> http.client.HTTPConnection:
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=DEADLINE, context=self._context
        )

    def connect_raw(
        self, username: str, uuid: str = "a1", receive_buffer: int = 0, path: str = "/protoo"
    ) -> RawClient:
        cookie = self.login(username)
        plain = socket.socket()
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.settimeout(DEADLINE)
        plain.connect(("127.0.0.1", self.port))
        sock = self._context.wrap_socket(plain)
        client = RawClient(sock, f"{self.prefix}{path}?uuid={uuid}", Host=self.host, Cookie=cookie)
        assert client.status == 101
        return client


@pytest.fixture(scope="module", params=[*COMMANDS])
def running_server(request: Any, tmp_path_factory: Any) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("database")
    server = start(request.param, COMMANDS[request.param], **{sites.DATABASE: str(folder / "db")})
    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.callback(server.stop)
        yield server


@pytest.fixture
def narrow(server: Any) -> SecureSite:
    return SecureSite(server.port, "/narrow")


DOORS = pytest.mark.parametrize("path", ["/protoo", "/signal"])


@DOORS
@pytest.mark.parametrize("size", [100, 20_000, 60_000])
def test_a_slow_reader_gets_whole_messages_and_then_the_reason(narrow, alice, size, path):
    with narrow.connect_raw(alice, receive_buffer=4096, path=path) as slow:
        sent = int(narrow.post(f"/push/{alice}?size={size}&more=1000"))
        eventually(lambda: narrow.get(f"/peers?username={alice}"), [])
        seen = 0
        opcode, payload = slow.read_frame()
        while opcode in (TEXT, PING):
            if opcode == TEXT:
                assert json.loads(payload)["data"] == {"n": seen, "text": size * "x"}
                seen += 1
            opcode, payload = slow.read_frame()
        assert 0 < seen <= sent
        assert (opcode, payload) == (CLOSE, (1008).to_bytes(2, "big") + b"slow consumer")


@DOORS
def test_a_client_talks(narrow, alice, path):
    with narrow.connect_raw(alice, path=path) as client:
        for number in range(3):
            client.send_request("get", "/echo", number + 1, text="é" * 3000)
            assert client.read_message()["data"] == {"text": "é" * 3000}
