"""Routes of flask-sock that a site has made itself, whose views call ``protoo.serve(ws)``."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any, Iterator

import pytest
from websockets.sync.client import connect as connect_plainly

from .clients import (
    CLOSE,
    NO_PROXY,
    PING,
    PONG,
    TEXT,
    Answer,
    Client,
    RawClient,
    Site,
    eventually,
    handshake_headers,
)
from .processes import DEADLINE, start

APP = "tests.servers.sock_site:create_app()"
ATTACHED = "tests.servers.sock_site:create_attached_app()"
GUNICORN = ("-m", "gunicorn", "--bind", "127.0.0.1:0")

COMMANDS = {
    "gunicorn": [*GUNICORN, "-k", "gevent", APP],
    "gunicorn, attached": [*GUNICORN, "-k", "gevent", ATTACHED],
    "gunicorn, pool of threads": [*GUNICORN, "-k", "gthread", "--threads", "12", APP],
    "pywsgi-unpatched": [
        *("-c", "import sys; from protoo_flask.cli import main; sys.exit(main(sys.argv[1:]))"),
        *("tests.servers.sock_site:create_app", "--port", "0"),
    ],
    "flask-run": ["-m", "flask", "run", "--port", "0"],
}


class SockSite(Site):
    """The site with flask-sock routes."""

    def ask(self, path: str, **headers: Any) -> Answer:
        """Ask for an upgrade, and hang up."""
        return self.http("GET", path, handshake_headers(headers))

    def open(self, path: str, **headers: Any) -> Client:
        return Client(f"ws://{self.host}{path}", additional_headers=headers, compression=None)

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def open_raw(self, path: str, receive_buffer: int = 4096, **headers: Any) -> RawClient:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(DEADLINE)
        sock.connect(("127.0.0.1", self.port))
        return RawClient(sock, path, Host=self.host, **headers)


#: Servers on which one test is enough: they differ only in the way in.
RARE = ["gunicorn, pool of threads", "pywsgi-unpatched"]


@pytest.fixture(scope="module", params=[kind for kind in COMMANDS if kind not in RARE])
def running_server(request: Any) -> Iterator[Any]:
    server = start(request.param, COMMANDS[request.param], FLASK_APP=APP)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def site(server: Any) -> Iterator[SockSite]:
    site = SockSite(server.port)
    yield site
    eventually(lambda: site.json("/peers"), [])


@pytest.fixture
def no_thread_left(server: Any, site: SockSite) -> Iterator[None]:
    """Check that a test leaves no thread of simple-websocket behind."""
    yield
    eventually(lambda: [name for name in site.json("/threads") if "simple_websocket" in name], [])


def test_a_client_talks_and_is_asked_back(site, alice, no_thread_left):
    with site.open("/signal?uuid=a1", Cookie=site.login(alice)) as client:
        assert site.json("/peers") == [[alice, "a1", None]]
        assert client.request("get", "/echo", {"text": "é"})["data"] == {"text": "é"}
        client.start("get", "/ask")
        client.respond(client.expect("question"), 200, "yes", answer=1)
        assert client.receive()["data"] == {"answer": 1}


def test_the_handshake_is_answered_when_the_peer_is_there_with_cookies(site, alice):
    headers = {"Cookie": site.login(alice), "Sec-WebSocket-Extensions": "permessage-deflate"}
    with site.open_raw("/signal?uuid=a1", **headers) as client:
        assert client.status == 101
        assert site.json("/peers") == [[alice, "a1", None]]
        assert "seen=yes" in client.headers["Set-Cookie"]
        assert "Sec-WebSocket-Extensions" not in client.headers
        assert client.headers["Sec-WebSocket-Protocol"] == "protoo"


def test_the_requests_of_an_attached_client_are_handled_in_its_own_thread(server, site, alice):
    with site.open("/signal?uuid=a1", Cookie=site.login(alice)) as client:
        places = [json.dumps(client.request("get", "/where")["data"]) for _ in range(5)]
        if server.kind in ("gunicorn, attached", "flask-run"):
            assert len(set(places)) == 1


def test_idle_clients_hold_no_connection_of_a_database_and_teardowns_run_once(site, alice):
    before = site.json("/torn-down").count("/signal")
    with contextlib.ExitStack() as stack:
        for number in range(3):
            cookie = site.login(alice)
            stack.enter_context(site.open(f"/signal?uuid=a{number}", Cookie=cookie))
        assert site.json("/torn-down").count("/signal") == before + 3
        assert site.get("/whoami") == "nobody"
    eventually(lambda: site.json("/peers"), [])
    assert site.json("/torn-down").count("/signal") == before + 3


def test_a_session_that_is_destroyed_meanwhile_stays_destroyed(site, alice):
    cookie = site.login(alice)
    with site.open("/named?name=robot&uuid=r1", Cookie=cookie):
        assert site.http("GET", "/whoami", {"Cookie": cookie}).text == alice
        assert site.http("GET", "/logout", {"Cookie": cookie}).status == 200
    eventually(lambda: site.json("/peers"), [])
    assert site.http("GET", "/whoami", {"Cookie": cookie}).text == "nobody"


def test_a_view_names_the_user(site, no_thread_left):
    with site.open("/named?name=robot&uuid=r1") as client:
        assert site.json("/peers") == [["robot", "r1", {"kind": "named"}]]
        assert client.request("get", "/echo", {"n": 1})["data"] == {"n": 1}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/signal", 403),
        ("/teapot", 418),
        ("/broken", 500),
        ("/broken-late", 500),
        ("/idle", 500),
        ("/talkative", 500),
        ("/named?name=" + "x" * 2000, 400),
    ],
)
def test_a_view_that_does_not_serve_is_a_status(server, site, alice, no_thread_left, path, status):
    headers = {} if status == 403 else {"Cookie": site.login(alice)}
    for pattern in ("^ValueError: broken", "UsageError"):
        server.allow_traceback(pattern)
    assert site.ask(path, **headers).status == status
    assert site.json("/peers") == []


def test_a_view_that_serves_nothing_is_named_in_the_log(server, site, alice):
    assert site.ask("/idle", Cookie=site.login(alice)).status == 500
    server.wait_for_output("idle.* has returned without protoo.serve", server.first_line)


def test_without_admit_the_log_names_the_line_to_add(server, site, alice):
    with contextlib.suppress(Exception), site.open("/unadmitted", Cookie=site.login(alice)):
        pass
    server.expect_traceback(r"UsageError: .*blueprint.before_request\(protoo.admit\)")
    server.allow_traceback("StopIteration|Error")


def test_messages_of_the_view_come_first(site, alice):
    with site.open("/early?uuid=a1", Cookie=site.login(alice)) as client:
        assert client.connection.recv(DEADLINE) == "before"
        assert client.request("get", "/echo", {"n": 1})["data"] == {"n": 1}


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("subprotocols", [None, ["chat"], ["other"]])
def test_other_routes_of_flask_sock_are_untouched(server, site, compression, subprotocols):
    server.allow_traceback("StopIteration|ConnectionClosed|AssertionError")
    with connect_plainly(
        f"ws://{site.host}/plain", compression=compression, subprotocols=subprotocols, **NO_PROXY
    ) as plain:
        assert plain.recv(DEADLINE) == ("chat" if subprotocols == ["chat"] else "none")
        plain.send("x" * 1000)
        assert plain.recv(DEADLINE) == "x" * 1000


def test_a_client_that_does_not_read_gets_whole_messages_of_two_writers(site, alice):
    with site.open_raw("/signal?uuid=a1", Cookie=site.login(alice)) as slow:
        slow.send_frame(PING, b"are you there")
        site.post(f"/push/{alice}")
        eventually(lambda: site.json("/peers"), [])
        seen: dict[int, list[int]] = {0: [], 1: []}
        control = []
        opcode, payload = slow.read_frame()
        while opcode != CLOSE:
            if opcode == TEXT:
                data = json.loads(payload)["data"]
                assert data["text"] == "x" * 5000
                seen[data["writer"]].append(data["n"])
            else:
                control.append((opcode, payload))
            opcode, payload = slow.read_frame()
        assert payload == (1008).to_bytes(2, "big") + b"slow consumer"
        assert sorted(control) == [(PING, b""), (PONG, b"are you there")]
    for numbers in seen.values():
        assert numbers == list(range(len(numbers)))


def test_a_client_that_is_not_welcome_any_more_is_disconnected(site, alice):
    cookie = site.login(alice)
    with site.open("/signal?uuid=a1", Cookie=cookie) as client:
        assert client.request("get", "/echo", {"n": 1})["data"] == {"n": 1}
        site.http("GET", "/logout", {"Cookie": cookie})
        assert client.wait_for_close() == (3001, "authorization revoked")


def test_a_client_that_a_view_has_named_is_asked_about_in_vain(site):
    with site.open("/named?name=robot&uuid=r1") as client:
        asked = site.json("/torn-down").count("repeated /named")
        # Each time that it is asked about, its request is repeated.
        eventually(lambda: site.json("/torn-down").count("repeated /named") > asked + 2, True)
        assert client.request("get", "/echo", {"n": 1})["data"] == {"n": 1}
        assert site.json("/peers") == [["robot", "r1", {"kind": "named"}]]


@pytest.mark.parametrize("kind", RARE)
def test_other_servers_serve_such_a_route_too(kind):
    server = start(kind, COMMANDS[kind])
    try:
        site = SockSite(server.port)
        with site.open("/named?name=robot&uuid=r1") as client:
            assert site.json("/peers") == [["robot", "r1", {"kind": "named"}]]
            client.start("get", "/ask")
            client.respond(client.expect("question"), 200, "yes", answer=1)
            assert client.receive()["data"] == {"answer": 1}
        eventually(lambda: site.json("/peers"), [])
        assert site.ask("/teapot", Cookie=site.login("alice")).status == 418
        assert server.complaints() == []
    finally:
        server.stop()
