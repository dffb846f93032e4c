"""p2p_messenger(carbons=True): copies for the other devices of the sender."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import Unsendable

from .messengers import Messenger, Store, spoil_requests

ALICE = {"username": "alice", "uuid": "a1"}


def carbon(data, **to):
    return {"method": "message", "data": {**data, "carbon": True, "to": to}, "sender": ALICE}


@pytest.mark.parametrize("kind", ["request", "notification"])
@pytest.mark.parametrize("report", [None, "first", "all"])
@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/users/bob", {"username": "bob"}),
        ("/users/bob/b1", {"username": "bob", "uuid": "b1"}),
        ("/users/carol", {"username": "carol"}),
        ("/users/alice/a1", {"username": "alice", "uuid": "a1"}),
    ],
    ids=["user", "device", "user-with-one-device", "oneself"],
)
def test_the_senders_other_devices_get_a_copy(path, to, report, kind):
    names = ["alice/a1", "alice/a2", "alice/a3", "bob/b1", "bob/b2", "carol/c1"]
    messenger = Messenger(*names, carbons=True, report=report)
    send = messenger["alice/a1"]
    (send.start_request if kind == "request" else send.notify)("message", path, {"text": "hi"})
    for name in ("alice/a2", "alice/a3"):
        assert messenger[name].take_all() == [carbon({"text": "hi"}, **to)]
    for name in ("bob/b1", "bob/b2", "carol/c1"):
        for message in messenger[name].take_all():
            assert message["data"] == {"text": "hi"}


@pytest.mark.parametrize(
    ("path", "messages", "copies"),
    [("/users/alice", ["a2", "a3"], []), ("/users/alice/a2", ["a2"], ["a3"])],
)
def test_a_recipient_of_the_message_gets_no_copy(path, messages, copies):
    messenger = Messenger("alice/a1", "alice/a2", "alice/a3", carbons=True)
    messenger["alice/a1"].notify("message", path)
    got = {name: client.take_all() for name, client in messenger.clients.items()}
    carbons = {name: [m["data"].get("carbon", False) for m in found] for name, found in got.items()}
    assert carbons == {
        "alice/a1": [],
        **{f"alice/{uuid}": [False] for uuid in messages},
        **{f"alice/{uuid}": [True] for uuid in copies},
    }


def test_a_message_cannot_forge_the_addressee_in_its_copy():
    messenger = Messenger("alice/a1", "alice/a2", "bob/b1", carbons=True)
    forged = {"carbon": False, "to": {"username": "carol"}, "text": "hi"}
    messenger["alice/a1"].notify("message", "/users/bob", forged)
    assert messenger["alice/a2"].take_all() == [carbon({"text": "hi"}, username="bob")]


def test_copies_are_serialized_once_and_do_not_change_the_message():
    messenger = Messenger("alice/a1", "alice/a2", "alice/a3", "bob/b1", carbons=True)
    messenger["alice/a1"].start_request("message", "/users/bob", {"text": "hi"})
    (first,), (second,) = (messenger[name].link.payloads for name in ("alice/a2", "alice/a3"))
    assert first is second
    assert messenger["bob/b1"].take()["data"] == {"text": "hi"}


def test_without_the_option_there_are_no_copies():
    messenger = Messenger("alice/a1", "alice/a2", "bob/b1")
    messenger["alice/a1"].start_request("message", "/users/bob")
    assert messenger.take_recipients() == ["bob/b1"]


@pytest.mark.parametrize("kind", ["request", "notification"])
@pytest.mark.parametrize(
    ("reply", "copies"),
    [((202, "kept"), ["alice/a2"]), ((507, "full"), []), (None, [])],
    ids=["kept", "refused", "silent"],
)
def test_a_message_without_recipients_is_copied_if_on_offline_accepts_it(reply, copies, kind):
    messenger = Messenger("alice/a1", "alice/a2", carbons=True, on_offline=Store(reply))
    alice = messenger["alice/a1"]
    (alice.start_request if kind == "request" else alice.notify)("message", "/users/bob")
    assert messenger.take_request_recipients() == copies


def test_a_message_that_is_answered_404_is_not_copied():
    messenger = Messenger("alice/a1", "alice/a2", "bob/b1", carbons=True)
    assert messenger["alice/a1"].request("message", "/users/carol")["status"] == 404
    assert messenger["alice/a1"].request("message", "/users/bob/b9")["status"] == 404
    assert messenger.take_recipients() == []


def test_a_message_kept_after_its_recipient_left_is_copied_once():
    messenger = Messenger("alice/a1", "alice/a2", "bob/b1", carbons=True, on_offline=Store())
    messenger["alice/a1"].start_request("message", "/users/bob", {"text": "hi"})
    messenger["bob/b1"].drop()
    assert messenger["alice/a1"].take()["status"] == 202
    assert messenger["alice/a2"].take_all() == [carbon({"text": "hi"}, username="bob")]


def test_a_notification_that_cannot_be_written_is_sent_to_nobody():
    messenger = Messenger("alice/a1", "alice/a2", "bob/b1", "bob/b2", carbons=True)
    alice = messenger["alice/a1"]
    spoil_requests(alice)
    alice.notify("message", "/users/bob")
    (error,) = messenger.core.framework.errors
    assert isinstance(error, Unsendable)
    assert messenger.take_recipients() == []
