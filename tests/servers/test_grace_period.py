"""Connections that break at the worst moments: no request is lost or handled twice."""

from __future__ import annotations

import json
import random
import threading
from typing import Any

import pytest

from .clients import (
    CLOSE,
    PING,
    TEXT,
    RawClient,
    Site,
    eventually,
)
from .processes import DEADLINE, WHERE_BLOCKING_IS_FINE


@pytest.fixture
def patient(site_at):
    """The site with a grace period of a minute."""
    return site_at("/patient")


def deeds(site: Site, username: str) -> list[str]:
    return [entry for entry in site.get(f"/journal/{username}") if entry.startswith("did")]


def signals(site: Site, username: str) -> list[str]:
    found = [entry.split()[0] for entry in site.get(f"/journal/{username}")]
    return [entry for entry in found if entry.startswith("protoo-")]


def wait_until_away(site: Site, username: str) -> None:
    eventually(lambda: signals(site, username)[-1:], ["protoo-peer-disconnect"])


# Presence ---------------------------------------------------------------------------


def test_a_device_that_reconnects_was_never_offline(patient, alice):
    with patient.connect_raw(alice) as raw:
        raw.break_off()
    wait_until_away(patient, alice)
    assert patient.get(f"/peers?username={alice}") == [f"{alice}/a1"]
    with patient.connect(alice):
        online = ["protoo-peer-online", "protoo-user-online"]
        away = ["protoo-peer-disconnect", "protoo-peer-reconnect"]
        eventually(lambda: signals(patient, alice), online + away)


def test_a_device_that_does_not_reconnect_is_offline_after_the_grace_period(site_at, alice):
    hasty = site_at("/hasty")
    with hasty.connect_raw(alice) as raw:
        raw.break_off()
    online = ["protoo-peer-online", "protoo-user-online"]
    offline = ["protoo-peer-offline", "protoo-user-offline"]
    eventually(lambda: signals(hasty, alice), [*online, "protoo-peer-disconnect", *offline])
    assert hasty.get(f"/peers?username={alice}") == []


@pytest.mark.parametrize(
    ("payload", "end"),
    [
        (b"\x03\xe8", "protoo-user-offline"),
        (b"", "protoo-user-offline"),
        (b"\x03\xe9", "protoo-peer-disconnect"),
        (b"\x10\x00", "protoo-peer-disconnect"),
    ],
    ids=["1000", "no code", "1001", "4096"],
)
def test_only_a_normal_close_makes_a_peer_offline_at_once(patient, alice, payload, end):
    with patient.connect_raw(alice) as raw:
        raw.send_frame(CLOSE, payload)
        assert raw.read_frame()[0] == CLOSE
    eventually(lambda: signals(patient, alice)[-1:], [end])


def test_an_absent_peer_disconnected_by_the_site_is_offline_at_once(patient, alice):
    with patient.connect_raw(alice) as raw:
        raw.break_off()
    wait_until_away(patient, alice)
    assert patient.post(f"/disconnect/{alice}") == "1"
    eventually(lambda: signals(patient, alice)[-1:], ["protoo-user-offline"])


# Requests of the client -------------------------------------------------------------


def test_a_request_with_a_lost_response_is_answered_again_but_handled_once(patient, alice):
    with patient.connect_raw(alice) as raw:
        raw.send_request("put", "/deed/a", 7)
        eventually(lambda: deeds(patient, alice), ["did a"])
        raw.break_off()
    with patient.connect_raw(alice) as raw:
        raw.send_request("put", "/deed/a", 7)
        answer = raw.read_message()
        # The answer may also have waited, if the break was noticed before it was written.
        assert (answer["id"], answer["reason"], answer["data"]) == (7, "done", {"name": "a"})
        raw.send_request("get", "/echo", 8)
        while raw.read_message()["id"] != 8:
            pass
    assert deeds(patient, alice) == ["did a"]


