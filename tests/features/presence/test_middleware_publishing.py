"""presence: publishing a status and a note."""

from __future__ import annotations

import pytest

from protoo_flask.features.presence.states import MAX_NOTE_LENGTH, MAX_STATUS_LENGTH

from .presence_sites import (
    PresenceSite,
    bob_online,
    publish,
    state_of,
    subscribe,
    take_states,
)


def test_a_published_state_goes_to_watchers_and_later_subscribers():
    site = PresenceSite()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    site.advance(5)
    state = bob_online(status="busy", note="on the phone", since=1005.0)
    assert publish(bob, status="busy", note="on the phone") == state
    assert take_states(alice) == [state]
    assert subscribe(alice, "bob") == state
    assert bob.take_all() == []


def test_a_missing_field_stays_and_null_clears_it():
    site = PresenceSite()
    bob = site.connect("bob/b1")
    publish(bob, status="busy", note="on the phone")
    assert publish(bob, note="still on the phone")["status"] == "busy"
    assert publish(bob, status=None)["note"] == "still on the phone"
    assert publish(bob, note=None) == bob_online()


def test_a_note_does_not_change_since():
    site = PresenceSite()
    bob = site.connect("bob/b1")
    site.advance(1)
    assert publish(bob, note="hungry")["since"] == 1000.0
    assert publish(bob, status="out")["since"] == 1001.0
    site.advance(1)
    assert publish(bob, status="out", note="back at two")["since"] == 1001.0


def test_publishing_an_equal_state_notifies_nobody():
    site = PresenceSite()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    publish(bob)
    publish(bob, status=None)
    assert take_states(alice) == []
    publish(bob, status="busy")
    assert len(take_states(alice)) == 1
    site.advance(5)
    assert publish(bob, status="busy") == bob_online(status="busy")
    assert take_states(alice) == []


def test_any_device_may_publish_and_the_last_one_wins():
    site = PresenceSite()
    alice, first, second = (site.connect(name) for name in ("alice/a1", "bob/b1", "bob/b2"))
    publish(first, status="busy")
    publish(second, status="away")
    assert subscribe(alice, "bob")["status"] == "away"
    second.drop()
    assert [state["status"] for state in take_states(alice)] == ["away"]


def test_a_published_state_lasts_while_the_user_is_online():
    site = PresenceSite()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    publish(bob, status="busy", note="on the phone")
    site.connect("bob/b2")
    bob.drop()
    assert [state["status"] for state in take_states(alice)] == ["busy"] * 3
    site.advance(5)
    [bob] = site.core.application.directory.find("bob")
    bob.close()
    site.advance(5)
    site.connect("bob/b1")
    assert take_states(alice) == [state_of("bob", since=1005.0), bob_online(since=1010.0)]


def test_a_user_that_watches_itself_gets_notification_and_answer():
    site = PresenceSite()
    alice = site.connect("alice/a1")
    subscribe(alice, "alice")
    alice.start_request("publish", "/presence", {"status": "busy"})
    notification, answer = alice.take_all()
    assert notification["method"] == "presence"
    assert notification["data"] == answer["data"]
    assert answer["data"]["status"] == "busy"


@pytest.mark.parametrize("path", ["/presence", "/presence/"])
def test_publish_is_sent_to_the_mount_itself(path):
    answer = PresenceSite().connect("bob/b1").request("publish", path, {"status": "busy"})
    assert answer["data"] == bob_online(status="busy")


def test_unknown_fields_are_ignored():
    data = {"status": "busy", "mood": "fine", "online": False, "username": "carol", "devices": "x"}
    answer = PresenceSite().connect("bob/b1").request("publish", "/presence", data)
    assert answer["data"] == bob_online(status="busy")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            {"status": "x" * (MAX_STATUS_LENGTH + 1)},
            "status must be null or a string of at most 64 characters, not 65 characters",
        ),
        (
            {"note": "x" * (MAX_NOTE_LENGTH + 1)},
            "note must be null or a string of at most 256 characters, not 257 characters",
        ),
        ({"status": 1}, "status must be null or a string of at most 64 characters, not a number"),
        ({"status": 1.5}, "status must be null or a string of at most 64 characters, not a number"),
        ({"note": True}, "note must be null or a string of at most 256 characters, not a boolean"),
        ({"note": ["x"]}, "note must be null or a string of at most 256 characters, not an array"),
        ({"note": {}}, "note must be null or a string of at most 256 characters, not an object"),
        (
            {"status": "busy", "note": 0},
            "note must be null or a string of at most 256 characters, not a number",
        ),
    ],
)
def test_a_wrong_field_is_answered_400_and_changes_nothing(data, reason):
    site = PresenceSite()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    answer = bob.request("publish", "/presence", data)
    assert (answer["status"], answer["reason"]) == (400, reason)
    assert take_states(alice) == []
    assert subscribe(alice, "bob") == bob_online()


def test_the_longest_status_and_note_may_be_published():
    state = publish(PresenceSite().connect("bob/b1"), status="é" * 64, note="\U0001f600" * 256)
    assert (state["status"], state["note"]) == ("é" * 64, "\U0001f600" * 256)


# Notifications


def test_notifications_have_the_effect_of_requests_without_an_answer():
    site = PresenceSite()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    alice.notify("subscribe", "/presence/bob")
    bob.notify("publish", "/presence", {"status": "busy"})
    assert take_states(alice) == [bob_online(status="busy")]
    alice.notify("unsubscribe", "/presence/bob")
    bob.notify("publish", "/presence", {"status": "away"})
    bob.notify("publish", "/presence", {"status": 1})
    assert (alice.take_all(), bob.take_all()) == ([], [])
