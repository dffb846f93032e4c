"""room_handler: who is in, what members are told, and that nothing is left behind."""

from __future__ import annotations

import functools
import gc
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import current_app, g, session

from protoo_flask import Protoo, Reject
from protoo_flask.core.errors import UsageError
from protoo_flask.core.routing.router import Router
from protoo_flask.features.rooms.handlers import MAX_ROOMS_PER_PEER
from protoo_flask.features.rooms.middleware import MAX_PEERS
from protoo_flask.middleware import room_handler
from protoo_flask.transport.threads.loop import ThreadLoop
from tests.fakes import Core, FakeScheduler, postpone
from tests.joining import join as join_app
from tests.joining import make_app

from .room_sites import (
    EMPTY,
    RoomSite,
    address,
    join,
    join_all,
    notification,
    told,
)

ALICE, BOB, CAROL = "alice/a1", "bob/b1", "carol/c1"
ROOM = "/chat/rooms/42"


def make_site(*names, **options):
    """Return a site in whose room 42 some are."""
    site = RoomSite(*names, **options)
    join_all(site, *names)
    return site


def listen(**listeners):
    """Return an on_room() that listens."""

    def on_room(room, req):
        for event, function in listeners.items():
            room.on(event, function)

    return on_room


def keep_books(books):
    """Return an on_room() that writes down what it is told."""

    def on_room(room, req):
        books.append(f"room {room.id}")
        room.on("join", lambda room, peer: books.append(f"join {peer.uuid}"))
        room.on("leave", lambda room, peer: books.append(f"leave {peer.uuid}"))
        room.on("close", lambda room: books.append(f"close {room.id}"))

    return on_room


def status(answer):
    return answer["status"], answer["reason"]


# Joining


def test_who_joins_is_told_who_is_in_and_they_are_told_of_the_joiner():
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


def test_joining_twice_is_answered_again_and_told_to_nobody():
    asked = []
    on_room = listen(join_request=lambda room, req: asked.append(req.peer.username))
    site = make_site(ALICE, BOB, on_room=on_room)
    assert join(site[ALICE]) == [BOB]
    assert site[BOB].take_all() == []
    assert site.room.peers == [site[ALICE].peer, site[BOB].peer]
    assert asked == ["alice", "bob"]


def test_the_devices_of_a_user_are_members_of_their_own():
    site = RoomSite(ALICE, "alice/a2")
    join(site[ALICE])
    assert join(site["alice/a2"]) == [ALICE]
    assert told(site[ALICE]) == ["join alice/a2"]


def test_rooms_have_nothing_to_do_with_each_other():
    site = RoomSite(ALICE, BOB)
    alice, bob = site.clients.values()
    join(alice)
    assert join(bob, "/chat/rooms/43") == []
    assert alice.take_all() == []
    assert status(bob.request("message", ROOM)) == (403, "you are not in this room")
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
        # Parameters of the mount may be told apart by case, and it is not known which.
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


def test_a_path_that_escaping_makes_too_long_is_refused():
    site = RoomSite(ALICE)
    answer = site[ALICE].request("session", "/chat/rooms/" + "ü" * 1000)
    assert status(answer) == (414, "a path has at most 4096 characters")
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


def test_the_path_below_the_mount_may_be_another():
    site = RoomSite(ALICE, BOB, path="/:team/r/:room_id")
    assert join(site[ALICE], "/chat/red/R/1") == []
    assert join(site[BOB], "/chat/blue/r/1") == []
    assert join(site[BOB], "/chat/red/r/1") == [ALICE]
    assert [(room.id, room.path) for room in site.made] == [
        ("1", "/chat/red/r/1"),
        ("1", "/chat/blue/r/1"),
    ]


# The application decides


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
def test_whom_the_application_has_answered_is_not_in(refuse, expected, where):
    on_room = refuse if where == "on_room" else listen(join_request=refuse)
    site = RoomSite(ALICE, on_room=on_room)
    for count in (1, 2):
        assert status(site[ALICE].request("session", ROOM)) == expected
        assert status(site[ALICE].request("end", ROOM)) == (404, "room not found")
        assert len(site.made) == count
    assert site.sizes() == EMPTY
    assert all(isinstance(error, Reject) for error in site.core.framework.errors)


