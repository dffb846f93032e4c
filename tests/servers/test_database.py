"""A database pool with a single connection, which every step of a site uses in turn."""

from __future__ import annotations

import contextlib

import pytest

from .clients import eventually


@pytest.fixture
def shop(site_at):
    return site_at("/shop")


def connect(shop, username, uuid):
    return shop.connect_with(f"?username={username}&uuid={uuid}")


def test_idle_peers_hold_no_database_connection(shop, alice):
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(connect(shop, alice, n)) for n in range(5)]
        for peer in peers:
            answer = peer.request("get", "/query")
            # The one connection is in use by the handler itself.
            assert answer["data"] == {"rows": 1, "checked_out": 1}
        eventually(lambda: shop.get("/pool"), "0")
        assert shop.get("/hello") == "1"
        for peer in peers:
            assert peer.request("get", "/query")["status"] == 200
        eventually(lambda: shop.get("/pool"), "0")


def test_a_failing_handler_returns_its_database_connection(server, shop, alice):
    with connect(shop, alice, "a1") as a:
        assert a.request("get", "/crash")["status"] == 500
        server.expect_traceback("Deliberate: with a database connection in hand")
        assert a.request("get", "/nowhere")["status"] == 404
        a.notify("get", "/query")
        a.start("get", "/ask")
        a.respond(a.expect("question"), 200)
        assert a.receive()["data"] == {"rows": 1}
        eventually(lambda: shop.get("/pool"), "0")


def test_signal_receivers_return_their_database_connection(shop, alice):
    connect(shop, alice, "a1").close()
    eventually(lambda: shop.get("/pool"), "0")
    assert shop.get("/hello") == "1"


def test_a_view_that_disconnects_a_user_keeps_its_own_transaction(shop, alice):
    with connect(shop, alice, "a1") as a, connect(shop, alice, "a2"):
        answer = shop.post(f"/disconnect/{alice}")
        assert answer == {"count": 2, "still_ours": True, "g": True}
        assert a.wait_for_close() == (3001, "authorization revoked")
    eventually(lambda: shop.get("/pool"), "0")
