"""Rooms: the requests of members."""

from __future__ import annotations

import pytest

from protoo_flask import Reject
from tests.features.sites import address, status_line

from .room_sites import (
    ALICE,
    BOB,
    CAROL,
    ROOM,
    RoomSite,
    listen,
    make_site,
    notification,
)


def test_a_message_goes_to_all_other_members():
    site = make_site(ALICE, BOB, CAROL)
    answer = site[ALICE].request("message", ROOM, {"text": "hi", "sessionPath": "/elsewhere"})
    assert answer["data"] == {"sent": 2}
    assert status_line(answer) == (200, "message sent to 2 peers")
    for name in (BOB, CAROL):
        assert site[name].take_all() == [notification("message", sender=ALICE, text="hi")]
    assert site[ALICE].take_all() == []


def test_a_message_is_serialized_once():
    site = make_site(ALICE, BOB, CAROL)
    site[ALICE].request("message", ROOM)
    assert site[BOB].link.payloads[0] is site[CAROL].link.payloads[0]


def test_a_private_request_goes_to_one_member_whose_responses_come_back():
    site = make_site(ALICE, BOB, CAROL)
    alice, bob, carol = site.clients.values()
    id = alice.start_request("private", ROOM, {"peer": address(BOB), "offer": "..."})
    request = bob.take()
    data = {"peer": address(BOB), "offer": "...", "sessionPath": ROOM}
    assert (request["method"], request["sender"], request["data"]) == (
        "private",
        address(ALICE),
        data,
    )
    bob.respond(request, 180, "ringing")
    bob.respond(request, 200, "fine", {"answer": "..."})
    assert alice.take_all() == [
        {"status": 180, "reason": "ringing", "id": id, "data": {}},
        {"status": 200, "reason": "fine", "id": id, "data": {"answer": "..."}},
    ]
    assert carol.take_all() == []


def test_a_private_request_to_a_member_that_leaves_is_answered_410():
    site = make_site(ALICE, BOB)
    site[ALICE].start_request("private", ROOM, {"peer": address(BOB)})
    site[BOB].leave()
    answer, leave = site[ALICE].take_all()
    assert status_line(answer) == (410, "peer offline")
    assert leave == notification("leave", peer=address(BOB))


@pytest.mark.parametrize(
    "peer",
    [
        None,
        "bob",
        [],
        {},
        {"username": "bob"},
        {"uuid": "b1"},
        {"username": 1, "uuid": "b1"},
        {"username": "bob", "uuid": ["b1"]},
    ],
)
def test_a_private_request_without_the_address_of_a_member_is_answered_400(peer):
    site = make_site(ALICE, BOB)
    for data in [{"peer": peer}] + ([{}] if peer is None else []):
        answer = site[ALICE].request("private", ROOM, data)
        assert answer["status"] == 400
        assert answer["reason"].startswith("data.peer must be the member it is for: {")
    assert site[BOB].take_all() == []


@pytest.mark.parametrize("name", ["bob/b2", "dave/d1", CAROL])
def test_a_private_request_to_a_peer_outside_the_room_is_answered_404(name):
    site = make_site(ALICE, BOB)
    carol = site.connect(CAROL)
    answer = site[ALICE].request("private", ROOM, {"peer": address(name)})
    assert status_line(answer) == (404, "peer not found")
    assert carol.take_all() == []


def test_other_methods_go_to_the_application():
    def mute(room, req):
        if req.method == "mute":
            req.reply(200, "muted", {"room": room.id, "of": req.peer.username})
        elif req.method == "crash":
            raise Reject(409, "not now")

    site = make_site(ALICE, on_room=listen(request=mute))
    assert site[ALICE].request("mute", ROOM)["data"] == {"room": "42", "of": "alice"}
    assert status_line(site[ALICE].request("crash", ROOM)) == (409, "not now")
    site[ALICE].start_request("later", ROOM)
    assert site[ALICE].take_all() == []


def test_other_methods_without_a_listener_are_answered_405():
    site = make_site(ALICE)
    assert status_line(site[ALICE].request("icecandidate", ROOM)) == (
        405,
        "method not allowed",
    )


@pytest.mark.parametrize("method", ["message", "private", "end", "update", "whatever"])
def test_a_request_from_outside_the_room_is_refused(method):
    asked = []
    site = make_site(ALICE, on_room=listen(request=lambda room, req: asked.append(req)))
    bob = site.connect(BOB)
    data = {"peer": address(ALICE)}
    assert status_line(bob.request(method, ROOM, data)) == (403, "you are not in this room")
    assert status_line(bob.request(method, "/chat/rooms/43", data)) == (404, "room not found")
    assert (site[ALICE].take_all(), asked) == ([], [])


def test_notifications_have_the_effect_of_requests_without_an_answer():
    site = RoomSite(ALICE, BOB)
    alice, bob = site.clients.values()
    alice.notify("session", ROOM)
    bob.notify("session", ROOM)
    bob.notify("message", ROOM, {"text": "hi"})
    bob.notify("private", ROOM, {"peer": address(ALICE), "text": "hi"})
    bob.notify("private", ROOM, {"peer": address(CAROL)})
    bob.notify("end", ROOM)
    assert alice.take_all() == [
        notification("join", peer=address(BOB)),
        notification("message", sender=BOB, text="hi"),
        notification("private", sender=BOB, text="hi", peer=address(ALICE)),
        notification("leave", peer=address(BOB)),
    ]
    assert bob.take_all() == []
