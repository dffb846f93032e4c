"""Workers that are killed, stopped, ended and replaced: who is told what, and what is left."""

from __future__ import annotations

import time

import pytest

from tests.servers.clients import eventually

from .field import NODE_TIMEOUT, Responder, answers_of, ask, states

BOB_ONLINE = ["online b1", "user_online"]
BOB_OFFLINE = ["offline b1", "user_offline"]

ROOM = "/chat/rooms/42"


def join(client, others=0):
    answer = client.request("session", ROOM)
    assert (answer["status"], len(answer["data"]["peers"])) == (200, others)


def subscribe(client, username):
    return client.request("subscribe", f"/presence/{username}")["data"]


def expect_offline(client, username):
    for state in states(client, username):
        if not state["online"]:
            return


def open_call(caller, callee, username):
    """Call somebody, who answers; returns the path of the call."""
    id = caller.start("session", f"/calls/{username}", {"sdp": "offer"})
    assert caller.receive()["status"] == 100
    request = callee.expect("session")
    callee.respond(request, 200, sdp="answer")
    answer = caller.receive()
    assert (answer["id"], answer["status"]) == (id, 200)
    return request["data"]["sessionPath"]


def expect_end(client, path):
    request = client.expect("end")
    assert request["data"]["sessionPath"] == path
    client.respond(request, 200)
    return request["data"]["reason"]


# Killed -----------------------------------------------------------------------------


def test_the_peers_of_a_killed_worker_are_offline_for_all_others_once(field):
    with field.a.connect("alice") as alice:
        bob, bob2 = field.b.connect("bob"), field.b.connect("bob", "b2")
        assert subscribe(alice, "bob")["devices"] == 2
        assert field.a.peers() == ["alice/a1", "bob/b1", "bob/b2"]

        field.b.kill()

        expect_offline(alice, "bob")
        assert field.a.peers() == ["alice/a1"]
        eventually(lambda: len(field.journal("bob")), 6)
        told = field.journal("bob")
        assert told[:3] == ["online b1", "user_online", "online b2"]
        assert sorted(told[3:5]) == ["offline b1", "offline b2"]
        assert told[5] == "user_offline"
        assert ask(alice, "bob") == 404
        for client in (bob, bob2):
            client.connection.close_socket()
        field.b.wait_for_new_worker()


def test_requests_to_a_killed_worker_end_at_once_and_once(field):
    with field.a.connect("alice") as alice, field.b.connect("bob") as bob:
        ids = [alice.start("message", f"/users/{name}", {"text": "x"}) for name in ["bob"] * 5]
        for _ in ids:
            bob.expect("message")

        field.b.kill()

        late = [alice.start("message", "/users/bob", {"text": "y"}) for _ in range(5)]
        answers = answers_of(alice, ids + late)
        assert set(answers.values()) <= {503, 410, 404}
        alice.nothing_came()
        bob.connection.close_socket()
        field.b.wait_for_new_worker()


def test_requests_on_their_way_to_a_killed_worker_end_long_before_its_burial(make_field):
    field = make_field(SITE_PROTOO_NODE_TIMEOUT="120", SITE_PROTOO_REQUEST_TIMEOUT="100")
    with field.a.connect("alice") as alice, field.b.connect("bob") as bob:
        id = alice.start("message", "/users/bob", {"text": "x"})
        bob.expect("message")

        field.b.kill()

        assert answers_of(alice, [id]) == {id: 503}
        bob.connection.close_socket()


def test_calls_with_a_killed_worker_end_wherever_their_home_is(field):
    with field.a.connect("alice") as alice, field.a.connect("carol") as carol:
        bob, dave = field.b.connect("bob"), field.b.connect("dave")
        at_a = open_call(alice, bob, "bob")
        at_b = open_call(dave, carol, "carol")

        field.b.kill()

        assert expect_end(alice, at_a)
        assert expect_end(carol, at_b)
        assert alice.request("get", "/calls/sessions")["data"] == {"sessions": []}
        assert carol.request("get", "/calls/sessions")["data"] == {"sessions": []}
        for client in (bob, dave):
            client.connection.close_socket()
        field.b.wait_for_new_worker()


@pytest.mark.parametrize("home", ["a", "b"])
def test_a_room_goes_on_after_the_death_of_a_worker_with_those_who_are_there(field, home):
    with field.a.connect("alice") as alice, field.a.connect("carol") as carol:
        bob = field.b.connect("bob")
        first, second = (alice, bob) if home == "a" else (bob, alice)
        join(first)
        join(second, 1)
        assert first.expect("join")

        field.b.kill()

        if home == "a":
            assert alice.expect("leave")["data"]["peer"]["username"] == "bob"
        else:
            # The room has gone with its home. It is joined anew.
            end = alice.expect("end")
            alice.respond(end, 200)
            join(alice)
        assert carol.request("session", ROOM)["status"] == 200
        assert alice.expect("join")["data"]["peer"]["username"] == "carol"
        assert carol.request("message", ROOM, {"text": "hi"})["data"] == {"sent": 1}
        assert alice.expect("message")["data"]["text"] == "hi"
        bob.connection.close_socket()
        field.b.wait_for_new_worker()


