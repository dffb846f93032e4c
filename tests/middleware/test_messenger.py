"""p2p_messenger: who gets a message, and what its sender is told."""

from __future__ import annotations

import pytest

from protoo_flask.core.router import Router
from protoo_flask.middleware import p2p_messenger
from tests.fakes import Core


class Messenger:
    """A core whose messenger is mounted at /users, with peers named "username/uuid"."""

    def __init__(self, *names, **options):
        self.core = Core()
        # Stands for the Protoo, of which the messenger asks only for peers.
        self.peers = self.core.application.registry.find
        self.core.router.use("/users", p2p_messenger(self, **options))
        self.clients = {name: self.core.connect(*name.split("/")) for name in names}

    def __getitem__(self, name):
        return self.clients[name]

    def who_got_something(self):
        """Return the names of those who have received anything, and make them forget it."""
        return sorted(name for name, client in self.clients.items() if client.take_all())

    def recipients(self):
        """Return the names of those who have received a message."""
        return sorted(
            name
            for name, client in self.clients.items()
            if [message for message in client.take_all() if "method" in message]
        )


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
    assert messenger.who_got_something() == []


@pytest.mark.parametrize("path", ["/users/bob", "/users/bob/", "/users/bob/b1", "/USERS/bob"])
def test_the_responses_of_one_peer_go_back_to_the_sender_as_they_are(path):
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
def test_the_sender_is_told_when_no_response_comes(happen, answer):
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
    assert messenger.who_got_something() == []


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
    assert messenger.recipients() == recipients


@pytest.mark.parametrize(
    "path", ["/users/carol", "/users/bob/b9", "/users/alice", "/users/bob%20", "/users/BOB"]
)
def test_a_message_to_nobody_is_answered_404(path):
    messenger = Messenger("alice/a1", "bob/b1")
    answer = messenger["alice/a1"].request("message", path)
    assert (answer["status"], answer["reason"]) == (404, "peer not found")
    assert messenger.who_got_something() == []


def test_a_username_is_percent_decoded():
    messenger = Messenger("alice/a1", "bob@example.org/b1")
    messenger["alice/a1"].start_request("message", "/users/bob%40example.org")
    assert messenger.who_got_something() == ["bob@example.org/b1"]


@pytest.mark.parametrize(
    ("path", "recipients"),
    [("/users/bob", ["bob/b1", "bob/b2"]), ("/users/bob/b2", ["bob/b2"]), ("/users/carol", [])],
)
def test_a_notification_is_passed_on_as_a_notification_and_never_answered(path, recipients):
    messenger = Messenger("alice/a1", "bob/b1", "bob/b2")
    messenger["alice/a1"].notify("message", path, {"typing": True})
    sender = {"username": "alice", "uuid": "a1"}
    for name in recipients:
        assert messenger[name].take_all() == [
            {"method": "message", "data": {"typing": True}, "sender": sender}
        ]
    assert messenger.who_got_something() == []
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
def test_everything_else_goes_past_the_messenger(method, path):
    messenger = Messenger("alice/a1", "bob/b1")
    assert messenger["alice/a1"].request(method, path)["reason"] == "not found"
    assert messenger.who_got_something() == []


def test_the_path_below_the_mount_can_be_chosen():
    messenger = Messenger("alice/a1", "bob/b1", path="/:username/devices/:uuid")
    messenger["alice/a1"].start_request("message", "/users/bob/devices/b1")
    assert messenger.who_got_something() == ["bob/b1"]
    assert messenger["alice/a1"].request("message", "/users/bob")["reason"] == "not found"


def test_it_is_a_router_to_which_more_can_be_added():
    messenger = Messenger("alice/a1")
    assert isinstance(p2p_messenger(messenger), Router)


# on_offline


def test_on_offline_may_keep_the_message_and_reply():
    kept = []

    def keep(req, username):
        kept.append((username, req.data))
        req.reply(202, "kept")

    messenger = Messenger("alice/a1", on_offline=keep)
    answer = messenger["alice/a1"].request("message", "/users/bob", {"text": "hi"})
    assert (answer["status"], answer["reason"]) == (202, "kept")
    assert kept == [("bob", {"text": "hi"})]
    assert messenger.core.host.errors == []


def test_an_on_offline_that_does_not_reply_leaves_it_at_404():
    messenger = Messenger("alice/a1", on_offline=lambda req, username: None)
    assert messenger["alice/a1"].request("message", "/users/bob")["reason"] == "peer not found"


@pytest.mark.parametrize("path", ["/users/bob/b9", "/users/alice", "/users/alice/a9", "/users/bob"])
def test_on_offline_is_not_called_for_a_user_who_is_there(path):
    called = []
    messenger = Messenger(
        "alice/a1", "bob/b1", on_offline=lambda req, username: called.append(username)
    )
    messenger["alice/a1"].start_request("message", path)
    assert called == []


def test_a_notification_to_somebody_offline_may_be_kept_too():
    kept = []
    messenger = Messenger(
        "alice/a1", on_offline=lambda req, username: kept.append(req.is_notification)
    )
    messenger["alice/a1"].notify("message", "/users/bob")
    assert kept == [True]
    assert messenger.who_got_something() == []


def test_an_on_offline_that_fails_is_answered_500():
    messenger = Messenger("alice/a1", on_offline=lambda req, username: 1 / 0)
    assert messenger["alice/a1"].request("message", "/users/bob")["status"] == 500