def test_a_request_that_arrived_in_part_is_handled_when_it_is_repeated(patient, alice):
    with patient.connect_raw(alice) as raw:
        raw.send_part_of_request("put", "/deed/a", 7)
        raw.break_off()
    with patient.connect_raw(alice) as raw:
        raw.send_request("put", "/deed/a", 7)
        assert raw.read_message()["reason"] == "done"
    assert deeds(patient, alice) == ["did a"]


@WHERE_BLOCKING_IS_FINE
def test_a_request_in_progress_is_answered_over_the_new_connection(patient, alice, bob):
    with patient.connect_raw(alice) as raw:
        raw.send_request("get", f"/gate/{alice}/wait", 7)
        assert raw.read_message()["status"] == 100
        raw.break_off()
    wait_until_away(patient, alice)
    with patient.connect_raw(alice) as raw, patient.connect(bob) as b:
        raw.send_request("get", f"/gate/{alice}/wait", 7)
        assert raw.read_message()["status"] == 100
        assert b.request("get", f"/gate/{alice}/open")["status"] == 200
        assert raw.read_message() == {"status": 200, "reason": "", "id": 7, "data": {}}
    assert patient.get(f"/journal/{alice}").count("at the gate") == 1


@WHERE_BLOCKING_IS_FINE
def test_an_answer_given_during_the_absence_waits_for_the_client(patient, alice, bob):
    with patient.connect_raw(alice) as raw:
        raw.send_request("get", f"/gate/{alice}/wait", 7)
        assert raw.read_message()["status"] == 100
        raw.break_off()
    wait_until_away(patient, alice)
    with patient.connect(bob) as b:
        assert b.request("get", f"/gate/{alice}/open")["status"] == 200
        eventually(
            lambda: f"teardown_request get /gate/{alice}/wait" in b_journal(patient, alice), True
        )
    with patient.connect_raw(alice) as raw:
        assert raw.read_message() == {"status": 200, "reason": "", "id": 7, "data": {}}


def b_journal(site: Site, username: str) -> list[str]:
    entries: list[str] = site.get(f"/journal/{username}")
    return entries


# Requests to the client -------------------------------------------------------------


def test_an_unanswered_message_is_repeated_with_the_same_id(patient, alice, bob):
    with patient.connect(alice) as a:
        with patient.connect_raw(bob) as raw:
            id = a.start("message", f"/users/{bob}", {"text": "hi"})
            first = raw.read_message()
            raw.break_off()
        with patient.connect(bob) as b:
            again = b.expect("message")
            assert again == first
            b.respond(again, 200, "read")
            answer = a.receive()
            assert (answer["id"], answer["reason"]) == (id, "read")
            a.nothing_came()
            b.nothing_came()


def test_messages_to_an_absent_device_wait_in_order(patient, alice, bob):
    with patient.connect(alice) as a:
        with patient.connect_raw(bob) as raw:
            raw.break_off()
        wait_until_away(patient, bob)
        for n in range(20):
            if n % 2:
                a.start("message", f"/users/{bob}", {"n": n})
            else:
                a.notify("message", f"/users/{bob}", {"n": n})
        a.nothing_came()
        with patient.connect(bob) as b:
            for n in range(20):
                message = b.expect("message")
                assert (message["data"]["n"], "id" in message) == (n, bool(n % 2))
                if n % 2:
                    b.respond(message, 200, str(n))
                    assert a.receive()["reason"] == str(n)
            b.nothing_came()


def test_a_new_connection_takes_over_before_the_end_of_the_old_is_noticed(patient, alice, bob):
    with patient.connect(alice) as a, patient.connect_raw(bob) as silent:
        id = a.start("message", f"/users/{bob}")
        silent.read_message()
        with patient.connect(bob) as b:
            b.respond(b.expect("message"), 200)
            assert a.receive()["id"] == id
            assert silent.read_close() == (3000, "online elsewhere")
    assert "protoo-peer-disconnect" not in signals(patient, alice)


# Many breaks at random moments ------------------------------------------------------


