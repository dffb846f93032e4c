"""room_handler(on_room=...): the application decides, sends, and listens."""

from __future__ import annotations

import pytest
from flask import current_app, g
from flask import session as flask_session

from protoo_flask import Protoo, Reject
from protoo_flask.core.errors import UsageError
from protoo_flask.middleware import room_handler
from protoo_flask.testing import finish
from tests.fakes import Core, postpone
from tests.features.sites import status_line
from tests.joining import make_app

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
    notification,
    told,
)


def refuse_by_reply(room, req):
    req.reply(402, "pay first")


def refuse_by_raising(room, req):
    raise Reject(402, "pay first")


def accept_by_reply(room, req):
    req.reply(200, "you were told that you are in")


@pytest.mark.parametrize(
    ("refuse", "expected"),
    [
        (refuse_by_reply, (402, "pay first")),
        (refuse_by_raising, (402, "pay first")),
        (accept_by_reply, (200, "you were told that you are in")),
    ],
)
@pytest.mark.parametrize("where", ["on_room", "join_request"])
def test_a_peer_answered_by_the_application_has_not_joined(refuse, expected, where):
    on_room = refuse if where == "on_room" else listen(join_request=refuse)
    site = RoomSite(ALICE, on_room=on_room)
    for count in (1, 2):
        assert status_line(site[ALICE].request("session", ROOM)) == expected
        assert status_line(site[ALICE].request("end", ROOM)) == (404, "room not found")
        assert len(site.made) == count
    assert site.sizes() == EMPTY
    assert all(isinstance(error, Reject) for error in site.core.framework.errors)


def test_the_application_is_asked_about_each_join():
    def check(room, req):
        if req.data.get("password") != "sesame":
            raise Reject(403, "wrong password")

    site = RoomSite(ALICE, BOB, on_room=listen(join_request=check))
    assert site[ALICE].request("session", ROOM, {"password": "sesame"})["status"] == 200
    assert status_line(site[BOB].request("session", ROOM)) == (403, "wrong password")
    assert site[ALICE].take_all() == []
    assert site[BOB].request("session", ROOM, {"password": "sesame"})["status"] == 200
    assert told(site[ALICE]) == ["join bob/b1"]


def test_listeners_after_a_refusal_are_not_called():
    asked = []

    def on_room(room, req):
        room.on("join_request", lambda room, req: asked.append(1))
        room.on("join_request", lambda room, req: req.reply(403))
        room.on("join_request", lambda room, req: asked.append(3))

    RoomSite(ALICE, on_room=on_room)[ALICE].request("session", ROOM)
    assert asked == [1]


def test_the_application_may_send_a_request_to_a_joining_peer():
    def ask(room, req):
        response = room.send(req.peer, "password").wait()
        if response.data.get("password") != "sesame":
            req.reply(403, "wrong password")

    site = RoomSite(ALICE, on_room=listen(join_request=ask))
    alice = site[ALICE]
    site.core.scheduler.on_wait.append(
        lambda: alice.respond(alice.take(), 200, data={"password": "sesame"})
    )
    assert join(alice) == []


def test_without_on_room_every_peer_may_join():
    core = Core()
    core.router.use(room_handler(RoomSite(core=core)))
    assert join(core.connect(), "/rooms/42") == []


def test_a_room_that_the_application_closes_during_a_join_refuses_it():
    site = RoomSite(ALICE, on_room=lambda room, req: room.close())
    assert status_line(site[ALICE].request("session", ROOM)) == (410, "room closed")
    site = RoomSite(ALICE, on_room=listen(join_request=lambda room, req: room.close()))
    assert status_line(site[ALICE].request("session", ROOM)) == (410, "room closed")
    assert site.sizes() == EMPTY


# Sending and listening


def test_the_application_may_broadcast_to_members():
    site = make_site(ALICE, BOB)
    assert site.room.broadcast("news", {"n": 1}, skip=site[ALICE].peer) == 1
    assert site[ALICE].take_all() == []
    assert site[BOB].take_all() == [notification("news", n=1)]
    assert site.room.broadcast("bell") == 2
    assert site[ALICE].take_all() == [notification("bell")]


def test_listeners_get_joins_leaves_and_closes_in_order():
    books = []
    site = make_site(ALICE, BOB, on_room=keep_books(books))
    assert books == ["room 42", "join a1", "join b1"]
    del books[:]
    join(site[BOB])
    site[BOB].request("end", ROOM)
    site[ALICE].drop()
    assert books == ["leave b1", "leave a1", "close 42"]
    del books[:]
    alice = site.connect(ALICE)
    for client in (alice, site[BOB]):
        client.start_request("session", ROOM)
    site.room.remove(site[BOB].peer)
    site.room.close()
    assert books == ["room 42", "join a1", "join b1", "leave b1", "leave a1", "close 42"]


def test_the_next_room_waits_until_slow_listeners_have_run():
    books, spawned = [], []
    site = RoomSite(ALICE, on_room=keep_books(books))
    site.core.scheduler.spawn = postpone(spawned)
    join(site[ALICE])
    site[ALICE].request("end", ROOM)
    assert books == ["room 42"]

    def tell():
        for function, *args in spawned:
            function(*args)

    # The next join runs the listeners when it waits for the closing room.
    site.core.scheduler.on_wait.append(tell)
    join(site[ALICE])
    assert books == ["room 42", "join a1", "leave a1", "close 42", "room 42"]


def test_an_error_in_a_listener_is_logged_and_the_other_listeners_run(caplog):
    books = []

    def on_room(room, req):
        room.on("join", lambda room, peer: 1 / 0)
        keep_books(books)(room, req)

    site = make_site(ALICE, on_room=on_room)
    assert books == ["room 42", "join a1"]
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError]
    site[ALICE].request("end", ROOM)
    assert site.sizes() == EMPTY


def test_listeners_run_in_fresh_contexts_of_the_peer():
    protoo, found = Protoo(), []

    def note(room, *args):
        found.append((current_app.name, flask_session["username"], "note" in g))
        g.note = True

    def on_room(room, req):
        note(room)
        for event in ("join_request", "join", "leave", "close"):
            room.on(event, note)

    protoo.use("/chat", room_handler(protoo, on_room))
    app = make_app("site")
    protoo.init_app(app)
    alice = protoo.test_client(username="alice")
    assert alice.request("session", "/chat/rooms/42").status == 200
    protoo.close()
    finish(app)
    # join_request runs in the same handler as on_room(), and so in the same contexts.
    fresh = [False, True, False, False, False]
    assert found == [("site", "alice", noted) for noted in fresh]


@pytest.mark.parametrize("name", ["bob", 7], ids=repr)
def test_a_room_takes_peers_and_not_their_names(name):
    site = make_site(ALICE, BOB)
    room = site.room
    for call in (
        lambda: room.broadcast("news", skip=name),
        lambda: room.send(name, "mute"),
        lambda: room.remove(name),
        lambda: room.has(name),
    ):
        with pytest.raises(UsageError, match=r"takes a Peer, as protoo.peer\(username, uuid\)"):
            call()
    assert len(room.peers) == 2
    assert site[BOB].take_all() == []
