"""room_handler: joining rooms, and the paths of rooms."""

from __future__ import annotations

import pytest

from protoo_flask.core.routing.router import Router
from protoo_flask.middleware import room_handler
from tests.fakes import Core
from tests.features.sites import address, status_line

from .room_sites import (
    ALICE,
    BOB,
    CAROL,
    ROOM,
    RoomSite,
    join,
    listen,
    make_site,
    notification,
    told,
)


def test_a_joining_peer_gets_the_members_and_they_get_a_join():
    site = RoomSite(ALICE, BOB, CAROL)
    alice, bob, carol = site.clients.values()
    answer = alice.request("session", ROOM)
    assert answer == {
        "status": 200,
        "reason": "joined",
        "id": 1,
        "data": {"sessionPath": ROOM, "peers": []},
    }
    assert join(bob) == [ALICE]
    assert join(carol) == [ALICE, BOB]
    assert alice.take_all() == [
        notification("join", peer=address(BOB)),
        notification("join", peer=address(CAROL)),
    ]
    assert bob.take_all() == [notification("join", peer=address(CAROL))]
    assert carol.take_all() == []


def test_joining_twice_is_answered_again_and_notifies_nobody():
    asked = []
    on_room = listen(join_request=lambda room, req: asked.append(req.peer.username))
    site = make_site(ALICE, BOB, on_room=on_room)
    assert join(site[ALICE]) == [BOB]
    assert site[BOB].take_all() == []
    assert site.room.peers == [site[ALICE].peer, site[BOB].peer]
    assert asked == ["alice", "bob"]


def test_each_device_of_a_user_is_a_member_by_itself():
    site = RoomSite(ALICE, "alice/a2")
    join(site[ALICE])
    assert join(site["alice/a2"]) == [ALICE]
    assert told(site[ALICE]) == ["join alice/a2"]


def test_rooms_are_independent_of_each_other():
    site = RoomSite(ALICE, BOB)
    alice, bob = site.clients.values()
    join(alice)
    assert join(bob, "/chat/rooms/43") == []
    assert alice.take_all() == []
    assert status_line(bob.request("message", ROOM)) == (403, "you are not in this room")
    assert alice.request("message", ROOM)["data"] == {"sent": 0}
    assert [room.id for room in site.made] == ["42", "43"]


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("/chat/ROOMS/a%20b", True),
        ("/chat/rooms/a b", True),
        ("/chat/rooms/a%20b/", True),
        ("/chat/rooms/%61%20b", True),
        ("/chat/rooms/A%20b", False),
        # Parts of the mount may be parameters, for which case matters.
        ("/CHAT/rooms/a%20b", False),
    ],
)
def test_a_room_is_the_same_however_its_path_is_written(path, same):
    site = RoomSite(ALICE, BOB)
    join(site[ALICE], "/chat/rooms/a%20b")
    answer = site[BOB].request("session", path)
    assert (answer["data"]["peers"] == [address(ALICE)]) is same
    assert (answer["data"]["sessionPath"] == "/chat/rooms/a%20b") is same
    assert len(site.made) == (1 if same else 2)


@pytest.mark.parametrize("id", ["a%2Fb", "%C3%BC", "%25", "a%3Fb%23", "~.-_"])
def test_a_request_to_the_session_path_finds_the_room(id):
    site = RoomSite(ALICE)
    path = site[ALICE].request("session", f"/chat/rooms/{id}")["data"]["sessionPath"]
    assert path == f"/chat/rooms/{id}"
    assert site[ALICE].request("message", path)["status"] == 200


def test_a_path_too_long_after_escaping_is_refused():
    site = RoomSite(ALICE)
    answer = site[ALICE].request("session", "/chat/rooms/" + "ü" * 1000)
    assert status_line(answer) == (414, "a path has at most 4096 characters")
    assert site.made == []


def test_mounts_have_rooms_of_their_own():
    core, team = Core(), Router()
    site = RoomSite(core=core)
    team.use("/chat", room_handler(site))
    core.router.use("/teams/:team", team)
    alice, bob = site.connect(ALICE), site.connect(BOB)
    assert join(alice, "/teams/AbC/chat/rooms/42") == []
    assert join(bob, "/teams/abc/chat/rooms/42") == []
    assert join(bob, "/teams/AbC/chat/rooms/42") == [ALICE]


def test_the_path_below_the_mount_can_be_chosen():
    site = RoomSite(ALICE, BOB, path="/:team/r/:room_id")
    assert join(site[ALICE], "/chat/red/R/1") == []
    assert join(site[BOB], "/chat/blue/r/1") == []
    assert join(site[BOB], "/chat/red/r/1") == [ALICE]
    assert [(room.id, room.path) for room in site.made] == [
        ("1", "/chat/red/r/1"),
        ("1", "/chat/blue/r/1"),
    ]
