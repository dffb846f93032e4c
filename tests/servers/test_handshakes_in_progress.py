"""Handshakes that are being authorized while something else happens to their device or user."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from .clients import RawClient, Site, eventually, handshake_headers
from .processes import DEADLINE

REVOKED = (3001, "authorization revoked")
ELSEWHERE = (3000, "online elsewhere")

STAGES = ["session", "before", "authorizer", "after"]


class Handshake:
    """A handshake that the site holds; the client has sent it and waits for the answer."""

    def __init__(self, slow: Site, username: str, uuid: str, at: str = "authorizer") -> None:
        self._slow = slow
        self.gate = f"{username}-{uuid}-{at}"
        cookie = slow.login(username)
        self._sock = socket.create_connection(("127.0.0.1", slow.port), DEADLINE)
        target = f"{slow.prefix}/protoo?uuid={uuid}&gate={self.gate}&at={at}"
        headers = handshake_headers({"Host": slow.host, "Cookie": cookie})
        lines = [f"GET {target} HTTP/1.1", *(f"{key}: {headers[key]}" for key in headers)]
        self._sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        eventually(lambda: slow.get(f"/holds/{self.gate}"), True)

    def go_on(self) -> None:
        self._slow.post(f"/open/{self.gate}")

    def wait_for_end(self) -> None:
        """Wait until no handshake is in progress."""
        eventually(lambda: self._slow.get("/in-progress"), "0")

    def take_answer(self) -> RawClient:
        return RawClient.of_answer(self._sock)

    def hang_up(self, how: str) -> None:
        if how == "reset":
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._sock.close()

    def send_early(self, client_frame: bytes) -> None:
        """Send a frame without waiting for the answer, and then nothing more."""
        self._sock.sendall(client_frame)
        self._sock.shutdown(socket.SHUT_WR)


@pytest.fixture
def slow(site_at):
    """Return the site that takes its time for handshakes."""
    return site_at("/slow")


def fate_of(handshake: Handshake) -> Any:
    """Return how a handshake that went on has ended: a status, or code and reason."""
    with handshake.take_answer() as client:
        return client.read_close() if client.status == 101 else client.status


def events_of(slow: Site, username: str) -> list[str]:
    """Return the events of a user's devices, such as "online a1"."""
    entries = [entry.split() for entry in slow.get(f"/journal/{username}")]
    prefix = "protoo-peer-"
    return [f"{words[0][len(prefix) :]} {words[1]}" for words in entries if prefix in words[0]]


# Two handshakes of one device --------------------------------------------------------


@pytest.mark.parametrize("at", STAGES)
def test_the_later_handshake_keeps_the_device_though_the_earlier_is_done_last(slow, alice, at):
    early = Handshake(slow, alice, "a1", at)
    with slow.connect(alice, "a1") as late:
        early.go_on()
        assert fate_of(early) == ELSEWHERE
        late.nothing_came()
        assert events_of(slow, alice) == ["online a1"]


def test_the_earlier_handshake_does_not_get_the_messages_that_wait_for_its_device(slow, alice):
    early = Handshake(slow, alice, "a1")
    with slow.connect_raw(alice, "a1") as late:
        late.break_off()
    eventually(lambda: events_of(slow, alice)[-1:], ["disconnect a1"])
    early.go_on()
    assert fate_of(early) == ELSEWHERE
    assert events_of(slow, alice)[-1] == "disconnect a1"
    with slow.connect(alice, "a1"):
        eventually(lambda: events_of(slow, alice)[-1:], ["reconnect a1"])


def test_a_device_that_has_left_is_not_brought_back_by_an_earlier_handshake(slow, alice):
    early = Handshake(slow, alice, "a1")
    slow.connect(alice, "a1").close()
    eventually(lambda: slow.get(f"/peers?username={alice}"), [])
    early.go_on()
    assert fate_of(early) == ELSEWHERE
    assert events_of(slow, alice) == ["online a1", "offline a1"]


def test_handshakes_of_other_devices_do_not_matter(slow, alice, bob):
    early = Handshake(slow, alice, "a1")
    with slow.connect(alice, "a2") as other, slow.connect(bob, "a1"):
        early.go_on()
        with early.take_answer() as client:
            assert client.status == 101
            assert slow.get(f"/peers?username={alice}") == [f"{alice}/a1", f"{alice}/a2"]
        other.nothing_came()


# A client that has gone ---------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_has_gone_does_not_come_online(slow, alice, how):
    gone = Handshake(slow, alice, "a1")
    gone.hang_up(how)
    gone.go_on()
    gone.wait_for_end()
    with slow.connect(alice, "a2") as client:
        client.nothing_came()
        assert slow.get(f"/peers?username={alice}") == [f"{alice}/a2"]
        assert events_of(slow, alice) == ["online a2"]