class Survivor:
    """A client that follows docs/wire-protocol.md, with a connection that breaks at random."""

    def __init__(self, site: Site, username: str, dice: random.Random) -> None:
        self._site, self._username, self._dice = site, username, dice
        self._raw: RawClient | None = None
        #: {id of an unanswered request: (method, path)}
        self.waiting: dict[int, tuple[str, str]] = {}
        self.answers: dict[int, list[dict[str, Any]]] = {}
        #: {id of a request of the server: the answer to it}
        self.seen: dict[int, bytes] = {}
        self.acted: list[Any] = []
        self._last: Any = None
        self.breaks = 0

    def connect(self) -> None:
        self._raw = self._site.connect_raw(self._username)
        for id, (method, path) in self.waiting.items():
            self._raw.send_request(method, path, id)

    def ask(self, method: str, path: str, id: int) -> None:
        assert self._raw is not None
        self.waiting[id] = (method, path)
        if self._dice.random() < 0.2:
            self._raw.send_part_of_request(method, path, id)
            self.break_off()
            return
        self._raw.send_request(method, path, id)
        if self._dice.random() < 0.2:
            self.break_off()

    def read(self) -> None:
        """Read one message; the connection may break before or after the answer to it."""
        assert self._raw is not None
        opcode, payload = self._raw.read_frame()
        if opcode == PING:
            return
        message = json.loads(payload)
        if "status" in message:
            self.waiting.pop(message["id"], None)
            self.answers.setdefault(message["id"], []).append(message)
        else:
            self._act(message)

    def serve_until(self, name: str) -> None:
        """Read messages until the one with this name; that one never breaks the connection."""
        self._last = name
        while name not in self.acted:
            self.read()

    def _act(self, message: dict[str, Any]) -> None:
        assert self._raw is not None
        if message["id"] not in self.seen:
            self.acted.append(message["data"]["name"])
            self.seen[message["id"]] = b'{"status":200,"reason":"acted","id":%d}' % message["id"]
        is_last = message["data"]["name"] == self._last
        if not is_last and self._dice.random() < 0.3:
            self.break_off()
            return
        self._raw.send_frame(TEXT, self.seen[message["id"]])
        if not is_last and self._dice.random() < 0.3:
            self.break_off()

    def break_off(self) -> None:
        assert self._raw is not None
        self._raw.break_off()
        self.breaks += 1
        self.connect()

    def close(self) -> None:
        assert self._raw is not None
        self._raw.send_frame(CLOSE, b"\x03\xe8")
        self._raw.__exit__()


@pytest.mark.parametrize("seed", range(3))
def test_each_request_is_handled_once_with_any_number_of_breaks(patient, alice, seed):
    survivor = Survivor(patient, alice, random.Random(seed))
    survivor.connect()
    for id in range(1, 41):
        survivor.ask("put", f"/deed/{id}", id)
        if id % 5 == 0:
            while survivor.waiting:
                survivor.read()
    survivor.close()
    assert survivor.breaks > 5
    assert sorted(deeds(patient, alice)) == sorted(f"did {id}" for id in range(1, 41))
    assert sorted(survivor.answers) == list(range(1, 41))
    for id, answers in survivor.answers.items():
        assert {answer["data"]["name"] for answer in answers} == {str(id)}


@pytest.mark.parametrize("seed", range(3))
def test_each_message_is_handled_and_answered_once_with_any_number_of_breaks(
    patient, alice, bob, seed
):
    survivor = Survivor(patient, bob, random.Random(seed))
    survivor.connect()
    serving = threading.Thread(target=survivor.serve_until, args=("the last",), daemon=True)
    serving.start()
    with patient.connect(alice) as a:
        names = [*range(30), "the last"]
        ids = [a.start("message", f"/users/{bob}", {"name": name}) for name in names]
        answers = [a.receive() for _ in names]
        serving.join(DEADLINE)
        assert sorted(answer["id"] for answer in answers) == ids
        assert {answer["reason"] for answer in answers} == {"acted"}
        a.nothing_came()
    assert survivor.acted == names
    assert survivor.breaks > 5
    survivor.close()
