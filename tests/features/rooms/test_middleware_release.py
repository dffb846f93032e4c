"""Rooms leave nothing behind."""

from __future__ import annotations

import gc
import weakref

from protoo_flask import Protoo
from protoo_flask.middleware import room_handler
from protoo_flask.testing import finish
from tests.joining import make_app

from .room_sites import (
    ALICE,
    BOB,
    ROOM,
    make_site,
)


def test_ten_thousand_joins_and_leaves_leave_nothing():
    site = make_site(ALICE)
    before = site.sizes()
    rooms = weakref.WeakSet()
    site.on_room = lambda room, req: rooms.add(room)
    for n in range(10_000):
        path = f"/chat/rooms/{n % 7}" if n % 2 else ROOM
        client = site.core.connect("bob", f"{n}")
        client.start_request("session", path)
        if n % 3:
            client.start_request("end", path)
        client.leave()
        site[ALICE].link.payloads.clear()
        del site.made[1:]
    assert site.sizes() == before == [(1, 1, 0)]
    del client
    gc.collect()
    assert len(rooms) == 0
    assert len(site.room.peers) == 1


def test_the_rooms_of_a_closed_app_are_freed():
    site = make_site(ALICE, BOB)
    site.core.application.close()
    [rooms] = site.services().values()
    assert len(rooms) == 0
    gone = weakref.ref(rooms)
    del site, rooms
    gc.collect()
    assert gone() is None


def test_apps_that_share_a_protoo_have_separate_rooms():
    protoo = Protoo()
    protoo.use("/chat", room_handler(protoo))
    here, there = make_app("here"), make_app("there")
    for app in (here, there):
        protoo.init_app(app)
    for app, username in ((here, "alice"), (there, "bob")):
        client = protoo.test_client(app.test_client(), username=username)
        assert client.request("session", "/chat/rooms/42").data["peers"] == []
    for app in (here, there):
        finish(app)
