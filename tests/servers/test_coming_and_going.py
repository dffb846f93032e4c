"""The signals about peers that come and go, and the ways in which a connection ends."""

from __future__ import annotations

import json

import pytest

from .clients import (
    CLOSE,
    PING,
    PONG,
    eventually,
)


def signals(journal):
    return [entry for entry in journal if entry.startswith(("protoo-peer", "protoo-user"))]


# Signals ----------------------------------------------------------------------------


def test_signals_come_in_order(site, alice):
    a1 = site.connect(alice, "a1")
    a2 = site.connect(alice, "a2")
    eventually(
        lambda: signals(site.get(f"/journal/{alice}")),
        [
            f"protoo-peer-online a1 {alice}",
            "protoo-user-online",
            f"protoo-peer-online a2 {alice}",
        ],
    )
    a1.close()
    eventually(
        lambda: signals(site.get(f"/journal/{alice}"))[3:], [f"protoo-peer-offline a1 {alice}"]
    )
    a2.close()
    eventually(
        lambda: signals(site.get(f"/journal/{alice}"))[4:],
        [f"protoo-peer-offline a2 {alice}", "protoo-user-offline"],
    )


def test_a_peer_that_reconnects_is_offline_before_it_is_online_again(site, alice):
    for _ in range(5):
        site.connect(alice, "a1").close()
    online = [f"protoo-peer-online a1 {alice}", "protoo-user-online"]
    offline = [f"protoo-peer-offline a1 {alice}", "protoo-user-offline"]
    eventually(lambda: len(signals(site.get(f"/journal/{alice}"))) % 4, 0)

    found = signals(site.get(f"/journal/{alice}"))

    # A device that reconnects before its end is noticed takes over, without any signal.
    assert found == len(found) // 4 * (online + offline)


def test_a_peer_is_known_to_be_online_before_its_first_request_is_handled(site, alice):
    with site.connect(alice, "a1") as a:
        assert signals(a.journal())[0] == f"protoo-peer-online a1 {alice}"
        assert f"{alice}/a1" in a.request("get", "/peers")["data"]["peers"]


def test_a_client_with_a_broken_socket_is_offline(site, alice):
    with site.connect_raw(alice):
        eventually(lambda: site.get(f"/peers?username={alice}"), [f"{alice}/a1"])
    eventually(lambda: site.get(f"/peers?username={alice}"), [])


# Close codes ------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4321])
def test_the_close_code_of_a_client_is_echoed(site, alice, code):
    with site.connect_raw(alice) as raw:
        raw.send_frame(CLOSE, code.to_bytes(2, "big") + b"bye")
        assert raw.read_close() == (code, "")
    eventually(lambda: site.get(f"/peers?username={alice}"), [])


def test_a_close_without_a_code_is_answered_without_a_code(site, alice):
    with site.connect_raw(alice) as raw:
        raw.send_frame(CLOSE)
        assert raw.read_frame() == (CLOSE, b"")


def test_a_second_connection_of_the_same_device_takes_over(site, alice, bob):
    with site.connect(alice, "a1") as old, site.connect(bob) as b:
        with site.connect(alice, "a1") as new:
            assert old.wait_for_close() == (3000, "online elsewhere")
            assert site.get(f"/peers?username={alice}") == [f"{alice}/a1"]
            b.start("message", f"/users/{alice}")
            new.respond(new.expect("message"), 200)
            assert b.receive()["status"] == 200
            # The site gets no signal about it.
            assert signals(new.journal()) == [
                f"protoo-peer-online a1 {alice}",
                "protoo-user-online",
            ]


def test_a_request_in_progress_moves_to_the_new_connection(site, alice, bob):
    with site.connect(alice, "a1") as old, site.connect(bob) as b:
        id = b.start("message", f"/users/{alice}", {"text": "hi"})
        first = old.expect("message")
        with site.connect(alice, "a1") as new:
            again = new.expect("message")
            assert again == first
            new.respond(again, 200)
            assert b.receive()["id"] == id


def test_the_site_disconnects_a_user(site, alice, bob):
    with site.connect(alice, "a1") as a1, site.connect(alice, "a2") as a2, site.connect(bob) as b:
        site.expect(f"/peers?username={alice}", [f"{alice}/a1", f"{alice}/a2"])
        assert site.post(f"/disconnect/{alice}") == "2"
        # The peers are offline at once, before their clients answer the close.
        site.expect(f"/peers?username={alice}", [])
        for client in (a1, a2):
            assert client.wait_for_close() == (3001, "authorization revoked")
        b.nothing_came()
        assert site.post(f"/disconnect/{alice}") == "0"


def test_the_site_disconnects_a_device(site, alice):
    with site.connect(alice, "a1") as a1, site.connect(alice, "a2") as a2:
        assert site.post(f"/disconnect/{alice}?uuid=a1") == "1"
        assert a1.wait_for_close()[0] == 3001
        a2.nothing_came()


def test_a_closing_site_tells_its_clients_and_refuses_new_ones(site_at, alice, bob):
    closing = site_at("/closing")
    with closing.connect(alice) as a, closing.connect(bob) as b:
        closing.post("/close")
        for client in (a, b):
            assert client.wait_for_close() == (1001, "shutting down")
    cookie = closing.login(alice)
    for answer in (
        closing.knock(Cookie=cookie),
        closing.http("GET", "/protoo", {"Cookie": cookie}),
    ):
        assert (answer.status, answer.text) == (503, "shutting down")


# Keep-alive -------------------------------------------------------------------------


def test_a_silent_client_is_closed(site_at, alice):
    brisk = site_at("/brisk")
    with brisk.connect_raw(alice) as raw:
        assert raw.read_frame() == (PING, b"")
        assert raw.read_close() == (1008, "ping timeout")
    assert brisk.get(f"/peers?username={alice}") == []


def test_a_client_that_answers_pings_stays(site_at, alice):
    with site_at("/brisk").connect_raw(alice) as raw:
        for _ in range(3):
            assert raw.read_frame() == (PING, b"")
            raw.send_frame(PONG)
        raw.send_request("get", "/echo", 1)
        assert raw.read_message()["status"] == 200


def test_a_client_that_sends_requests_instead_of_pongs_stays(site_at, alice):
    with site_at("/brisk").connect_raw(alice) as raw:
        for n in range(1, 4):
            assert raw.read_frame() == (PING, b"")
            raw.send_request("get", "/echo", n)
            answer = raw.read_frame()
            while answer == (PING, b""):  # on a busy machine, the next one may come before
                answer = raw.read_frame()
            assert json.loads(answer[1])["id"] == n
