"""Rooms: limits, and options that are refused."""

from __future__ import annotations

import pytest

from protoo_flask import Protoo
from protoo_flask.core.errors import UsageError
from protoo_flask.features.rooms.middleware import MAX_PEERS, MAX_ROOMS_PER_PEER
from protoo_flask.middleware import room_handler
from tests.features.sites import status_line

from .room_sites import (
    ALICE,
    BOB,
    CAROL,
    ROOM,
    RoomSite,
    join,
    listen,
    make_site,
)


def test_a_full_room_refuses_a_join_without_asking_the_application():
    asked = []
    on_room = listen(join_request=lambda room, req: asked.append(req))
    site = make_site(ALICE, BOB, max_peers=2, on_room=on_room)
    carol = site.connect(CAROL)
    assert status_line(carol.request("session", ROOM)) == (503, "room is full")
    assert len(asked) == 2
    assert join(site[BOB]) == [ALICE]
    site[BOB].request("end", ROOM)
    assert join(carol) == [ALICE]


def test_a_room_that_fills_while_the_application_is_asked_is_full():
    def check(room, req):
        if req.peer.username == "alice":
            join(site[BOB])

    site = RoomSite(ALICE, BOB, max_peers=1, on_room=listen(join_request=check))
    assert status_line(site[ALICE].request("session", ROOM)) == (503, "room is full")
    assert site.room.peers == [site[BOB].peer]


def test_by_default_a_room_has_at_most_fifty_members():
    site = make_site(*(f"user{n}/u" for n in range(MAX_PEERS)))
    assert MAX_PEERS == 50
    assert status_line(site.connect(ALICE).request("session", ROOM)) == (503, "room is full")


def test_the_number_of_rooms_of_a_peer_is_limited():
    site = RoomSite(ALICE, "alice/a2")
    alice = site[ALICE]
    for n in range(MAX_ROOMS_PER_PEER):
        join(alice, f"/chat/rooms/{n}")
    answer = alice.request("session", "/chat/rooms/more")
    assert status_line(answer) == (429, "you are in 100 rooms already, which is the limit")
    assert len(site.made) == 100
    assert join(alice, "/chat/rooms/5") == []
    assert join(site["alice/a2"], "/chat/rooms/more") == []
    alice.request("end", "/chat/rooms/5")
    assert join(alice, "/chat/rooms/more") == ["alice/a2"]


@pytest.mark.parametrize("option", ["max_peers", "max_rooms"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "50", None])
def test_a_limit_that_is_not_a_positive_integer_is_refused(option, value):
    with pytest.raises(UsageError, match="an integer of at least 1, not"):
        RoomSite(**{option: value})


@pytest.mark.parametrize(
    "path",
    ["/rooms", "rooms/:room_id", "/rooms/:room_id?", "/rooms/:room_id(\\d+)", "/:id", "/r*", 5, ""],
)
def test_a_path_with_patterns_or_without_a_room_id_is_refused(path):
    with pytest.raises(UsageError, match=r"one of which is :room_id, like .*, not"):
        RoomSite(path=path)


def test_an_on_room_that_is_no_function_is_refused():
    with pytest.raises(UsageError, match="got 'on_room' where a function belongs"):
        room_handler(Protoo(), "on_room")
