"""A site beside other sites and other WebSockets, and in special servers."""

from __future__ import annotations

import contextlib
import signal
import socket

from websockets.sync.client import connect

from . import sites
from .clients import (
    NO_PROXY,
    RawClient,
    Site,
    eventually,
)
from .processes import (
    DEADLINE,
    WHERE_BLOCKING_IS_FINE,
    start,
)

# In one process --------------------------------------------------------------------


def test_two_sites_in_one_process_do_not_see_each_others_peers(site, site_at, alice, bob):
    any_site = site_at("/any")
    with site.connect(alice, "a1") as a, any_site.connect(bob, "b1") as b:
        assert f"{bob}/b1" not in site.get("/peers")
        assert f"{alice}/a1" not in any_site.get("/peers")
        assert a.request("message", f"/users/{bob}")["status"] == 404
        assert b.request("message", f"/users/{alice}")["status"] == 404
        assert any_site.post(f"/disconnect/{alice}") == "0"


def test_sites_that_share_a_protoo_share_its_handlers_and_nothing_else(site_at, alice, bob):
    twin_1, twin_2 = site_at("/twin-1"), site_at("/twin-2")
    with twin_1.connect(alice, "a1") as a, twin_2.connect(bob, "b1") as b:
        assert a.request("get", "/peers")["data"] == {"peers": [f"{alice}/a1"]}
        assert b.request("get", "/peers")["data"] == {"peers": [f"{bob}/b1"]}
        assert a.request("message", f"/users/{bob}")["status"] == 404
        assert twin_1.get("/peers") == [f"{alice}/a1"]
        assert twin_2.post(f"/disconnect/{alice}") == "0"
        assert twin_1.post(f"/disconnect/{alice}") == "1"


@WHERE_BLOCKING_IS_FINE
def test_flask_sock_works_in_the_same_site(server, site, alice):
    # Werkzeug 2.0 logs this at the end of a flask-sock connection.
    server.allow_traceback(r"write\(\) before start_response")
    # Under pywsgi, flask-sock leaves the end of the TCP connection to the client.
    echo = connect(f"ws://{site.host}/echo", close_timeout=0.1, **NO_PROXY)
    with site.connect(alice) as a, echo as neighbour:
        for n in range(3):
            neighbour.send(f"{n}")
            assert neighbour.recv(DEADLINE) == f"{n}"
            assert a.request("get", "/echo", {"n": n})["data"] == {"n": n}


def test_an_ordinary_page_can_be_fetched_over_a_kept_connection(site, alice):
    with site.connect(alice) as a:
        with contextlib.closing(site.open_http()) as connection:
            for _ in range(2):
                connection.request("GET", "/hello")
                assert connection.getresponse().read() == b"hello from main"
        a.nothing_came()


# Responses changed by the site -----------------------------------------------------


def test_a_refreshed_session_reaches_the_client_in_the_handshake(site, alice):
    permanent = site.login(f"{alice}?permanent=1")

    answer = site.knock(Cookie=permanent)

    (cookie,) = answer.headers.get_all("Set-Cookie")
    assert cookie.startswith("session=")
    assert "Expires=" in cookie
    # The new cookie is valid for a handshake.
    assert site.knock(Cookie=cookie.split(";")[0]).status == 101
    assert "Set-Cookie" not in site.knock(Cookie=site.login(alice)).headers


def test_a_site_in_debug_mode_can_change_every_response(site_at, alice):
    proxied = site_at("/proxied")
    cookie = proxied.login(alice)

    answer = proxied.knock(Cookie=cookie)
    assert answer.status == 101
    assert answer.headers["Set-Cookie"].startswith("visited=yes")

    refused = proxied.knock()
    assert refused.status == 403
    assert refused.headers["X-Content-Type-Options"] == "nosniff"

    with proxied.connect(alice) as a:
        assert a.request("get", "/echo", {"n": 1})["data"] == {"n": 1}


# In special servers ----------------------------------------------------------------


def test_idle_clients_do_not_use_up_the_connections_of_gunicorn(start_gunicorn):
    server = start_gunicorn("-k", "gevent", "--worker-connections", "3", "--bind", "127.0.0.1:0")
    site = Site(server.port)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(site.connect("alice", str(n))) for n in range(6)]
        assert site.get("/hello") == "hello from main"
        for client in clients:
            client.nothing_came()
    assert server.complaints() == []


def test_gunicorns_other_gevent_worker_works(start_gunicorn):
    server = start_gunicorn("-k", "gevent_pywsgi", "--bind", "127.0.0.1:0")
    site = Site(server.port)
    assert site.knock().status == 403
    with site.connect("alice") as a:
        a.nothing_came()
        a.close()
    assert server.complaints() == []


def test_the_development_server_with_its_debugger_works(tmp_path):
    command = ["-m", "flask", "run", "--port", "0", "--debugger", "--no-reload"]
    environ = {"FLASK_DEBUG": "1", sites.DATABASE: str(tmp_path / "database")}
    server = start("flask-run", command, stop_signal=signal.SIGINT, **environ)
    try:
        shop = Site(server.port, "/shop")
        with shop.connect_with("?username=alice&uuid=a1") as a:
            assert a.request("get", "/crash")["status"] == 500
            server.expect_traceback("Deliberate: with a database connection in hand")
            assert a.request("get", "/query")["status"] == 200
            eventually(lambda: shop.get("/pool"), "0")
            server.interrupt()
            assert a.wait_for_close() == (1001, "shutting down")
    finally:
        server.stop()
    assert server.complaints() == []


def test_a_unix_socket_behind_a_proxy_works(start_gunicorn, tmp_path):
    path = str(tmp_path / "socket")
    server = start_gunicorn("-k", "gevent", "--bind", f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE)
        sock.connect(path)
        with RawClient(sock, "/twin-1/protoo", Host="chat.example") as raw:
            assert raw.status == 403
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE)
        sock.connect(path)
        with RawClient(sock, "/shop/protoo?username=alice&uuid=a1", Host="chat.example") as raw:
            raw.send_request("get", "/query", 1)
            assert raw.read_message()["data"]["rows"] == 1
    assert server.complaints() == []