def test_each_who_wants_to_join_is_asked_about():
    def check(room, req):
        if req.data.get("password") != "sesame":
            raise Reject(403, "wrong password")

    site = RoomSite(ALICE, BOB, on_room=listen(join_request=check))
    assert site[ALICE].request("session", ROOM, {"password": "sesame"})["status"] == 200
    assert status(site[BOB].request("session", ROOM)) == (403, "wrong password")
    assert site[ALICE].take_all() == []
    assert site[BOB].request("session", ROOM, {"password": "sesame"})["status"] == 200
    assert told(site[ALICE]) == ["join bob/b1"]


def test_the_first_listener_that_refuses_is_the_last_that_is_asked():
    asked = []

    def on_room(room, req):
        room.on("join_request", lambda room, req: asked.append(1))
        room.on("join_request", lambda room, req: req.reply(403))
        room.on("join_request", lambda room, req: asked.append(3))

    RoomSite(ALICE, on_room=on_room)[ALICE].request("session", ROOM)
    assert asked == [1]


def test_a_joiner_may_be_asked_something_first():
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


def test_without_on_room_everybody_may_join():
    core = Core()
    core.router.use(room_handler(RoomSite(core=core)))
    assert join(core.connect(), "/rooms/42") == []


def test_a_room_that_is_closed_while_it_is_asked_about_lets_nobody_in():
    site = RoomSite(ALICE, on_room=lambda room, req: room.close())
    assert status(site[ALICE].request("session", ROOM)) == (410, "room closed")
    site = RoomSite(ALICE, on_room=listen(join_request=lambda room, req: room.close()))
    assert status(site[ALICE].request("session", ROOM)) == (410, "room closed")
    assert site.sizes() == EMPTY


# Inside


def test_a_message_goes_to_all_other_members():
    site = make_site(ALICE, BOB, CAROL)
    answer = site[ALICE].request("message", ROOM, {"text": "hi", "sessionPath": "/elsewhere"})
    assert answer["data"] == {"sent": 2}
    assert status(answer) == (200, "message sent to 2 peers")
    for name in (BOB, CAROL):
        assert site[name].take_all() == [notification("message", sender=ALICE, text="hi")]
    assert site[ALICE].take_all() == []


def test_a_message_is_written_once():
    site = make_site(ALICE, BOB, CAROL)
    site[ALICE].request("message", ROOM)
    assert site[BOB].link.payloads[0] is site[CAROL].link.payloads[0]


def test_a_private_request_goes_to_one_member_and_its_responses_come_back():
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


def test_a_private_request_to_one_who_leaves_is_answered():
    site = make_site(ALICE, BOB)
    site[ALICE].start_request("private", ROOM, {"peer": address(BOB)})
    site[BOB].leave()
    answer, leave = site[ALICE].take_all()
    assert status(answer) == (410, "peer offline")
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
def test_a_private_request_says_whom_it_is_for(peer):
    site = make_site(ALICE, BOB)
    for data in [{"peer": peer}] + ([{}] if peer is None else []):
        answer = site[ALICE].request("private", ROOM, data)
        assert answer["status"] == 400
        assert answer["reason"].startswith("data.peer must be the member it is for: {")
    assert site[BOB].take_all() == []


@pytest.mark.parametrize("name", ["bob/b2", "dave/d1", CAROL])
def test_a_private_request_to_one_who_is_not_in_is_answered_404(name):
    site = make_site(ALICE, BOB)
    carol = site.connect(CAROL)
    answer = site[ALICE].request("private", ROOM, {"peer": address(name)})
    assert status(answer) == (404, "peer not found")
    assert carol.take_all() == []


def test_what_the_room_does_not_know_is_for_the_application():
    def mute(room, req):
        if req.method == "mute":
            req.reply(200, "muted", {"room": room.id, "of": req.peer.username})
        elif req.method == "crash":
            raise Reject(409, "not now")

    site = make_site(ALICE, on_room=listen(request=mute))
    assert site[ALICE].request("mute", ROOM)["data"] == {"room": "42", "of": "alice"}
    assert status(site[ALICE].request("crash", ROOM)) == (409, "not now")
    site[ALICE].start_request("later", ROOM)
    assert site[ALICE].take_all() == []


def test_what_nobody_knows_is_answered_405():
    site = make_site(ALICE)
    assert status(site[ALICE].request("icecandidate", ROOM)) == (405, "method not allowed")


