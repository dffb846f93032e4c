"""Reauthorization: a device leaves or comes back while its authorizer is asked."""

from __future__ import annotations

import pytest
from flask import session


def test_a_refusal_of_an_older_connection_does_not_close_a_newer_one(site):
    old = site.connect()
    newer = []

    def refuse_late():
        site.answers["alice"] = None
        newer.append(site.connect())

    site.answers["alice"] = refuse_late
    site.scheduler.advance(10)
    (new,) = newer
    assert old.closed == (3000, "online elsewhere")
    assert new.closed is None
    # Which is asked about when its own time comes, and once.
    site.scheduler.advance(10)
    assert site.asked == [("alice", 0), ("alice", 10), ("alice", 10), ("alice", 20)]


def test_an_answer_for_an_older_connection_leaves_the_data_of_a_newer_one(site):
    site.connect()

    def allow_late():
        site.answers["alice"] = lambda: ("alice", "a1", "new")
        site.connect()
        return "alice", "a1", "old"

    site.answers["alice"] = allow_late
    site.scheduler.advance(10)
    assert [peer.data for peer in site.protoo.peers()] == ["new"]


def test_a_refusal_that_comes_when_the_device_is_away_leaves_it_to_its_next_handshake(make_site):
    site = make_site(disconnect_grace_period=60)
    alice = site.connect()

    def refuse_late():
        alice.drop()

    site.answers["alice"] = refuse_late
    site.scheduler.advance(10)
    assert alice.peer.state == "disconnected"
    del site.answers["alice"]
    assert site.connect().peer is alice.peer
    assert alice.peer.online


@pytest.mark.parametrize("answer", [None, ("alice", "a1")])
def test_who_goes_meanwhile_goes_once(site, answer):
    offline = []
    site.protoo.on("offline", offline.append)
    alice = site.connect()

    def leave():
        alice.drop()
        return answer

    site.answers["alice"] = leave
    site.scheduler.advance(10)
    assert offline == [alice.peer]
    assert alice.closed is None
    assert site.scheduler.pending_timers == 0
    site.scheduler.advance(100)
    assert site.asked == [("alice", 0), ("alice", 10)]


def test_the_site_is_told_that_who_is_refused_is_offline(site):
    offline = []
    site.protoo.on("offline", lambda peer: offline.append((peer.username, session["username"])))
    site.connect()
    site.answers["alice"] = lambda: None
    site.scheduler.advance(10)
    assert offline == [("alice", "alice")]
