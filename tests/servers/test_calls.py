"""Calls over real servers: a whole call, and interruptions at the worst moments."""

from __future__ import annotations

import threading

import pytest

from .clients import eventually
from .processes import DEADLINE


@pytest.fixture
def phone(site_at):
    """The site with calls, and a long grace period."""
    return site_at("/phone")


def call(caller, path, **data):
    """Start a call; returns the id of the request and the path of the call."""
    id = caller.start("session", path, data)
    answer = caller.receive()
    assert (answer["status"], answer["reason"], answer["id"]) == (100, "connecting", id)
    return id, answer["data"]["sessionPath"]


def take_end(client, **data):
    """Expect an ``end`` request with this data, and accept it."""
    request = client.expect("end")
    assert request["data"] == data
    client.respond(request, 200)
    return request


def calls(site, username):
    return [entry for entry in site.get(f"/journal/{username}") if entry.startswith("call")]


def test_a_call_rings_opens_is_held_and_ends(phone, alice, bob):
    with phone.connect(alice) as a, phone.connect(bob, "b1") as b1, phone.connect(bob, "b2") as b2:
        id, path = call(a, f"/users/{bob}", sdp="offer")
        sender = {"username": alice, "uuid": "a1"}
        rung = [b1.expect("session"), b2.expect("session")]
        for request in rung:
            assert request["data"] == {"sdp": "offer", "sessionPath": path}
            assert request["sender"] == sender

        b2.respond(rung[1], 180, "ringing")
        assert a.receive() == {"status": 180, "reason": "ringing", "id": id, "data": {}}
        a.notify("icecandidate", path, {"candidate": "..."})
        for b in (b1, b2):
            candidate = b.expect("icecandidate")
            assert candidate["data"] == {"candidate": "...", "sessionPath": path}
            assert candidate["sender"] == sender

        b2.respond(rung[1], 200, "hi", sdp="answer")
        answer = a.receive()
        assert answer == {
            "status": 200,
            "reason": "hi",
            "id": id,
            "data": {"sdp": "answer"},
        }
        take_end(b1, sessionPath=path, reason="answered elsewhere")

        hold = b2.start("hold", path)
        request = a.expect("hold")
        assert request["sender"] == {"username": bob, "uuid": "b2"}
        a.respond(request, 200, "held")
        answer = b2.receive()
        assert (answer["id"], answer["reason"]) == (hold, "held")
        assert b1.request("hold", path)["status"] == 403

        assert b2.request("end", path, {"why": "lunch"})["reason"] == "session ended"
        assert take_end(a, sessionPath=path, why="lunch")["sender"]["uuid"] == "b2"
        assert a.request("end", path)["status"] == 404
        for client in (a, b1, b2):
            client.nothing_came()
    story = [f"calls {bob}", "call progress None", "call open None", "call close ended"]
    eventually(lambda: calls(phone, alice), story)
    assert calls(phone, bob) == []
    # Listeners have their own contexts, which are torn down like those of a message.
    eventually(lambda: "teardown_request call close" in phone.get(f"/journal/{alice}"), True)


def test_a_caller_that_hangs_up_before_the_answer_cancels_the_call(phone, alice, bob):
    with phone.connect(alice) as a, phone.connect(bob) as b:
        id, path = call(a, f"/users/{bob}")
        b.expect("session")
        assert a.request("end", path)["reason"] == "session canceled"
        assert a.receive() == {"status": 487, "reason": "canceled", "id": id, "data": {}}
        take_end(b, sessionPath=path, reason="canceled")
    eventually(lambda: calls(phone, alice), [f"calls {bob}", "call close canceled"])


def test_a_call_that_nobody_answers_ends_with_a_timeout(site_at, alice, bob):
    impatient = site_at("/impatient")
    with impatient.connect(alice) as a, impatient.connect(bob) as b:
        id, path = call(a, f"/users/{bob}")
        b.expect("session")
        assert a.receive() == {"status": 408, "reason": "request timeout", "id": id, "data": {}}
        take_end(b, sessionPath=path, reason="timeout")


