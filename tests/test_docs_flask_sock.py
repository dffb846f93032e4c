"""The code of docs/flask-sock.md, run by a real server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from websockets.sync.client import connect as connect_plainly

from tests.servers.clients import NO_PROXY, Client, Site, eventually, handshake_headers
from tests.servers.processes import start

PAGE = Path(__file__).parents[1] / "docs" / "flask-sock.md"

TESTED = """
@app.get("/login/<name>")
def login(name):
    session["username"] = name
    return "welcome"

@app.get("/peers")
def peers():
    import json
    return json.dumps([[peer.username, peer.uuid, peer.data] for peer in protoo.peers()])
"""


@pytest.fixture(scope="module", params=["gunicorn", "flask-run"])
def site(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    code = "\n".join([*blocks, TESTED])
    (folder / "documented_site.py").write_text(code)
    commands = {
        "gunicorn": ["-m", "gunicorn", "-k", "gevent", "-b", "127.0.0.1:0", "documented_site:app"],
        "flask-run": ["-m", "flask", "run", "--port", "0"],
    }
    command = commands[request.param]
    server = start(request.param, command, cwd=folder, FLASK_APP="documented_site")
    try:
        yield Site(server.port)
        assert server.complaints() == []
    finally:
        server.stop()


def connect(site, path, **headers):
    return Client(f"ws://{site.host}{path}", additional_headers=headers, compression=None)


def peers_of(site):
    return json.loads(site.get("/peers"))


@pytest.mark.parametrize("path", ["/protoo", "/signal"])
def test_who_has_logged_in_talks_over_either_route(site, path):
    with connect(site, f"{path}?uuid=a1", Cookie=site.login("alice")) as alice:
        assert peers_of(site) == [["alice", "a1", None]]
        assert alice.request("get", "/time")["data"] == {"now": "12:00"}
    eventually(lambda: peers_of(site), [])


def test_a_device_takes_over_from_one_route_to_the_other(site):
    cookie = site.login("alice")
    with connect(site, "/protoo?uuid=a1", Cookie=cookie) as first:
        with connect(site, "/signal?uuid=a1", Cookie=cookie) as second:
            assert first.wait_for_close()[0] == 3000
            assert second.request("get", "/time")["status"] == 200
    eventually(lambda: peers_of(site), [])


def test_a_device_with_a_token_needs_no_login(site):
    with connect(site, "/devices?token=secret-1") as sensor:
        assert peers_of(site) == [["sensor", "roof", {"kind": "sensor"}]]
        assert sensor.request("get", "/time")["status"] == 200
    eventually(lambda: peers_of(site), [])


@pytest.mark.parametrize("path", ["/protoo", "/signal", "/devices", "/devices?token=wrong"])
def test_everybody_else_is_refused_by_a_status(site, path):
    assert site.http("GET", path, handshake_headers({})).status == 403


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_the_other_routes_are_untouched(site, compression):
    url = f"ws://{site.host}/echo"
    with connect_plainly(url, compression=compression, **NO_PROXY) as echo:
        assert echo.subprotocol is None
        assert ("Sec-WebSocket-Extensions" in echo.response.headers) is (compression is not None)
        for text in ("x", "y" * 5000):
            echo.send(text)
            assert echo.recv(10) == text