@pytest.mark.parametrize("method", ["message", "private", "end", "update", "whatever"])
def test_who_is_not_in_is_refused(method):
    asked = []
    site = make_site(ALICE, on_room=listen(request=lambda room, req: asked.append(req)))
    bob = site.connect(BOB)
    data = {"peer": address(ALICE)}
    assert status(bob.request(method, ROOM, data)) == (403, "you are not in this room")
    assert status(bob.request(method, "/chat/rooms/43", data)) == (404, "room not found")
    assert (site[ALICE].take_all(), asked) == ([], [])


def test_without_an_id_everything_works_and_nobody_is_answered():
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


# Leaving


def test_who_ends_it_leaves_and_the_others_are_told():
    site = make_site(ALICE, BOB)
    assert status(site[BOB].request("end", ROOM)) == (200, "left")
    assert told(site[ALICE]) == ["leave bob/b1"]
    assert site[BOB].take_all() == []
    assert status(site[BOB].request("message", ROOM)) == (403, "you are not in this room")
    assert site[ALICE].request("message", ROOM)["data"] == {"sent": 0}


def test_who_goes_offline_leaves_all_rooms():
    site = make_site(ALICE, BOB)
    join_all(site, ALICE, BOB, path="/chat/rooms/43")
    site[BOB].leave()
    assert sorted(message["data"]["sessionPath"] for message in site[ALICE].take_all()) == [
        ROOM,
        "/chat/rooms/43",
    ]
    assert site[ALICE].request("message", ROOM)["data"] == {"sent": 0}


def test_within_the_grace_period_a_member_stays_in_and_hears_what_was_said():
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


def test_who_is_removed_is_told_why_and_the_others_that():
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


def test_the_end_of_a_room_is_told_to_everybody():
    site = make_site(ALICE, BOB)
    assert site.room.close("lesson is over") == 2
    for client in site.clients.values():
        [end] = client.take_all()
        data = {"reason": "lesson is over", "sessionPath": ROOM}
        assert (end["method"], end["data"]) == ("end", data)
        assert status(client.request("message", ROOM)) == (404, "room not found")
    assert site.sizes() == EMPTY
    assert site.room.close() == 0
    assert site.room.broadcast("news") == 0


def test_an_empty_room_is_released_and_made_anew():
    site = make_site(ALICE)
    site[ALICE].request("end", ROOM)
    assert site.sizes() == EMPTY
    assert join(site[ALICE]) == []
    first, second = site.made
    assert first is not second
    assert first.remove(site[ALICE].peer) is False


# What the application sends and is told


def test_the_application_tells_members_something():
    site = make_site(ALICE, BOB)
    assert site.room.broadcast("news", {"n": 1}, skip=site[ALICE].peer) == 1
    assert site[ALICE].take_all() == []
    assert site[BOB].take_all() == [notification("news", n=1)]
    assert site.room.broadcast("bell") == 2
    assert site[ALICE].take_all() == [notification("bell")]


def test_the_application_keeps_books():
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


def test_books_are_right_when_telling_is_slow():
    books, spawned = [], []
    site = RoomSite(ALICE, on_room=keep_books(books))
    site.core.scheduler.spawn = postpone(spawned)
    join(site[ALICE])
    site[ALICE].request("end", ROOM)
    assert books == ["room 42"]

    def tell():
        for function, *args in spawned:
            function(*args)

    # The next room has to wait.
    site.core.scheduler.on_wait.append(tell)
    join(site[ALICE])
    assert books == ["room 42", "join a1", "leave a1", "close 42", "room 42"]


def test_a_listener_that_fails_is_logged_and_the_others_are_told(caplog):
    books = []

    def on_room(room, req):
        room.on("join", lambda room, peer: 1 / 0)
        keep_books(books)(room, req)

    site = make_site(ALICE, on_room=on_room)
    assert books == ["room 42", "join a1"]
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError]
    site[ALICE].request("end", ROOM)
    assert site.sizes() == EMPTY


def test_the_application_is_told_in_the_contexts_of_the_peer(monkeypatch):
    protoo, found, spawned = Protoo(), [], []
    spawn = postpone(spawned)
    monkeypatch.setattr(FakeScheduler, "spawn", lambda self, *call: spawn(*call))

    def note(room, *args):
        found.append((current_app.name, session["username"], "note" in g))
        g.note = True

    def on_room(room, req):
        note(room)
        for event in ("join_request", "join", "leave", "close"):
            room.on(event, note)

    protoo.use("/chat", room_handler(protoo, on_room))
    app = make_app("site")
    protoo.init_app(app)
    inbox = join_app(app, "alice", "a1")
    inbox.receive(b'{"method": "session", "path": "/chat/rooms/42", "id": 1}')
    assert inbox.peer.link.take()["status"] == 200
    app.extensions["protoo"].close()
    while spawned:
        function, *args = spawned.pop(0)
        function(*args)
    # join_request runs in the handler that on_room() ran in.
    fresh = [False, True, False, False, False]
    assert found == [("site", "alice", noted) for noted in fresh]


