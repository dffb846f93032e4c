"""Rooms: leaving, removal, and the end of a room."""

from __future__ import annotations

from tests.fakes import Core
from tests.features.sites import status_line

from .room_sites import (
    ALICE,
    BOB,
    EMPTY,
    ROOM,
    join,
    join_all,
    make_site,
    notification,
    told,
)


def test_an_end_removes_the_member_and_notifies_the_others():
    site = make_site(ALICE, BOB)
    assert status_line(site[BOB].request("end", ROOM)) == (200, "left")
    assert told(site[ALICE]) == ["leave bob/b1"]
    assert site[BOB].take_all() == []
    assert status_line(site[BOB].request("message", ROOM)) == (
        403,
        "you are not in this room",
    )
    assert site[ALICE].request("message", ROOM)["data"] == {"sent": 0}


def test_a_peer_that_goes_offline_leaves_all_rooms():
    site = make_site(ALICE, BOB)
    join_all(site, ALICE, BOB, path="/chat/rooms/43")
    site[BOB].leave()
    assert sorted(message["data"]["sessionPath"] for message in site[ALICE].take_all()) == [
        ROOM,
        "/chat/rooms/43",
    ]
    assert site[ALICE].request("message", ROOM)["data"] == {"sent": 0}


def test_a_member_within_its_grace_period_stays_and_gets_the_messages_later():
    site = make_site(ALICE, BOB, core=Core(grace_period=10))
    site[BOB].drop()
    assert site[ALICE].request("message", ROOM, {"text": "hi"})["data"] == {"sent": 1}
    bob = site.connect(BOB)
    assert bob.take_all() == [notification("message", sender=ALICE, text="hi")]
    assert join(bob) == [ALICE]
    assert site[ALICE].take_all() == []
    bob.drop()
    site.core.scheduler.advance(9)
    assert site[ALICE].take_all() == []
    site.core.scheduler.advance(1)
    assert told(site[ALICE]) == ["leave bob/b1"]


def test_a_removed_member_gets_the_reason_and_the_others_a_leave():
    site = make_site(ALICE, BOB)
    assert site.room.remove(site[BOB].peer, "be polite") is True
    end = site[BOB].take()
    assert (end["method"], end["data"]) == ("end", {"reason": "be polite", "sessionPath": ROOM})
    assert "sender" not in end
    assert end["id"]
    site[BOB].respond(end, 200)
    assert told(site[ALICE]) == ["leave bob/b1"]
    assert site.room.remove(site[BOB].peer) is False
    assert (site[ALICE].take_all(), site[BOB].take_all()) == ([], [])
    assert join(site[BOB]) == [ALICE]


def test_every_member_of_a_closed_room_gets_an_end():
    site = make_site(ALICE, BOB)
    assert site.room.close("lesson is over") == 2
    for client in site.clients.values():
        [end] = client.take_all()
        data = {"reason": "lesson is over", "sessionPath": ROOM}
        assert (end["method"], end["data"]) == ("end", data)
        assert status_line(client.request("message", ROOM)) == (404, "room not found")
    assert site.sizes() == EMPTY
    assert site.room.close() == 0
    assert site.room.broadcast("news") == 0


def test_an_empty_room_is_released_and_the_next_join_makes_another():
    site = make_site(ALICE)
    site[ALICE].request("end", ROOM)
    assert site.sizes() == EMPTY
    assert join(site[ALICE]) == []
    first, second = site.made
    assert first is not second
    assert first.remove(site[ALICE].peer) is False
