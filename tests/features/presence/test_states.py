"""States of users; more of them is tested through the middleware."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import ProtocolError
from protoo_flask.features.presence.states import State, States, check_published


@pytest.mark.parametrize(
    ("change", "since"),
    [
        (lambda bob: bob.with_devices(2, 9.0), 1.0),
        (lambda bob: bob.with_devices(0, 9.0), 9.0),
        (lambda bob: bob.with_published({"status": "away"}, 9.0), 9.0),
        (lambda bob: bob.with_published({"status": "busy"}, 9.0), 1.0),
        (lambda bob: bob.with_published({"note": "back at two"}, 9.0), 1.0),
        (lambda bob: bob.with_published({}, 9.0), 1.0),
    ],
)
def test_since_is_the_time_of_the_last_change_of_online_or_status(change, since):
    bob = State("bob", online=True, devices=1, status="busy", since=1.0)
    assert change(bob).since == since


def test_a_user_that_was_never_online_has_no_since():
    assert State("bob").with_devices(0, 9.0) == State("bob")


def test_the_user_seen_last_is_remembered_longest():
    states = States(max_last_seen=2)
    for username, now in [("alice", 1.0), ("bob", 2.0), ("alice", 3.0), ("carol", 4.0)]:
        states.put(State(username).with_devices(1, now))
        states.put(states.get(username).with_devices(0, now))
    known = {username: states.get(username).since for username in ("alice", "bob", "carol")}
    assert known == {"alice": 3.0, "bob": None, "carol": 4.0}


def test_online_users_do_not_count_among_the_users_seen_last():
    states = States(max_last_seen=1)
    states.put(State("alice", since=1.0))
    states.put(State("bob", online=True, devices=1, since=2.0))
    assert (states.get("alice").since, states.get("bob").since) == (1.0, 2.0)
    states.put(State("alice", online=True, devices=1, since=3.0))
    assert len(states) == 2


def test_only_status_and_note_are_taken():
    data = {"status": None, "note": "", "online": False}
    assert check_published(data) == {"status": None, "note": ""}


def test_a_wrong_field_is_a_protocol_error():
    with pytest.raises(ProtocolError) as caught:
        check_published({"status": []})
    assert caught.value.status == 400
