"""Connections that break at the worst moments: nothing is lost, and nothing done twice."""

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
    """The site that waits for a minute."""
    return site_at("/patient")


def deeds(site: Site, username: str) -> list[str]:
    return [entry for entry in site.get(f"/journal/{username}") if entry.startswith("did")]


def signals(site: Site, username: str) -> list[str]:
    found = [entry.split()[0] for entry in site.get(f"/journal/{username}")]
    return [entry for entry in found if entry.startswith("protoo-")]


def wait_until_away(site: Site, username: str) -> None:
    eventually(lambda: signals(site, username)[-1:], ["protoo-peer-disconnect"])


# Who is there -----------------------------------------------------------------------


def test_a_device_that_comes_back_was_never_offline(patient, alice):
    with patient.connect_raw(alice) as raw:
        raw.break_off()
    wait_until_away(patient, alice)
    assert patient.get(f"/peers?username={alice}") == [f"{alice}/a1"]
    with patient.connect(alice):
        online = ["protoo-peer-online", "protoo-user-online"]
        away = ["protoo-peer-disconnect", "protoo-peer-reconnect"]
        eventually(lambda: signals(patient, alice), online + away)


def test_a_device_that_does_not_come_back_is_offline_when_its_time_is_up(site_at, alice):
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
def test_only_who_takes_leave_is_offline_at_once(patient, alice, payload, end):
    with patient.connect_raw(alice) as raw:
        raw.send_frame(CLOSE, payload)
        assert raw.read_frame()[0] == CLOSE
    eventually(lambda: signals(patient, alice)[-1:], [end])


def test_who_is_disconnected_by_the_site_while_away_is_offline_at_once(patient, alice):
    with patient.connect_raw(alice) as raw:
        raw.break_off()
    wait_until_away(patient, alice)
    assert patient.post(f"/disconnect/{alice}") == "1"
    eventually(lambda: signals(patient, alice)[-1:], ["protoo-user-offline"])


# What the client asks ---------------------------------------------------------------


def test_a_request_whose_response_was_lost_is_answered_again_and_done_once(patient, alice):
    with patient.connect_raw(alice) as raw:
        raw.send_request("put", "/deed/a", 7)
        eventually(lambda: deeds(patient, alice), ["did a"])
        raw.break_off()
    with patient.connect_raw(alice) as raw:
        raw.send_request("put", "/deed/a", 7)
        answer = raw.read_message()
        # It may have waited as well, if the break was noticed before it was written.
        assert (answer["id"], answer["reason"], answer["data"]) == (7, "done", {"name": "a"})
        raw.send_request("get", "/echo", 8)
        while raw.read_message()["id"] != 8:
            pass
    assert deeds(patient, alice) == ["did a"]


def test_a_request_that_arrived_in_part_is_done_when_it_is_repeated(patient, alice):
    with patient.connect_raw(alice) as raw:
        raw.send_part_of_request("put", "/deed/a", 7)
        raw.break_off()
    with patient.connect_raw(alice) as raw:
        raw.send_request("put", "/deed/a", 7)
        assert raw.read_message()["reason"] == "done"
    assert deeds(patient, alice) == ["did a"]


@WHERE_BLOCKING_IS_FINE
def test_a_request_that_is_being_handled_is_answered_over_the_new_connection(patient, alice, bob):
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
def test_a_request_that_is_answered_meanwhile_has_its_answer_waiting(patient, alice, bob):
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


# What the client is asked -----------------------------------------------------------


def test_a_message_that_was_not_answered_comes_again_with_its_id(patient, alice, bob):
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


def test_what_is_sent_to_a_device_that_is_away_waits_in_order(patient, alice, bob):
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


def test_a_connection_that_takes_over_before_the_end_of_the_old_one_is_noticed(patient, alice, bob):
    with patient.connect(alice) as a, patient.connect_raw(bob) as silent:
        id = a.start("message", f"/users/{bob}")
        silent.read_message()
        with patient.connect(bob) as b:
            b.respond(b.expect("message"), 200)
            assert a.receive()["id"] == id
            assert silent.read_close() == (3000, "online elsewhere")
    assert "protoo-peer-disconnect" not in signals(patient, alice)


# All of it at once ------------------------------------------------------------------


class Survivor:
    """A client as docs/wire-protocol.md wants it, whose connection breaks now and then."""

    def __init__(self, site: Site, username: str, dice: random.Random) -> None:
        self._site, self._username, self._dice = site, username, dice
        self._raw: RawClient | None = None
        #: id of a request -> how to send it, until its answer is there.
        self.waiting: dict[int, tuple[str, str]] = {}
        self.answers: dict[int, list[dict[str, Any]]] = {}
        #: id of a request of the server -> what was answered.
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
        """Take one message; the connection may break before or after the answer to it."""
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
        """Take messages until there is one of this name, after which nothing breaks."""
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
def test_however_often_the_connection_breaks_each_request_is_done_once(patient, alice, seed):
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
def test_however_often_it_breaks_each_message_is_acted_upon_and_answered_once(
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
