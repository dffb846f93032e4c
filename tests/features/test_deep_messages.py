"""Data of many levels: every feature delivers it, or it is refused where it is read."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any, Iterator

import pytest

from protoo_flask.core.wire.nesting import MAX_DEPTH
from protoo_flask.middleware import p2p_messenger, presence, room_handler, session_handler
from tests.core.wire.deep_messages import LEVELS, SHAPES, data_of, write
from tests.features.sites import Site

BEYOND = [MAX_DEPTH + 1, MAX_DEPTH + 2, 957, 975, 1000, 1100]

#: Calls that a handler has around it, and room for the reading of a message besides them.
MIDDLEWARE = 50
ROOM = MAX_DEPTH + 60


class Everything(Site):
    """A site with all features, behind middleware, and an echo."""

    def mount(self, router: Any, **options: Any) -> None:
        for _ in range(MIDDLEWARE):
            router.use(lambda req, next: next())
        router.use("/users", p2p_messenger(self, carbons=True))
        router.use("/reports", p2p_messenger(self, report="all"))
        router.use("/calls", session_handler(self))
        router.use("/chat", room_handler(self))
        router.use("/presence", presence(self, lambda peer, username: True))
        router.get("/echo", lambda req, next: req.reply(200, "OK", req.data))
        router.get("/progress", self.answer_twice)

    @staticmethod
    def answer_twice(req: Any, next: Any) -> None:
        req.reply(100, "wait", req.data)
        req.reply(200, "OK", req.data)


@contextlib.contextmanager
def little_room() -> Iterator[None]:
    """Let Python's stack end soon: data can just be read, outside of all handlers."""
    frame: Any = sys._getframe()
    frames = 0
    while frame is not None:
        frame, frames = frame.f_back, frames + 1
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(frames + ROOM)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


@pytest.fixture(params=SHAPES)
def shape(request: Any) -> Any:
    return request.param


@pytest.fixture(params=LEVELS)
def levels(request: Any) -> Any:
    return request.param


@pytest.fixture
def site() -> Everything:
    return Everything("alice/a1", "bob/b1", "bob/b2", "alice/a2", core_options={"grace_period": 10})


@pytest.fixture
def send(shape: str, levels: int) -> Any:
    """Return a function that sends a deep message."""

    def send(client: Any, **fields: Any) -> None:
        payload = write(shape, levels, **fields)
        with little_room():
            client.send_raw(payload)

    return send


@pytest.fixture
def data(shape: str, levels: int) -> Any:
    return data_of(shape, levels)


def without(message: dict[str, Any], *names: str) -> Any:
    """Return the data of a message without the fields that a feature has added."""
    return {key: value for key, value in message["data"].items() if key not in names}


def test_an_answer_has_all_levels(site, send, data):
    alice = site["alice/a1"]
    send(alice, method="get", path="/echo", id=7)
    assert alice.take()["data"] == data
    send(alice, method="get", path="/progress", id=8)
    assert [answer["data"] for answer in alice.take_all()] == [data, data]


def test_an_answer_has_all_levels_when_it_is_repeated(site, send, data):
    alice = site["alice/a1"]
    send(alice, method="get", path="/echo", id=7)
    alice.drop()
    again = site.connect("alice/a1")
    send(again, method="get", path="/echo", id=7)
    assert again.take()["data"] == data


def test_a_relayed_message_and_its_answers_have_all_levels(site, send, data):
    alice, bob = site["alice/a1"], site["bob/b1"]
    send(alice, method="message", path="/users/bob/b1", id=7)
    message = bob.take()
    assert message["data"] == data
    assert without(site["alice/a2"].take(), "carbon", "to") == data
    send(bob, status=180, id=message["id"])
    send(bob, status=200, id=message["id"])
    assert [answer["data"] for answer in alice.take_all()] == [data, data]


