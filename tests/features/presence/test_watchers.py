"""Watchers: both indexes have the same subscriptions, and no empty entries."""

from __future__ import annotations

import pytest

from protoo_flask.features.presence.watchers import Watchers


class FakePeer:
    """A peer; only its identity matters."""


@pytest.fixture
def alice():
    return FakePeer()


@pytest.fixture
def bob():
    return FakePeer()


def test_watching_twice_makes_one_subscription(alice, bob):
    watchers = Watchers()
    for peer, username in [(alice, "carol"), (alice, "carol"), (alice, "dave"), (bob, "carol")]:
        watchers.add(peer, username)
    assert len(watchers) == 3
    assert set(watchers.of("carol")) == {alice, bob}
    assert watchers.of("dave") == [alice]
    assert watchers.watched_by(alice) == {"carol", "dave"}


def test_removing_a_watcher_leaves_the_others(alice, bob):
    watchers = Watchers()
    watchers.add(alice, "carol")
    watchers.add(bob, "carol")
    for _ in range(2):
        watchers.remove(alice, "carol")
    assert watchers.of("carol") == [bob]
    assert watchers.watched_by(alice) == frozenset()


def test_a_forgotten_peer_watches_nobody(alice, bob):
    watchers = Watchers()
    for peer in (alice, bob):
        watchers.add(peer, "carol")
        watchers.add(peer, "dave")
    for _ in range(2):
        watchers.forget(alice)
    assert watchers.of("carol") == watchers.of("dave") == [bob]
    assert watchers.watched_by(alice) == frozenset()


def test_peers_and_users_without_a_subscription_are_in_no_index(alice, bob):
    watchers = Watchers()
    watchers.add(alice, "carol")
    watchers.add(bob, "carol")
    watchers.remove(alice, "carol")
    watchers.forget(bob)
    watchers.forget(alice)
    watchers.remove(bob, "dave")
    assert watchers.of("erin") == []
    assert watchers.watched_by(alice) == frozenset()
    assert len(watchers) == 0
    assert vars(watchers) == vars(Watchers())


def test_the_list_of_watchers_is_a_copy(alice):
    watchers = Watchers()
    watchers.add(alice, "carol")
    for peer in watchers.of("carol"):
        watchers.forget(peer)
    assert watchers.of("carol") == []
