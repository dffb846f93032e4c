"""Rooms: events that overtake each other, and threads."""

from __future__ import annotations

import functools
import threading

import pytest

from tests.fakes import Core
from tests.features.contention import PATIENCE
from tests.features.sites import status_line

from .room_sites import (
    ALICE,
    BOB,
    EMPTY,
    ROOM,
    RoomSite,
    join,
    keep_books,
    listen,
    make_site,
    told,
)


def test_a_peer_that_left_while_the_application_was_asked_has_not_joined():
    site = RoomSite(ALICE, BOB)
    site.on_room = listen(join_request=lambda room, req: site[ALICE].leave())
    site[ALICE].start_request("session", ROOM)
    assert site.sizes() == EMPTY
    site.on_room = None
    assert join(site[BOB]) == []


def test_a_join_that_times_out_while_the_application_is_asked_fails():
    core = Core(response_timeout=60)
    site = RoomSite(ALICE, core=core, on_room=lambda room, req: core.scheduler.advance(60))
    assert status_line(site[ALICE].request("session", ROOM)) == (504, "no answer")
    site.on_room = listen(join_request=lambda room, req: core.scheduler.advance(60))
    assert status_line(site[ALICE].request("session", ROOM)) == (504, "no answer")
    assert (site[ALICE].take_all(), site.sizes()) == ([], EMPTY)
    assert core.framework.errors == []


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_join_waits_while_the_application_is_asked_about_the_new_room(is_refused):
    waits = threading.Event()

    class Event(threading.Event):
        def wait(self, timeout=None):
            waits.set()
            return super().wait(PATIENCE)

    def on_room(room, req):
        if req.peer.username == "alice":
            bob.start()
            assert waits.wait(PATIENCE)
            assert site.made == [room]
            if is_refused:
                req.reply(403)

    site = RoomSite(ALICE, BOB, on_room=on_room)
    site.core.scheduler.event = Event
    bob = threading.Thread(target=site[BOB].start_request, args=("session", ROOM))
    site[ALICE].start_request("session", ROOM)
    bob.join()
    # Both are in the same room now, or Bob is in another one after the refusal of the first.
    assert site[ALICE].take()["status"] == (403 if is_refused else 200)
    assert site[BOB].take()["status"] == 200
    assert len(site.made) == (2 if is_refused else 1)
    assert len(site.room.peers) == (1 if is_refused else 2)
    assert site.sizes() == ([(1, 1, 0)] if is_refused else [(1, 2, 0)])


def test_a_device_that_is_back_before_its_offline_was_told_is_a_member_once():
    site = make_site(ALICE, BOB)

    # A listener of the site runs before that of the rooms. The device comes back meanwhile.
    def come_back(peer):
        site.connect(BOB)
        assert join(site[BOB]) == [ALICE]

    site.listeners.insert(0, ("peer_offline", come_back))
    site[BOB].leave()
    assert told(site[ALICE]) == ["leave bob/b1", "join bob/b1"]
    assert site.room.peers == [site[ALICE].peer, site[BOB].peer]
    del site.listeners[0]
    site[BOB].leave()
    assert told(site[ALICE]) == ["leave bob/b1"]


def test_a_room_with_a_join_in_progress_is_not_released():
    def check(room, req):
        if req.peer.username == "bob":
            site[ALICE].request("end", ROOM)

    books = []
    site = RoomSite(ALICE, BOB)

    def on_room(room, req):
        keep_books(books)(room, req)
        room.on("join_request", check)

    site.on_room = on_room
    join(site[ALICE])
    assert join(site[BOB]) == []
    assert books == ["room 42", "join a1", "leave a1", "join b1"]
    assert site.sizes() == [(1, 1, 0)]


def test_in_threads_joins_and_leaves_are_told_in_order_and_leave_no_member(threads):
    books = []
    site = RoomSite("watcher/w1", on_room=keep_books(books))
    join(site["watcher/w1"])

    def come_and_go(uuid):
        for n in range(60):
            client = site.connect(f"bob/{uuid}")
            client.start_request("session", ROOM)
            client.start_request("session", f"/chat/rooms/{n % 3}")
            if n % 2:
                client.start_request("end", ROOM)
            client.drop()

    threads([functools.partial(come_and_go, f"b{n}") for n in range(6)])
    heard = {}
    for line in told(site["watcher/w1"]):
        event, name = line.split()
        heard.setdefault(name, []).append(event)
    assert set(heard) == {f"bob/b{n}" for n in range(6)}
    for events in heard.values():
        assert events == ["join", "leave"] * 60
    assert site.sizes() == [(1, 1, 0)]
    for n in range(3):
        # Each room was closed before the next one of the same path was made.
        lifes = [entry for entry in books if entry in (f"room {n}", f"close {n}")]
        assert lifes == [f"room {n}", f"close {n}"] * (len(lifes) // 2)


def test_in_threads_the_first_joins_make_one_room(threads):
    for _ in range(10):
        site = RoomSite(*(f"user{n}/u" for n in range(4)))
        threads([functools.partial(join, client) for client in site.clients.values()])
        assert len(site.made) == 1
        assert len(site.room.peers) == 4
