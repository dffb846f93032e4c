"""Joins and leaves of one member, all the time, do not have a slow member given up."""

from __future__ import annotations

from protoo_flask.features import missed_news
from protoo_flask.features.missed_news import RETRY

from .room_sites import ALICE, BOB, CAROL, ROOM, join, make_site, notification, told

MALLORY = "mallory/m1"


def leave(client):
    assert client.request("end", ROOM)["status"] == 200


def make_slow(site, *usernames):
    """Let Alice's device have no room for the messages of these users."""
    site[ALICE].link.refused.update(usernames)


def test_joins_and_leaves_count_in_the_share_of_the_member():
    site = make_site(ALICE, BOB)
    make_slow(site, "mallory")
    mallory = site.connect(MALLORY)
    for _ in range(3):
        join(mallory)
        leave(mallory)
    assert told(site[ALICE]) == []
    assert told(site[BOB]) == ["join mallory/m1", "leave mallory/m1"] * 3
    join(site.connect(CAROL))
    assert told(site[ALICE]) == ["join carol/c1"]


def test_a_slow_member_is_told_the_latest_when_there_is_room():
    site = make_site(ALICE, BOB)
    make_slow(site, "mallory", "carol")
    mallory, carol = site.connect(MALLORY), site.connect(CAROL)
    for client in (mallory, carol):
        join(client)
        leave(client)
    join(carol)
    site.advance(RETRY)
    assert told(site[ALICE]) == []
    site[ALICE].link.refused.clear()
    site.advance(RETRY)
    assert sorted(told(site[ALICE])) == ["join carol/c1", "leave mallory/m1"]
    assert site.pending_timers == 0


def test_newer_news_that_have_room_replace_those_that_had_none():
    site = make_site(ALICE)
    make_slow(site, "mallory")
    mallory = site.connect(MALLORY)
    join(mallory)
    site[ALICE].link.refused.clear()
    leave(mallory)
    assert told(site[ALICE]) == ["leave mallory/m1"]
    site.advance(RETRY)
    assert told(site[ALICE]) == []
    assert site.pending_timers == 0


def test_a_member_that_has_left_or_gone_is_told_nothing():
    site = make_site(ALICE, BOB)
    make_slow(site, "mallory")
    site[BOB].link.refused.add("mallory")
    join(site.connect(MALLORY))
    leave(site[ALICE])
    site[ALICE].take_all()
    site[BOB].leave()
    site[ALICE].link.refused.clear()
    site.advance(RETRY)
    assert site[ALICE].take_all() == []
    assert site.pending_timers == 0


def test_what_a_slow_member_has_missed_takes_bounded_memory(monkeypatch):
    monkeypatch.setattr(missed_news, "MAX_MISSED", 3)
    site = make_site(ALICE)
    make_slow(site, *(f"user{n}" for n in range(5)))
    for n in range(5):
        join(site.connect(f"user{n}/u"))
    site[ALICE].link.refused.clear()
    site.advance(RETRY)
    assert told(site[ALICE]) == ["join user2/u", "join user3/u", "join user4/u"]


def test_the_message_on_the_wire_names_no_sender():
    site = make_site(ALICE)
    join(site.connect(BOB))
    address = {"username": "bob", "uuid": "b1"}
    assert site[ALICE].take_all() == [notification("join", peer=address)]
