"""docs/rooms.md and docs/ice.md tell the truth: transcripts are replayed, code compiles."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from protoo_flask import Protoo, Reject
from protoo_flask.features.rooms.middleware import MAX_PEERS, MAX_ROOMS_PER_PEER
from protoo_flask.middleware import ice_servers

from .features.rooms.room_sites import RoomSite
from .features.rooms.room_sites import join as join_room
from .features.sites import address
from .joining import join, make_app

DOCS = Path(__file__).parent.parent / "docs"
ROOMS, ICE = ((DOCS / name).read_text(encoding="utf-8") for name in ("rooms.md", "ice.md"))


def blocks(page, kind):
    return re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)


def transcript(page):
    """Return the lines of all transcripts: (name, direction, message)."""
    lines = "".join(blocks(page, "text")).splitlines()
    return [(*line.split(" ", 2)[:2], json.loads(line.split(" ", 2)[2])) for line in lines]


def load(source, **names):
    """Run a block of the page; returns its names."""
    defined = {"Reject": Reject, **names}
    exec(source, defined)
    return defined


def test_the_transcript_of_the_rooms_can_be_replayed():
    site = RoomSite("alice/a1", "bob/b1")
    clients = {"alice": site["alice/a1"], "bob": site["bob/b1"]}
    lines = transcript(ROOMS)
    assert len(lines) == 15
    for name, direction, message in lines:
        if direction == ">":
            clients[name].send(message)
        else:
            assert clients[name].take() == message
    assert [client.take_all() for client in clients.values()] == [[], []]


def test_the_transcript_of_the_ice_servers_can_be_replayed():
    app, protoo = make_app(), Protoo()
    app.config["PROTOO_TURN_SECRET"] = re.search("static-auth-secret=(.*)", ICE).group(1)
    source = blocks(ICE, "python")[0]
    secret = app.config["PROTOO_TURN_SECRET"]
    load(source.replace('os.environ["TURN_SECRET"]', repr(secret)), app=app, protoo=protoo)
    protoo = Protoo(app)
    protoo.use("/ice", ice_servers(protoo, now=lambda: 1433895918 - 86400))
    [(_, _, question), (_, _, answer)] = transcript(ICE)
    inbox = join(app)
    inbox.receive(json.dumps(question).encode())
    assert inbox.peer.link.take() == answer
    app.extensions["protoo"].close()


@pytest.mark.parametrize(
    "source",
    blocks(ROOMS, "python") + blocks(ICE, "python"),
    ids=lambda source: source.split("\n")[0],
)
def test_the_python_of_the_pages_compiles(source):
    compile(source, "rooms.md", "exec")


@pytest.mark.parametrize(("status", "is_in"), [(200, True), (403, False), (None, False)])
def test_the_recipe_for_consent_asks_the_host(status, is_in):
    [source] = [block for block in blocks(ROOMS, "python") if "knock" in block]
    site = RoomSite("alice/a1", "bob/b1", on_room=load(source)["on_room"])
    alice, bob = site["alice/a1"], site["bob/b1"]
    join_room(alice)

    def answer():
        knock = alice.take()
        data = {"peer": address("bob/b1"), "sessionPath": "/chat/rooms/42"}
        assert (knock["method"], knock["data"]) == ("knock", data)
        if status is None:
            site.core.scheduler.advance(30)
        else:
            alice.respond(knock, status)

    site.core.scheduler.on_wait.append(answer)
    bob.start_request("session", "/chat/rooms/42")
    assert [message["status"] for message in bob.take_all()] == [180, 200 if is_in else 403]
    assert site.room.has(bob.peer) is is_in


def test_the_recipe_for_enrolment_refuses_other_users():
    [source] = [block for block in blocks(ROOMS, "python") if "Enrolment" in block]
    lessons = {"latin": SimpleNamespace(id=7)}
    query = SimpleNamespace(filter_by=lambda slug: SimpleNamespace(first=lambda: lessons.get(slug)))
    enrolments = {(7, "alice")}
    on_room = load(
        source,
        Lesson=SimpleNamespace(query=query),
        Enrolment=SimpleNamespace(exists=lambda *pair: pair in enrolments),
        room_handler=lambda *args: None,
        protoo=SimpleNamespace(use=lambda *args: None),
    )["on_room"]
    site = RoomSite("alice/a1", "bob/b1", on_room=on_room)
    alice, bob = site["alice/a1"], site["bob/b1"]
    assert alice.request("session", "/chat/rooms/greek")["reason"] == "no such lesson"
    assert join_room(alice, "/chat/rooms/latin") == []
    assert bob.request("session", "/chat/rooms/latin")["reason"] == "not enrolled"


def test_the_recipe_for_moderation_puts_members_out():
    [source] = [block for block in blocks(ROOMS, "python") if "moderate" in block]
    on_room = load(source, is_moderator=lambda username: username == "alice")["on_room"]
    site = RoomSite("alice/a1", "bob/b1", on_room=on_room)
    alice, bob = site["alice/a1"], site["bob/b1"]
    for client in (bob, alice):
        join_room(client)
    bob.take_all()
    path = "/chat/rooms/42"
    assert bob.request("kick", path, {"username": "alice"})["reason"] == "moderators only"
    assert alice.request("update", path)["status"] == 405
    alice.start_request("kick", path, {"username": "bob"})
    assert [message.get("method") for message in alice.take_all()] == ["leave", None]
    assert bob.take()["data"]["reason"] == "be polite"
    assert alice.request("finish", path)["status"] == 200
    assert alice.take()["data"]["reason"] == "the lesson is over"
    assert site.sizes() == [(0, 0, 0)]


@pytest.mark.parametrize(
    "limit",
    [f"{MAX_PEERS} members", f"you are in {MAX_ROOMS_PER_PEER} rooms already, which is the limit"],
)
def test_the_page_has_the_limits_of_the_code(limit):
    assert limit in ROOMS
