"""Presence over real servers: who comes, publishes, breaks off and goes."""

from __future__ import annotations

import pytest


@pytest.fixture
def lounge(site_at):
    """The site with presence, and a grace period of a minute."""
    return site_at("/meeting")


def subscribe(client, username):
    answer = client.request("subscribe", f"/presence/{username}")
    assert answer["status"] == 200, answer
    return answer["data"]


def state(data):
    return data["online"], data["devices"], data["status"], data["note"]


def expect_state(client, username, *expected):
    """Expect the next notification; states in between may be left out."""
    while True:
        data = client.expect("presence")["data"]
        assert data["username"] == username
        if state(data) == expected:
            return data


def test_a_watcher_sees_a_user_come_publish_and_go(lounge, alice, bob):
    with lounge.connect(alice) as a:
        assert state(subscribe(a, bob)) == (False, 0, None, None)
        with lounge.connect(bob, "b1") as b1:
            came = expect_state(a, bob, True, 1, None, None)
            with lounge.connect(bob, "b2") as b2:
                expect_state(a, bob, True, 2, None, None)
                answer = b1.request("publish", "/presence", {"status": "away", "note": "lunch"})
                assert state(answer["data"]) == (True, 2, "away", "lunch")
                published = expect_state(a, bob, True, 2, "away", "lunch")
                assert published["since"] >= came["since"]
                b2.close()
            expect_state(a, bob, True, 1, "away", "lunch")
            b1.close()
        gone = expect_state(a, bob, False, 0, None, None)
        assert gone["since"] >= published["since"]


def test_a_late_watcher_gets_the_state_as_it_is(lounge, alice, bob):
    with lounge.connect(bob) as b:
        b.request("publish", "/presence", {"status": "busy"})
        with lounge.connect(alice) as a:
            assert state(subscribe(a, bob)) == (True, 1, "busy", None)


def test_a_watched_user_that_breaks_off_and_comes_back_stays_online(lounge, alice, bob):
    with lounge.connect(alice) as a:
        with lounge.connect_raw(bob, "b1") as raw:
            raw.send_request("publish", "/presence", 1, status="here")
            assert raw.read_message()["status"] == 200
            assert state(subscribe(a, bob)) == (True, 1, "here", None)
            raw.break_off()
        with lounge.connect(bob, "b1") as b1:
            a.nothing_came()
            b1.request("publish", "/presence", {"status": "back"})
            assert expect_state(a, bob, True, 1, "back", None)


def test_every_watcher_sees_the_last_state(lounge, alice, bob):
    with lounge.connect(bob) as b:
        watchers = [lounge.connect(alice, f"a{n}") for n in range(4)]
        for watcher in watchers:
            subscribe(watcher, bob)
        for n in range(50):
            b.request("publish", "/presence", {"note": str(n)})
        for watcher in watchers:
            expect_state(watcher, bob, True, 1, None, "49")
            watcher.close()


def test_who_unsubscribes_sees_nothing_more(lounge, alice, bob):
    with lounge.connect(alice) as a, lounge.connect(bob) as b:
        subscribe(a, bob)
        assert a.request("unsubscribe", f"/presence/{bob}")["status"] == 200
        assert b.request("publish", "/presence", {"status": "away"})["status"] == 200
        a.nothing_came()


def test_a_watcher_that_connects_anew_goes_on_watching_and_sees_each_change_once(
    lounge, alice, bob
):
    """In a cluster, it connects to another worker each time."""
    with lounge.connect(alice) as first:
        subscribe(first, bob)
        with lounge.connect(alice) as second:
            assert first.wait_for_close()[0] == 3000
            with lounge.connect(bob) as b:
                expect_state(second, bob, True, 1, None, None)
                with lounge.connect(alice) as third:
                    assert second.wait_for_close()[0] == 3000
                    for n in range(20):
                        b.request("publish", "/presence", {"note": str(n)})
                    notes = []
                    while notes[-1:] != ["19"]:
                        notes.append(third.expect("presence")["data"]["note"])
                    # Some may be left out.
                    assert notes == sorted(set(notes), key=int)
                    assert third.request("unsubscribe", f"/presence/{bob}")["status"] == 200
                    assert b.request("publish", "/presence", {"note": "20"})["status"] == 200
                    third.nothing_came()