def test_a_device_that_comes_back_before_the_burial_was_offline_once(patient):
    with patient.a.connect("alice") as alice:
        bob = patient.b.connect("bob")
        assert ask(alice, "nobody") == 404
        patient.b.kill()
        bob.connection.close_socket()

        with patient.a.connect("bob") as again:
            patient.expect_journal("bob", *BOB_ONLINE, *BOB_OFFLINE, *BOB_ONLINE)
            id = alice.start("message", "/users/bob", {"text": "hi"})
            again.respond(again.expect("message"), 200)
            assert answers_of(alice, [id]) == {id: 200}
            patient.b.wait_for_new_worker()
            # The burial comes, and is not about the new peer.
            time.sleep(NODE_TIMEOUT)
            assert patient.a.peers() == patient.b.peers() == ["alice/a1", "bob/b1"]
            assert patient.journal("bob") == [*BOB_ONLINE, *BOB_OFFLINE, *BOB_ONLINE]


# Stopped ----------------------------------------------------------------------------


def test_a_worker_that_was_stopped_for_a_moment_has_missed_nothing(field):
    with field.a.connect("alice") as alice, field.b.connect("bob") as bob:
        ids = []
        field.b.stop()
        ids = [alice.start("message", "/users/bob", {"text": str(n)}) for n in range(20)]
        field.b.go_on()

        for n in range(20):
            message = bob.expect("message")
            assert message["data"]["text"] == str(n)
            bob.respond(message, 200)
        assert set(answers_of(alice, ids).values()) == {200}
        assert field.journal("bob") == BOB_ONLINE


def test_a_worker_that_comes_back_from_the_dead_joins_again_with_its_connections(field):
    with field.a.connect("alice") as alice, field.b.connect("bob") as bob:
        subscribe(alice, "bob")
        waiting = alice.start("message", "/users/bob", {"text": "before"})
        bob.expect("message")
        field.b.stop()
        expect_offline(alice, "bob")
        field.expect_journal("bob", *BOB_ONLINE, *BOB_OFFLINE)
        assert set(answers_of(alice, [waiting]).values()) <= {410, 503}

        field.b.go_on()

        next(state for state in states(alice, "bob") if state["online"])
        field.expect_journal("bob", *BOB_ONLINE, *BOB_OFFLINE, *BOB_ONLINE)
        id = alice.start("message", "/users/bob", {"text": "after"})
        message = bob.expect("message")
        assert message["data"]["text"] == "after"
        bob.respond(message, 200)
        assert answers_of(alice, [id]) == {id: 200}
        assert field.a.peers() == field.b.peers() == ["alice/a1", "bob/b1"]


def test_a_device_that_went_elsewhere_meanwhile_is_not_taken_back(field):
    with field.a.connect("alice") as alice, field.b.connect("bob") as old:
        subscribe(alice, "bob")
        field.b.stop()
        expect_offline(alice, "bob")
        with field.a.connect("bob") as new:
            field.b.go_on()

            assert old.wait_for_close()[0] == 3000
            assert field.a.peers() == field.b.peers() == ["alice/a1", "bob/b1"]
            id = alice.start("message", "/users/bob", {"text": "hi"})
            new.respond(new.expect("message"), 200)
            assert answers_of(alice, [id]) == {id: 200}
            assert field.journal("bob") == [*BOB_ONLINE, *BOB_OFFLINE, *BOB_ONLINE]


# Ended and replaced -----------------------------------------------------------------


def test_devices_of_a_worker_that_ends_go_on_at_another_one(patient):
    with patient.a.connect("alice") as alice:
        subscribe(alice, "bob")
        bob = patient.b.connect("bob")
        next(state for state in states(alice, "bob") if state["online"])
        id = alice.start("message", "/users/bob", {"text": "hi"})
        first = bob.expect("message")

        patient.b.server.interrupt()

        assert bob.wait_for_close()[0] == 1001
        with patient.a.connect("bob") as again:
            assert again.expect("message") == first
            again.respond(first, 200)
            assert answers_of(alice, [id]) == {id: 200}
            alice.nothing_came()
        patient.b.server.process.wait(20)
    patient.expect_journal("bob", *BOB_ONLINE, "disconnect b1", "reconnect b1", *BOB_OFFLINE)


def test_every_message_is_read_once_while_workers_are_replaced(patient):
    count = 150
    with patient.a.connect("alice") as alice:
        bob = Responder(lambda: patient.b.connect("bob"))
        ids = []
        for n in range(count):
            ids.append(alice.start("message", "/users/bob", {"text": str(n)}))
            if n == count // 3:
                patient.b.reload()
            time.sleep(0.01)  # the load of a site, not a wait

        assert set(answers_of(alice, ids).values()) == {200}
        assert bob.texts == [str(n) for n in range(count)]
        eventually(lambda: len(bob.closes), 1)
        bob.leave()
        patient.b.wait_for_new_worker()
    assert bob.closes == [1001, 1000]
