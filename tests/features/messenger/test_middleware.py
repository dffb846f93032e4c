"""p2p_messenger: the recipients of a message, and the answer to its sender."""

from __future__ import annotations

import pytest

from protoo_flask.core.routing.router import Router
from protoo_flask.middleware import p2p_messenger

from .messengers import Messenger


def test_a_message_to_a_device_is_forwarded_to_it():
    messenger = Messenger("alice/a1", "bob/b1", "bob/b2")
    messenger["alice/a1"].start_request("message", "/users/bob/b1", {"text": "hi"})
    assert messenger["bob/b1"].take_all() == [
        {
            "method": "message",
            "id": 100,
            "data": {"text": "hi"},
            "sender": {"username": "alice", "uuid": "a1"},
        }
    ]
    assert messenger.take_recipients() == []


@pytest.mark.parametrize("path", ["/users/bob", "/users/bob/", "/users/bob/b1", "/USERS/bob"])
def test_the_responses_of_a_single_recipient_go_back_unchanged(path):
    messenger = Messenger("alice/a1", "bob/b1")
    alice, bob = messenger["alice/a1"], messenger["bob/b1"]
    id = alice.start_request("message", path)
    request = bob.take()
    bob.respond(request, 100, "reading")
    bob.respond(request, 486, "busy", {"until": "noon"})
    assert alice.take_all() == [
        {"status": 100, "reason": "reading", "id": id, "data": {}},
        {"status": 486, "reason": "busy", "id": id, "data": {"until": "noon"}},
    ]


@pytest.mark.parametrize(
    ("happen", "answer"),
    [
        (lambda core, bob: core.scheduler.advance(10), (408, "request timeout")),
        (lambda core, bob: bob.drop(), (410, "peer offline")),
        (lambda core, bob: bob.peer.close(), (410, "peer offline")),
    ],
    ids=["timeout", "dropped", "closed"],
)
def test_the_sender_gets_a_local_response_when_the_recipient_gives_none(happen, answer):
    messenger = Messenger("alice/a1", "bob/b1")
    messenger["alice/a1"].start_request("message", "/users/bob")
    happen(messenger.core, messenger["bob/b1"])
    told = messenger["alice/a1"].take()
    assert (told["status"], told["reason"]) == answer
    assert messenger.core.scheduler.pending_timers == 0


def test_a_message_to_a_user_with_several_devices_goes_to_each_and_is_answered_at_once():
    messenger = Messenger("alice/a1", "bob/b1", "bob/b2", "bob/b3", "carol/c1")
    answer = messenger["alice/a1"].request("message", "/users/bob", {"text": "hi"})
    assert (answer["status"], answer["reason"]) == (200, "message sent to 3 peers")
    for name in ("bob/b1", "bob/b2", "bob/b3"):
        (request,) = messenger[name].take_all()
        assert request["data"] == {"text": "hi"}
        messenger[name].respond(request, 486)
    assert messenger.take_recipients() == []


@pytest.mark.parametrize(
    ("path", "recipients"),
    [
        ("/users/alice", ["alice/a2"]),
        ("/users/alice/a1", ["alice/a1"]),
        ("/users/alice/a2", ["alice/a2"]),
    ],
)
def test_a_message_to_oneself_goes_to_the_other_devices_unless_a_device_is_named(path, recipients):
    messenger = Messenger("alice/a1", "alice/a2")
    messenger["alice/a1"].start_request("message", path)
    assert messenger.take_request_recipients() == recipients


@pytest.mark.parametrize(
    "path", ["/users/carol", "/users/bob/b9", "/users/alice", "/users/bob%20", "/users/BOB"]
)
def test_a_message_without_recipients_is_answered_404(path):
    messenger = Messenger("alice/a1", "bob/b1")
    answer = messenger["alice/a1"].request("message", path)
    assert (answer["status"], answer["reason"]) == (404, "peer not found")
    assert messenger.take_recipients() == []


def test_a_username_is_percent_decoded():
    messenger = Messenger("alice/a1", "bob@example.org/b1")
    messenger["alice/a1"].start_request("message", "/users/bob%40example.org")
    assert messenger.take_recipients() == ["bob@example.org/b1"]


@pytest.mark.parametrize(
    ("path", "recipients"),
    [("/users/bob", ["bob/b1", "bob/b2"]), ("/users/bob/b2", ["bob/b2"]), ("/users/carol", [])],
)
def test_a_notification_is_sent_on_as_a_notification_and_never_answered(path, recipients):
    messenger = Messenger("alice/a1", "bob/b1", "bob/b2")
    messenger["alice/a1"].notify("message", path, {"typing": True})
    sender = {"username": "alice", "uuid": "a1"}
    for name in recipients:
        assert messenger[name].take_all() == [
            {"method": "message", "data": {"typing": True}, "sender": sender}
        ]
    assert messenger.take_recipients() == []
    assert messenger.core.scheduler.pending_timers == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/users/bob"),
        ("message", "/users"),
        ("message", "/users/bob/b1/x"),
        ("message", "/bob"),
    ],
)
def test_other_methods_and_paths_go_past_the_messenger(method, path):
    messenger = Messenger("alice/a1", "bob/b1")
    assert messenger["alice/a1"].request(method, path)["reason"] == "not found"
    assert messenger.take_recipients() == []


def test_the_path_below_the_mount_can_be_chosen():
    messenger = Messenger("alice/a1", "bob/b1", path="/:username/devices/:uuid")
    messenger["alice/a1"].start_request("message", "/users/bob/devices/b1")
    assert messenger.take_recipients() == ["bob/b1"]
    assert messenger["alice/a1"].request("message", "/users/bob")["reason"] == "not found"


def test_the_result_is_a_router():
    messenger = Messenger("alice/a1")
    assert isinstance(p2p_messenger(messenger), Router)
