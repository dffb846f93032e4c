"""Reauthorization: when the authorizer is asked again, and how its answer counts."""

from __future__ import annotations

import gc
import logging
import weakref

import pytest
from flask import Response, abort, has_request_context, redirect
from werkzeug.exceptions import HTTPException

from protoo_flask import Reject
from tests.site.reauthorizing import REVOKED, raising

from ..fakes import FakeScheduler

# When -------------------------------------------------------------------------------


def test_by_default_nobody_is_asked_again(make_site):
    site = make_site(reauthorize_interval=None)
    site.connect()
    site.scheduler.advance(1e6)
    assert site.asked == [("alice", 0)]
    assert site.scheduler.pending_timers == 0


def test_each_peer_has_its_own_time_and_all_share_a_timer(site):
    site.connect("alice")
    site.scheduler.advance(4)
    site.connect("bob")
    assert site.scheduler.pending_timers == 1
    site.scheduler.advance(26)
    assert site.asked == [
        ("alice", 0),
        ("bob", 4),
        ("alice", 10),
        ("bob", 14),
        ("alice", 20),
        ("bob", 24),
        ("alice", 30),
    ]
    assert site.scheduler.pending_timers == 1


def test_a_new_connection_of_the_same_device_begins_anew(site):
    old = site.connect()
    site.scheduler.advance(6)
    new = site.connect()
    # The end of the connection that was taken over changes nothing for the new one.
    old.drop()
    site.scheduler.advance(10)
    assert site.asked == [("alice", 0), ("alice", 6), ("alice", 16)]
    assert new.closed is None


def test_who_is_away_is_not_asked_about_until_they_are_back(make_site):
    site = make_site(disconnect_grace_period=60)
    site.connect().drop()
    site.scheduler.advance(25)
    assert site.asked == [("alice", 0)]
    site.connect()
    site.scheduler.advance(10)
    assert site.asked == [("alice", 0), ("alice", 25), ("alice", 35)]


def test_who_has_gone_is_neither_asked_about_nor_kept(site):
    gone = site.connect()
    gone.drop()
    peer = weakref.ref(gone.peer)
    del gone
    gc.collect()
    assert peer() is None
    site.scheduler.advance(100)
    assert site.asked == [("alice", 0)]
    assert site.scheduler.pending_timers == 0


def test_who_was_disconnected_is_not_asked_about(site):
    site.connect()
    site.protoo.disconnect("alice")
    site.scheduler.advance(100)
    assert site.asked == [("alice", 0)]
    assert site.scheduler.pending_timers == 0


def test_a_closed_app_asks_no_more(site):
    site.connect("alice")
    site.protoo.close()
    # Whose handshake was accepted just before.
    site.connect("bob")
    site.scheduler.advance(100)
    assert site.asked == [("alice", 0), ("bob", 0)]
    assert site.scheduler.pending_timers == 0


def test_an_authorizer_that_is_slow_for_one_delays_nobody_else(make_site):
    class SpawningScheduler(FakeScheduler):
        """Keeps what is to run in greenlets of their own."""

        def __init__(self):
            super().__init__()
            self.spawned = []

        def spawn(self, function, *args):
            self.spawned.append(lambda: function(*args))

    site = make_site(SpawningScheduler())
    alice, bob = site.connect("alice"), site.connect("bob")
    site.answers["bob"] = lambda: None
    site.scheduler.advance(10)
    about_alice, about_bob = site.scheduler.spawned
    about_bob()
    assert bob.closed == REVOKED
    about_alice()
    assert alice.closed is None


# The answer -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        lambda: None,
        raising(Reject(403, "banned")),
        raising(Reject(302, "elsewhere")),
        raising(Reject(400)),
        lambda: abort(401),
        lambda: abort(Response("no coffee", 418)),
        lambda: abort(redirect("/login")),
        lambda: ("mallory", "a1"),
        lambda: ("alice", "a2"),
        lambda: ("alice", 200 * "x"),
    ],
)
def test_who_is_refused_is_disconnected_and_nobody_else(site, answer):
    alice, phone = site.connect("alice", "a1"), site.connect("bob", "a1")
    site.answers["alice"] = answer
    site.scheduler.advance(10)
    assert (alice.closed, phone.closed) == (REVOKED, None)
    assert site.names() == ["bob"]
    site.scheduler.advance(10)
    assert [when for username, when in site.asked if username == "alice"] == [0, 10]


def test_the_other_devices_of_a_user_are_asked_about_in_their_turn(site):
    first = site.connect("alice", "a1")
    site.scheduler.advance(5)
    second = site.connect("alice", "a2")
    site.answers["alice"] = lambda: None
    site.scheduler.advance(5)
    assert (first.closed, second.closed) == (REVOKED, None)
    site.scheduler.advance(5)
    assert second.closed == REVOKED


@pytest.mark.parametrize(
    "answer",
    [
        raising(OSError("the database is down")),
        raising(Reject(500)),
        raising(Reject(603, "decline")),
        lambda: abort(503),
        lambda: abort(408),
        lambda: abort(Response("too early", 425)),
        lambda: abort(429),
        lambda: abort(Response("later", 503)),
        raising(HTTPException("without a status")),
        lambda: "alice",
        lambda: ("", "a1"),
    ],
)
def test_an_error_is_logged_and_no_refusal(site, caplog, answer):
    alice = site.connect()
    site.answers["alice"] = answer
    site.scheduler.advance(10)
    assert alice.closed is None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.getMessage() == "could not authorize <Peer alice/a1 online> again"
    site.answers["alice"] = lambda: None
    site.scheduler.advance(10)
    assert alice.closed == REVOKED


def test_what_ends_the_greenlet_of_one_check_does_not_end_the_checks(site):
    class Timeout(BaseException):
        """Like that of gevent."""

    alice = site.connect()
    site.answers["alice"] = raising(Timeout())
    with pytest.raises(Timeout):
        site.scheduler.advance(10)
    assert alice.closed is None
    assert not has_request_context()
    site.answers["alice"] = lambda: None
    site.scheduler.advance(20)
    assert alice.closed == REVOKED


def test_data_is_what_the_authorizer_says_now(site):
    seen = []
    site.answers["alice"] = lambda: ("alice", "a1", {"role": "admin"})
    peer = site.connect().peer
    for answer in (("alice", "a1", {"role": "user"}), ("alice", None)):
        site.answers["alice"] = lambda answer=answer: answer
        site.scheduler.advance(10)
        seen.append(peer.data)
    assert seen == [{"role": "user"}, None]


def test_a_uuid_that_was_made_up_stays(site):
    alice = site.connect(uuid=None)
    site.scheduler.advance(30)
    assert alice.closed is None
    assert [peer.uuid for peer in site.protoo.peers()] == [alice.peer.uuid]
    assert len(site.asked) == 4


def test_the_log_says_what_is_wrong_with_an_authorizer_that_makes_uuids_up(site, caplog):
    site.answers["alice"] = lambda: ("alice", f"{len(site.asked)}")
    site.connect()
    site.scheduler.advance(10)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "must return the same one for the same handshake, or None" in record.getMessage()


def test_the_log_tells_who_was_disconnected(site, caplog):
    site.app.logger.setLevel(logging.INFO)
    site.connect()
    site.answers["alice"] = lambda: None
    with caplog.at_level(logging.INFO):
        site.scheduler.advance(10)
    (record,) = caplog.records
    assert record.getMessage() == "<Peer alice/a1 offline> is not authorized any more"