# Limits


def test_a_full_room_lets_nobody_else_in_and_the_application_is_not_asked():
    asked = []
    on_room = listen(join_request=lambda room, req: asked.append(req))
    site = make_site(ALICE, BOB, max_peers=2, on_room=on_room)
    carol = site.connect(CAROL)
    assert status(carol.request("session", ROOM)) == (403, "room is full")
    assert len(asked) == 2
    assert join(site[BOB]) == [ALICE]
    site[BOB].request("end", ROOM)
    assert join(carol) == [ALICE]


def test_a_room_that_fills_while_the_application_is_asked_is_full():
    def check(room, req):
        if req.peer.username == "alice":
            join(site[BOB])

    site = RoomSite(ALICE, BOB, max_peers=1, on_room=listen(join_request=check))
    assert status(site[ALICE].request("session", ROOM)) == (403, "room is full")
    assert site.room.peers == [site[BOB].peer]


def test_by_default_fifty_are_in_a_room():
    site = make_site(*(f"user{n}/u" for n in range(MAX_PEERS)))
    assert MAX_PEERS == 50
    assert status(site.connect(ALICE).request("session", ROOM)) == (403, "room is full")


def test_a_peer_is_in_so_many_rooms_at_most():
    site = RoomSite(ALICE, "alice/a2")
    alice = site[ALICE]
    for n in range(MAX_ROOMS_PER_PEER):
        join(alice, f"/chat/rooms/{n}")
    answer = alice.request("session", "/chat/rooms/more")
    assert status(answer) == (403, "you are in 100 rooms already, which is the limit")
    assert len(site.made) == 100
    assert join(alice, "/chat/rooms/5") == []
    assert join(site["alice/a2"], "/chat/rooms/more") == []
    alice.request("end", "/chat/rooms/5")
    assert join(alice, "/chat/rooms/more") == ["alice/a2"]


@pytest.mark.parametrize("max_peers", [0, -1, True, 1.5, "50", None])
def test_a_limit_that_cannot_be_is_refused(max_peers):
    with pytest.raises(UsageError, match="an integer of at least 1, not"):
        RoomSite(max_peers=max_peers)


@pytest.mark.parametrize(
    "path",
    ["/rooms", "rooms/:room_id", "/rooms/:room_id?", "/rooms/:room_id(\\d+)", "/:id", "/r*", 5, ""],
)
def test_a_path_that_cannot_be_written_again_is_refused(path):
    with pytest.raises(UsageError, match=r"one of which is :room_id, like .*, not"):
        RoomSite(path=path)


def test_on_room_is_a_function():
    with pytest.raises(UsageError, match="got 'on_room' where a function belongs"):
        room_handler(Protoo(), "on_room")


# Races


def test_who_left_while_the_application_was_asked_is_not_in():
    site = RoomSite(ALICE, BOB)
    site._on_room = listen(join_request=lambda room, req: site[ALICE].leave())
    site[ALICE].start_request("session", ROOM)
    assert site.sizes() == EMPTY
    site._on_room = None
    assert join(site[BOB]) == []


def test_a_request_that_has_timed_out_meanwhile_lets_nobody_in():
    core = Core(response_timeout=60)
    site = RoomSite(ALICE, core=core, on_room=lambda room, req: core.scheduler.advance(60))
    assert status(site[ALICE].request("session", ROOM)) == (504, "no answer")
    site._on_room = listen(join_request=lambda room, req: core.scheduler.advance(60))
    assert status(site[ALICE].request("session", ROOM)) == (504, "no answer")
    assert (site[ALICE].take_all(), site.sizes()) == ([], EMPTY)
    assert core.framework.errors == []


