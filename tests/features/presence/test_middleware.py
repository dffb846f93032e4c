"""presence: subscribing to users, and the notifications that follow."""

from __future__ import annotations

import pytest

from protoo_flask.core.routing.router import Router

from .presence_sites import (
    PresenceSite,
    bob_online,
    state_of,
    subscribe,
    take_states,
)


def test_a_subscribe_is_answered_with_the_current_state():
    site = PresenceSite()
    alice, _ = site.connect("alice/a1"), site.connect("bob/b1")
    site.advance(5)
    answer = alice.request("subscribe", "/presence/bob")
    assert (answer["status"], answer["reason"]) == (200, "subscribed")
    assert answer["data"] == bob_online()
    assert alice.take_all() == []


def test_a_user_that_was_never_online_has_an_empty_state():
    assert subscribe(PresenceSite().connect("alice/a1"), "bob") == state_of("bob")


def test_the_state_of_an_offline_user_has_the_time_of_leaving():
    site = PresenceSite()
    site.connect("bob/b1").drop()
    site.advance(60)
    assert subscribe(site.connect("alice/a1"), "bob") == state_of("bob", since=1000.0)


def test_a_subscriber_is_notified_of_every_device_that_comes_or_goes():
    site = PresenceSite()
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    site.advance(1)
    first = site.connect("bob/b1")
    assert take_states(alice) == [bob_online(since=1001.0)]
    site.advance(1)
    second = site.connect("bob/b2")
    assert take_states(alice) == [bob_online(devices=2, since=1001.0)]
    site.advance(1)
    first.drop()
    assert take_states(alice) == [bob_online(since=1001.0)]
    site.advance(1)
    second.drop()
    assert take_states(alice) == [state_of("bob", since=1004.0)]


@pytest.mark.parametrize("leave", ["drop", "close"])
def test_a_user_is_offline_after_the_only_device_was_closed(leave):
    site = PresenceSite()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    bob.drop() if leave == "drop" else bob.peer.close()
    assert take_states(alice) == [state_of("bob", since=1000.0)]


def test_a_takeover_by_the_same_device_changes_nothing():
    site = PresenceSite()
    alice, _ = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    site.connect("bob/b1")
    assert take_states(alice) == []


def test_a_peer_is_not_notified_of_users_it_does_not_watch():
    site = PresenceSite()
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    site.connect("carol/c1").drop()
    assert take_states(alice) == []


def test_subscribing_twice_makes_one_subscription():
    site = PresenceSite()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    assert subscribe(alice, "bob") == subscribe(alice, "bob") == bob_online()
    bob.drop()
    assert take_states(alice) == [state_of("bob", since=1000.0)]


def test_each_device_subscribes_for_itself():
    site = PresenceSite()
    first, second = site.connect("alice/a1"), site.connect("alice/a2")
    subscribe(first, "bob")
    site.connect("bob/b1")
    assert take_states(first) == [bob_online()]
    assert take_states(second) == []


def test_a_peer_may_watch_its_own_user():
    site = PresenceSite()
    alice = site.connect("alice/a1")
    assert subscribe(alice, "alice") == state_of("alice", online=True, devices=1, since=1000.0)
    site.connect("alice/a2")
    assert [state["devices"] for state in take_states(alice)] == [2]


def test_a_username_is_percent_decoded():
    site = PresenceSite()
    alice, _ = site.connect("alice/a1"), site.connect("bob@example.org/b1")
    assert subscribe(alice, "bob%40example.org")["username"] == "bob@example.org"


def test_the_result_is_a_router():
    assert isinstance(PresenceSite().presence, Router)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("subscribe", "/presence"),
        ("subscribe", "/presence/bob/b1"),
        ("subscribe", "/bob"),
        ("unsubscribe", "/presence"),
        ("unsubscribe", "/presence/bob/b1"),
        ("publish", "/presence/alice"),
        ("publish", "/presence/bob"),
        ("get", "/presence/bob"),
        ("presence", "/presence/bob"),
    ],
)
def test_other_methods_and_paths_go_past_it(method, path):
    answer = PresenceSite().connect("alice/a1").request(method, path, {"status": "away"})
    assert (answer["status"], answer["reason"]) == (404, "not found")


# unsubscribe


def test_a_peer_that_has_unsubscribed_is_not_notified():
    site = PresenceSite()
    alice, carol = site.connect("alice/a1"), site.connect("carol/c1")
    subscribe(alice, "bob")
    subscribe(carol, "bob")
    answer = alice.request("unsubscribe", "/presence/bob")
    assert (answer["status"], answer["data"]) == (200, {})
    site.connect("bob/b1")
    assert take_states(alice) == []
    assert take_states(carol) == [bob_online()]


def test_unsubscribing_from_a_user_keeps_the_other_subscriptions():
    site = PresenceSite()
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    subscribe(alice, "carol")
    alice.request("unsubscribe", "/presence/carol")
    site.connect("carol/c1")
    site.connect("bob/b1")
    assert take_states(alice) == [bob_online()]


def test_unsubscribing_without_a_subscription_is_answered_200():
    alice = PresenceSite(allow=lambda peer, username: False).connect("alice/a1")
    assert alice.request("unsubscribe", "/presence/bob")["status"] == 200