def test_a_message_to_several_devices_has_all_levels(site, send, data):
    alice = site["alice/a1"]
    send(alice, method="message", path="/users/bob", id=7)
    assert [site[name].take()["data"] for name in ("bob/b1", "bob/b2")] == [data, data]
    send(alice, method="message", path="/users/bob")
    assert [site[name].take()["data"] for name in ("bob/b1", "bob/b2")] == [data, data]


def test_a_delivery_report_follows_answers_with_all_levels(site, send, data):
    alice = site["alice/a1"]
    send(alice, method="message", path="/reports/bob", id=7)
    for name in ("bob/b1", "bob/b2"):
        message = site[name].take()
        assert message["data"] == data
        send(site[name], status=603, id=message["id"])
    assert alice.take()["status"] == 603


def test_a_message_that_waits_for_a_peer_has_all_levels(site, send, data):
    bob = site["bob/b1"]
    send(site["alice/a1"], method="message", path="/users/bob/b1", id=7)
    bob.drop()
    send(site["alice/a1"], method="message", path="/users/bob/b1", id=8)
    again = site.connect("bob/b1")
    assert [message["data"] for message in again.take_all()] == [data, data]


def test_a_call_has_all_levels(site, send, data):
    alice, bob = site["alice/a1"], site["bob/b1"]
    send(alice, method="session", path="/calls/bob", id=7)
    path = alice.take()["data"]["sessionPath"]
    offer = bob.take()
    assert without(offer, "sessionPath") == data
    assert without(site["bob/b2"].take(), "sessionPath") == data
    send(alice, method="icecandidate", path=path, id=8)
    early = bob.take()
    assert without(early, "sessionPath") == data
    send(bob, status=180, id=offer["id"])
    assert without(alice.take(), "sessionPath") == data
    send(bob, status=200, id=offer["id"])
    assert without(alice.take(), "sessionPath") == data
    send(alice, method="update", path=path, id=9)
    update = bob.take()
    assert without(update, "sessionPath") == data
    send(bob, status=200, id=update["id"])
    assert without(alice.take(), "sessionPath") == data
    send(bob, method="end", path=path, id=1)
    assert without(alice.take(), "sessionPath", "reason") == data


def test_a_room_has_all_levels(site, send, data):
    alice, bob = site["alice/a1"], site["bob/b1"]
    for client in (alice, bob):
        send(client, method="session", path="/chat/rooms/7", id=7)
        assert client.take()["status"] == 200
    assert alice.take()["method"] == "join"
    send(alice, method="message", path="/chat/rooms/7", id=8)
    assert without(bob.take(), "sessionPath") == data
    assert alice.take()["data"] == {"sent": 1}
    payload = {"method": "private", "path": "/chat/rooms/7", "id": 9}
    to = {"peer": {"username": "bob", "uuid": "b1"}}
    written = json.dumps({**payload, "data": {**to, **data}}).encode()
    with little_room():
        alice.send_raw(written)
    message = bob.take()
    assert without(message, "sessionPath", "peer") == data
    send(bob, status=200, id=message["id"])
    assert without(alice.take(), "sessionPath") == data


@pytest.mark.parametrize("levels", BEYOND, indirect=True)
def test_a_message_beyond_the_limit_is_refused_where_it_is_read(site, shape, levels):
    alice, bob = site["alice/a1"], site["bob/b1"]
    payloads = [
        {"method": "get", "path": "/echo"},
        {"method": "message", "path": "/users/bob/b1"},
        {"method": "session", "path": "/calls/bob"},
        {"method": "session", "path": "/chat/rooms/7"},
        {"method": "publish", "path": "/presence"},
    ]
    for id, fields in enumerate(payloads, 1):
        alice.send_raw(write(shape, levels, id=id, **fields))
        answer = alice.take()
        assert (answer["status"], answer["id"]) == (400, id)
        assert f"it has {levels} levels, and at most 500 are read" in answer["reason"]
    alice.start_request("message", "/users/bob/b1")
    id = bob.take()["id"]
    bob.send_raw(write(shape, levels, status=200, id=id))
    answer = bob.take()
    assert (answer["status"], answer["id"]) == (400, id)