@pytest.mark.parametrize("is_refused", [False, True])
def test_who_comes_while_the_application_is_asked_about_the_room_waits(is_refused):
    waits = threading.Event()

    class Event(threading.Event):
        def wait(self, timeout=None):
            waits.set()
            return super().wait(10)

    def on_room(room, req):
        if req.peer.username == "alice":
            bob.start()
            assert waits.wait(10)
            assert site.made == [room]
            if is_refused:
                req.reply(403)

    site = RoomSite(ALICE, BOB, on_room=on_room)
    site.core.scheduler.event = Event
    bob = threading.Thread(target=site[BOB].start_request, args=("session", ROOM))
    site[ALICE].start_request("session", ROOM)
    bob.join()
    # Alice is in by then, or Bob is, who is in another room if hers was refused.
    assert site[ALICE].take()["status"] == (403 if is_refused else 200)
    assert site[BOB].take()["status"] == 200
    assert len(site.made) == (2 if is_refused else 1)
    assert len(site.room.peers) == (1 if is_refused else 2)
    assert site.sizes() == ([(1, 1, 0)] if is_refused else [(1, 2, 0)])


def test_a_device_that_came_back_before_its_leaving_was_told_is_in_once():
    site = make_site(ALICE, BOB)

    # A listener of the site blocks in "offline", before ours; the device comes back.
    def come_back(peer):
        site.clients[BOB] = site.connect(BOB)
        assert join(site[BOB]) == [ALICE]

    site.listeners.insert(0, ("peer_offline", come_back))
    site[BOB].leave()
    assert told(site[ALICE]) == ["leave bob/b1", "join bob/b1"]
    assert site.room.peers == [site[ALICE].peer, site[BOB].peer]
    del site.listeners[0]
    site[BOB].leave()
    assert told(site[ALICE]) == ["leave bob/b1"]


def test_a_room_in_which_somebody_is_being_let_in_is_not_released():
    def check(room, req):
        if req.peer.username == "bob":
            site[ALICE].request("end", ROOM)

    books = []
    site = RoomSite(ALICE, BOB)

    def on_room(room, req):
        keep_books(books)(room, req)
        room.on("join_request", check)

    site._on_room = on_room
    join(site[ALICE])
    assert join(site[BOB]) == []
    assert books == ["room 42", "join a1", "leave a1", "join b1"]
    assert site.sizes() == [(1, 1, 0)]


@pytest.fixture
def threads(monkeypatch):
    """Locks and events are those of threads, which switch as often as they can."""
    loop = ThreadLoop()
    monkeypatch.setattr(FakeScheduler, "lock", ThreadLoop.lock)
    monkeypatch.setattr(FakeScheduler, "event", lambda self: loop.event())
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield run_in_threads
    sys.setswitchinterval(interval)


def run_in_threads(functions):
    with ThreadPoolExecutor(len(functions)) as pool:
        for future in [pool.submit(function) for function in functions]:
            future.result()


def test_in_threads_nobody_is_left_and_everybody_heard_it_in_order(threads):
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
        # Each room was closed before the next was made.
        lifes = [entry for entry in books if entry in (f"room {n}", f"close {n}")]
        assert lifes == [f"room {n}", f"close {n}"] * (len(lifes) // 2)


def test_in_threads_a_room_is_made_once(threads):
    for _ in range(10):
        site = RoomSite(*(f"user{n}/u" for n in range(4)))
        threads([functools.partial(join, client) for client in site.clients.values()])
        assert len(site.made) == 1
        assert len(site.room.peers) == 4


# Nothing is left


def test_ten_thousand_joins_and_leaves_leave_nothing():
    site = make_site(ALICE)
    before = site.sizes()
    rooms = weakref.WeakSet()
    site._on_room = lambda room, req: rooms.add(room)
    for n in range(10_000):
        path = f"/chat/rooms/{n % 7}" if n % 2 else ROOM
        client = site.connect(f"bob/{n}")
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


def test_an_app_that_is_gone_takes_its_rooms_with_it():
    site = make_site(ALICE, BOB)
    site.core.application.close()
    [rooms] = site.rooms().values()
    assert len(rooms) == 0
    gone = weakref.ref(rooms)
    del site, rooms
    gc.collect()
    assert gone() is None


def test_apps_that_share_a_protoo_have_rooms_of_their_own():
    protoo = Protoo()
    protoo.use("/chat", room_handler(protoo))
    here, there = make_app("here"), make_app("there")
    for app in (here, there):
        protoo.init_app(app)
    for inbox in (join_app(here), join_app(there, "bob", "b1")):
        inbox.receive(b'{"method": "session", "path": "/chat/rooms/42", "id": 1}')
        assert inbox.peer.link.take()["data"]["peers"] == []
    for app in (here, there):
        app.extensions["protoo"].close()
