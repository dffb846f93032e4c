"""Rooms: users that join and leave all the time, behind listeners that block."""

from __future__ import annotations

import pytest

from protoo_flask.features.rooms.rooms import MAX_UNTOLD
from tests.fakes import postpone
from tests.features.sites import status_line

from .room_sites import ALICE, BOB, EMPTY, ROOM, RoomSite, join, keep_books, listen

TOO_OFTEN = (429, "you have joined and left too often for the site to follow")


class SlowSite(RoomSite):
    """A site with listeners that have not run before :meth:`tell` is called."""

    def __init__(self, *names, on_room):
        super().__init__(*names, on_room=on_room)
        self.spawned = []
        self.core.scheduler.spawn = postpone(self.spawned)

    def tell(self):
        while self.spawned:
            function, *args = self.spawned.pop(0)
            function(*args)

    def tables(self):
        (rooms,) = self.services().values()
        return rooms._memberships, rooms._untold


def come_and_go(client, path=ROOM):
    """Join and leave; returns the answer to the join."""
    answer = client.request("session", path)
    if answer["status"] == 200:
        client.request("end", path)
    client.take_all()
    return status_line(answer)


def test_a_user_that_joins_and_leaves_too_often_has_to_wait_for_the_listeners():
    books = []
    site = SlowSite(ALICE, BOB, "alice/a2", on_room=keep_books(books))
    join(site[BOB])
    answers = [come_and_go(site[ALICE]) for _ in range(MAX_UNTOLD)]
    joined = MAX_UNTOLD // 2 + 1  # each of them leaves, too
    assert answers == [(200, "joined")] * joined + [TOO_OFTEN] * (MAX_UNTOLD - joined)
    # So must the other devices of the user, also elsewhere; others need not.
    site[BOB].take_all()
    assert come_and_go(site["alice/a2"], "/chat/rooms/other") == TOO_OFTEN
    assert site[BOB].request("message", ROOM)["data"]["sent"] == 0
    site.tell()
    assert books == ["room 42", "join b1", *["join a1", "leave a1"] * joined]
    assert come_and_go(site["alice/a2"]) == (200, "joined")


@pytest.mark.parametrize(("untold", "answer"), [(-1, 200), (0, 200), (1, 429)])
def test_as_many_events_as_the_limit_may_wait(untold, answer):
    site = SlowSite(ALICE, BOB, on_room=keep_books([]))
    join(site[BOB])
    site.tell()
    waiting = MAX_UNTOLD + untold
    for _ in range(waiting // 2):
        come_and_go(site[ALICE])
    if waiting % 2:
        join(site[ALICE])
    assert site.tables()[1]["alice"] == waiting
    path = "/chat/rooms/other"
    assert site[ALICE].request("session", path)["status"] == answer


def test_many_rooms_that_close_count_like_one():
    site = SlowSite(ALICE, on_room=keep_books([]))
    answers = [come_and_go(site[ALICE], f"/chat/rooms/{n}") for n in range(MAX_UNTOLD)]
    # Each has three events: join, leave, close.
    assert answers.count(TOO_OFTEN) == MAX_UNTOLD - MAX_UNTOLD // 3 - 1
    site.tell()
    assert site.tables() == ({}, {})
    assert site.sizes() == EMPTY


def test_rooms_without_listeners_do_not_count():
    site = SlowSite(ALICE, on_room=None)
    answers = {come_and_go(site[ALICE]) for _ in range(2 * MAX_UNTOLD)}
    assert answers == {(200, "joined")}
    assert site.tables() == ({}, {})


def test_a_listener_that_fails_is_counted_as_told():
    site = SlowSite(ALICE, on_room=listen(join=lambda room, peer: 1 / 0))
    come_and_go(site[ALICE])
    site.tell()
    assert site.tables() == ({}, {})


def test_peers_whose_departure_is_not_told_yet_count_among_the_members():
    site = RoomSite(max_rooms=2, core_options={"max_peers_per_user": 3})
    answers = []

    def flap(event):
        # The listener of another "online" blocks, so the departures below are not told.
        if event.name != "peer_online" or answers:
            return
        answers.append("begin")
        for n in range(5):
            client = site.connect(f"alice/a{n}")
            answers.extend(
                client.request("session", f"/chat/rooms/{n}-{room}")["status"] for room in range(2)
            )
            client.leave()

    site.core.framework.on_event.append(flap)
    site.connect("alice/first")
    assert answers == ["begin", *[200] * 6, *[429] * 4]
    client = site.connect("alice/again")
    assert join(client) == []
    client.leave()
    assert site.sizes() == [(0, 0, 0)]