def test_a_client_that_has_gone_takes_over_nothing(slow, alice):
    with slow.connect(alice, "a1") as client:
        gone = Handshake(slow, alice, "a1")
        gone.hang_up("close")
        gone.go_on()
        gone.wait_for_end()
        client.nothing_came()
        assert slow.get(f"/peers?username={alice}") == [f"{alice}/a1"]


def test_a_client_with_a_message_before_its_end_is_still_there(slow, alice):
    handshake = Handshake(slow, alice, "a1")
    handshake.send_early(b"\x89\x80\0\0\0\0")  # a ping
    handshake.go_on()
    with handshake.take_answer() as client:
        assert client.status == 101
    eventually(lambda: events_of(slow, alice), ["online a1", "disconnect a1"])


# Disconnecting a user meanwhile ---------------------------------------------------------


@pytest.mark.parametrize("which", ["", "?uuid=a1"], ids=["the user", "the device"])
@pytest.mark.parametrize("at", STAGES)
def test_disconnect_turns_handshakes_in_progress_away(slow, alice, at, which):
    handshake = Handshake(slow, alice, "a1", at)
    assert slow.post(f"/disconnect/{alice}{which}") == "0"
    handshake.go_on()
    # After the view, the answer has been made already.
    assert fate_of(handshake) == (REVOKED if at == "after" else 403)
    assert slow.get(f"/peers?username={alice}") == []
    assert events_of(slow, alice) == []
    with slow.connect(alice, "a1"):
        assert slow.get(f"/peers?username={alice}") == [f"{alice}/a1"]


def test_disconnect_counts_connections_and_turns_their_successors_away(slow, alice):
    with slow.connect(alice, "a1") as client:
        handshake = Handshake(slow, alice, "a1")
        assert slow.post(f"/disconnect/{alice}") == "1"
        assert client.wait_for_close() == REVOKED
    handshake.go_on()
    assert fate_of(handshake) == 403


def test_disconnect_in_the_grace_period_turns_the_returning_device_away(slow, alice):
    with slow.connect_raw(alice, "a1") as client:
        client.break_off()
    eventually(lambda: events_of(slow, alice)[-1:], ["disconnect a1"])
    handshake = Handshake(slow, alice, "a1")
    assert slow.post(f"/disconnect/{alice}") == "1"
    handshake.go_on()
    assert fate_of(handshake) == 403
    assert slow.get(f"/peers?username={alice}") == []


def test_disconnecting_a_device_or_another_user_spares_the_others(slow, alice, bob):
    handshake = Handshake(slow, alice, "a1")
    slow.post(f"/disconnect/{alice}?uuid=a2")
    slow.post(f"/disconnect/{bob}")
    handshake.go_on()
    with handshake.take_answer() as client:
        assert client.status == 101


def test_an_authorizer_may_disconnect_the_other_devices_of_its_user(slow, alice):
    cookie = slow.login(alice)
    with slow.connect_with("?uuid=a1", Cookie=cookie) as old:
        pending = Handshake(slow, alice, "a2")
        with slow.connect_with("?uuid=a3&kick=others", Cookie=cookie) as new:
            assert old.wait_for_close() == (3001, "one device at a time")
            pending.go_on()
            assert fate_of(pending) == 403
            new.nothing_came()


@pytest.mark.parametrize(("code", "fate"), [(3001, 403), (1000, 101)])
def test_closing_a_peer_turns_its_next_handshake_away_if_it_has_no_permission(
    slow, alice, code, fate
):
    with slow.connect(alice, "a1"):
        handshake = Handshake(slow, alice, "a1")
        slow.post(f"/close/{alice}/a1?code={code}")
        handshake.go_on()
        with handshake.take_answer() as client:
            assert client.status == fate


def test_nothing_is_remembered_when_no_handshake_is_in_progress(slow, alice):
    handshake = Handshake(slow, alice, "a1")
    slow.post(f"/disconnect/{alice}")
    slow.connect(alice, "a2").close()
    assert slow.get("/closures") != "0"
    handshake.go_on()
    assert fate_of(handshake) == 403
    eventually(lambda: slow.get("/closures"), "0")


def test_a_handshake_in_progress_does_not_get_into_a_site_that_closes(site_at, alice):
    closing = site_at("/closing-early")
    answer = closing.knock("?close", Cookie=closing.login(alice))
    assert (answer.status, answer.text) == (503, "shutting down")
    assert closing.get("/peers") == []