def test_a_busy_phone_is_heard_beside_a_page_that_does_not_know_calls(phone, alice, bob):
    with phone.connect(alice) as a, phone.connect(bob, "b1") as b1, phone.connect(bob, "b2") as b2:
        id, path = call(a, f"/users/{bob}")
        page, handset = b1.expect("session"), b2.expect("session")
        # Inside the call, too.
        update = a.start("update", path)
        b1.respond(b1.expect("update"), 405)
        b2.respond(b2.expect("update"), 488, "no video")
        assert a.receive() == {"status": 488, "reason": "no video", "id": update, "data": {}}

        b1.respond(page, 404, "not found")
        b2.respond(handset, 486, "busy", until="noon")
        answer = {"status": 486, "reason": "busy", "id": id, "data": {"until": "noon"}}
        assert a.receive() == answer


def test_a_device_that_connects_while_the_call_rings_can_answer_it(phone, alice, bob):
    with phone.connect(alice) as a, phone.connect(bob, "b1") as b1:
        id, path = call(a, f"/users/{bob}")
        b1.expect("session")
        a.notify("icecandidate", path, {"n": 1})
        b1.expect("icecandidate")
        with phone.connect(bob, "b2") as b2:
            request = b2.expect("session")
            assert b2.expect("icecandidate")["data"] == {"n": 1, "sessionPath": path}
            b2.respond(request, 200)
            assert a.receive()["id"] == id
            take_end(b1, sessionPath=path, reason="answered elsewhere")
            assert a.request("end", path)["status"] == 200
            take_end(b2, sessionPath=path)


def test_a_party_whose_connection_breaks_keeps_the_call(phone, alice, bob):
    with phone.connect(alice) as a:
        with phone.connect_raw(bob) as raw:
            _, path = call(a, f"/users/{bob}")
            request = raw.read_message()
            raw.break_off()
        with phone.connect(bob) as b:
            # Bob has not answered, so the request is repeated.
            assert b.expect("session") == request
            b.respond(request, 200)
            assert a.receive()["status"] == 200
            (session,) = b.request("get", "/users/sessions")["data"]["sessions"]
            assert (session["path"], session["state"]) == (path, "open")
            update = b.start("update", path, {"sdp": "restart"})
            a.respond(a.expect("update"), 200)
            assert b.receive()["id"] == update
            assert b.request("end", path)["status"] == 200
            take_end(a, sessionPath=path)


def test_a_party_that_closes_its_connection_ends_the_call(phone, alice, bob):
    with phone.connect(alice) as a, phone.connect(bob) as b:
        _, path = call(a, f"/users/{bob}")
        b.respond(b.expect("session"), 200)
        assert a.receive()["status"] == 200
        b.close()
        take_end(a, sessionPath=path, reason="offline")
        assert a.request("get", "/users/sessions")["data"] == {"sessions": []}


def test_of_devices_that_answer_at_the_same_time_only_one_is_in_the_call(phone, alice, bob):
    uuids = ["b1", "b2", "b3", "b4"]
    with phone.connect(alice) as a:
        clients = [phone.connect(bob, uuid) for uuid in uuids]
        for _ in range(5):
            id, path = call(a, f"/users/{bob}")
            requests = [client.expect("session") for client in clients]
            barrier = threading.Barrier(len(clients))

            def accept(client, request, barrier=barrier):
                barrier.wait(DEADLINE)
                client.respond(request, 200, client=clients.index(client))

            threads = [
                threading.Thread(target=accept, args=pair) for pair in zip(clients, requests)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(DEADLINE)
            answer = a.receive()
            assert (answer["status"], answer["id"]) == (200, id)
            winner = clients[answer["data"]["client"]]
            for client in clients:
                if client is not winner:
                    take_end(client, sessionPath=path, reason="answered elsewhere")
            assert a.request("end", path)["status"] == 200
            take_end(winner, sessionPath=path)
            for client in [a, *clients]:
                client.nothing_came()
        for client in clients:
            client.close()
