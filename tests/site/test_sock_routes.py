"""Routes of flask-sock under werkzeug's server: what a site sees, and a lack of threads."""

from __future__ import annotations

import contextlib
import threading
from http.client import HTTPConnection

import pytest
from flask import Blueprint, Flask, request
from flask_sock import Sock
from werkzeug.datastructures import Headers
from werkzeug.serving import make_server

from protoo_flask import Protoo
from protoo_flask.transport import tap as taps

KEYS = (taps.KEY, "werkzeug.socket", "gunicorn.socket")
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "protoo",
    "Sec-WebSocket-Extensions": "permessage-deflate",
    "Authorization": "Bearer token",
    "Cookie": "seen=yes",
}


@pytest.fixture
def app():
    app = Flask("site")
    app.secret_key = "secret"
    app.config["PROTOO_PING_INTERVAL"] = 1  # its timer outlives the site for as long
    return app


@pytest.fixture
def protoo(app):
    protoo = Protoo(app)

    @protoo.authorize
    def authorize():
        return "alice", request.args.get("uuid", "a1")

    yield protoo
    protoo.close()


@pytest.fixture
def sock(app, protoo):
    return Sock(app)


@pytest.fixture
def blueprint(app, protoo):
    blueprint = Blueprint("signaling", __name__)
    blueprint.before_request(protoo.admit)
    return blueprint


@pytest.fixture
def knock(app):
    """Return a function that asks for an upgrade, and hangs up; it returns status and headers."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = False  # so that they are waited for
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def knock(path):
        with contextlib.closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as client:
            client.request("GET", path, headers=HANDSHAKE)
            response = client.getresponse()
            return response.status, response.headers

    yield knock
    server.shutdown()
    thread.join()
    server.server_close()


def look():
    """Return what the site's code sees of the request."""
    environ = request.environ
    return Headers(list(request.headers)), request.cookies, [key for key in KEYS if key in environ]


def test_functions_before_the_view_see_the_request_as_it_came(app, protoo, sock, blueprint, knock):
    seen = []

    @blueprint.before_request
    def check_token():
        seen.append(look())

    @sock.route("/signal", bp=blueprint)
    def signal(ws):
        protoo.serve(ws)
        seen.append(look())

    @app.after_request
    def note(response):
        seen.append(look())
        return response

    app.register_blueprint(blueprint)
    knock("/signal")
    assert len(seen) == 3
    for headers, cookies, _ in seen:
        assert {name: headers.get(name) for name in HANDSHAKE} == HANDSHAKE
        assert headers["Host"].startswith("127.0.0.1:")
        assert dict(cookies) == {"seen": "yes"}
    assert [keys for _, _, keys in seen] == [
        ["werkzeug.socket"],
        [taps.KEY, "werkzeug.socket"],
        [taps.KEY, "werkzeug.socket"],
    ]


def test_error_handlers_see_it_too(app, protoo, sock, blueprint, knock):
    seen = []

    @sock.route("/broken", bp=blueprint)
    def broken(ws):
        raise RuntimeError("broken on purpose")

    @blueprint.errorhandler(RuntimeError)
    def tell(error):
        seen.append(look())
        return "broken", 500

    app.register_blueprint(blueprint)
    assert knock("/broken")[0] == 500
    (headers, _, keys) = seen[0]
    assert {name: headers.get(name) for name in HANDSHAKE} == HANDSHAKE
    assert keys == [taps.KEY, "werkzeug.socket"]


@pytest.fixture
def no_threads(monkeypatch):
    """Let no thread of simple-websocket start."""
    start = threading.Thread.start

    def fail(thread):
        if getattr(thread._target, "__qualname__", "") == "Base._thread":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail)


def check_refusal(status, headers):
    assert status == 503
    assert int(headers["Retry-After"]) > 0


def test_without_a_thread_left_a_client_of_the_own_route_is_told_so(app, protoo, knock, no_threads):
    status, headers = knock("/protoo")
    check_refusal(status, headers)
    assert headers["Protoo-Handshake"] == "later"


def test_without_a_thread_left_a_client_of_another_route_is_told_so(
    app, protoo, sock, blueprint, knock, no_threads
):
    @sock.route("/signal", bp=blueprint)
    def signal(ws):
        protoo.serve(ws)

    app.register_blueprint(blueprint)
    for _ in range(2):
        check_refusal(*knock("/signal"))


def test_an_error_of_the_view_is_the_sites(app, protoo, sock, blueprint, knock):
    @sock.route("/broken", bp=blueprint)
    def broken(ws):
        raise RuntimeError("can't start new thread")

    app.register_blueprint(blueprint)
    assert knock("/broken")[0] == 500


def test_a_site_may_have_all_of_its_requests_admitted(app, protoo, sock, knock):
    app.before_request(protoo.admit)

    @sock.route("/signal/<int:number>")
    def signal(ws, number):
        protoo.serve(ws, data=number)

    sock.init_app(app)
    with protoo.test_client(uuid="a1", path="/signal/5"):
        assert protoo.peer("alice", "a1").data == 5
    with protoo.test_client(uuid="a2"):
        assert protoo.peer("alice", "a2").data is None
    assert knock("/nowhere")[0] == 404


@pytest.fixture
def short_patience(monkeypatch):
    """Let a view have no time, and check that no thread of simple-websocket is left."""
    monkeypatch.setattr(taps, "PATIENCE", 0.05)
    readers = []
    recv = taps.Tap.recv

    def note(tap, size):
        readers.append(threading.current_thread())
        return recv(tap, size)

    monkeypatch.setattr(taps.Tap, "recv", note)
    yield readers
    assert readers
    for reader in readers:
        reader.join(20)
        assert not reader.is_alive()


def test_a_view_that_waits_for_messages_ends_with_a_status(
    app, protoo, sock, blueprint, knock, short_patience
):
    @sock.route("/waiting", bp=blueprint)
    def waiting(ws):
        ws.receive()

    app.register_blueprint(blueprint)
    assert knock("/waiting")[0] == 500


def test_a_view_that_serves_too_late_is_told_so(
    app, protoo, sock, blueprint, knock, short_patience, caplog
):
    @sock.route("/late", bp=blueprint)
    def late(ws):
        ws.thread.join()
        protoo.serve(ws)

    app.register_blueprint(blueprint)
    assert knock("/late")[0] == 500
    assert "the view must not wait for messages of the client before" in caplog.text


def test_short_pings_of_simple_websocket_reach_nobody():
    tap = taps.Tap({})
    tap.put("dGhlIHNhbXBsZSBub25jZQ==", "protoo")
    tap.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    assert tap.send(b"\x89\x00") == 2
    tap.bind()
    assert tap.send(b"\x89\x00") == 2
    assert tap.take_written() == b""
    tap.release()
