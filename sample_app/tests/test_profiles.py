"""Profiles: names to display, the last visit, and who wants no calls."""

from __future__ import annotations

import time

import pytest

from sample_app import create_app
from sample_app.models import Profile, db


def contact(page, username):
    contacts = page.request("get", "/contacts").data["contacts"]
    return next(item for item in contacts if item["username"] == username)


def test_the_others_see_the_name_that_a_user_has_chosen(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    alice.expect_notification("contact")
    answer = bob.request("put", "/profile", {"name": "  Bob   Andersson "})
    assert answer.data == {"name": "Bob Andersson"}
    told = alice.expect_notification("contact")
    assert told.data == {"username": "bob", "name": "Bob Andersson"}
    assert contact(alice, "bob")["name"] == "Bob Andersson"
    assert bob.request("get", "/contacts").data["name"] == "Bob Andersson"


@pytest.mark.parametrize("name", ["", "   ", "bob"])
def test_a_user_without_a_chosen_name_is_called_by_the_username(open_page, name):
    bob = open_page("bob")
    assert bob.request("put", "/profile", {"name": "Bobby"}).status == 200
    assert bob.request("put", "/profile", {"name": name}).data == {"name": None}
    assert bob.request("get", "/contacts").data["name"] is None


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("x" * 40, 200),
        ("x" * 41, 400),
        ("x" * 60_000, 400),
        ("Bob", 200),
        ("Zoë 🎈", 200),
        ("ecila\u202e", 400),  # it would turn around what follows
        ("a\x00b", 400),
        (None, 400),
        (7, 400),
        (["x"], 400),
        ("alice", 409),
        (" Alice ", 409),
    ],
)
def test_names_that_would_mislead_are_refused(open_page, log_in, name, status):
    log_in("alice")
    assert open_page("bob").request("put", "/profile", {"name": name}).status == status


def test_the_last_visit_survives_a_restart_of_the_server(app, open_page, protoo_clock):
    alice, bob = open_page("alice"), open_page("bob")
    before = time.time()
    bob.close()
    protoo_clock.advance(15)
    seen = contact(alice, "bob")["last_seen"]
    assert seen >= before - 1

    other = create_app(
        {"SQLALCHEMY_DATABASE_URI": app.config["SQLALCHEMY_DATABASE_URI"], "SECRET_KEY": "other"}
    )
    with other.app_context():
        assert Profile.of("bob").last_seen == seen
        db.engine.dispose()


def publish(page, **status):
    return page.request("publish", "/presence", status).status


def test_a_user_who_is_busy_is_not_rung(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    assert publish(bob, status="busy", note="writing") == 200
    answer = alice.request("session", "/users/bob", {"media": ["audio"]})
    assert (answer.status, answer.reason) == (486, "do not disturb")
    missed = bob.expect_notification("message").data["call"]
    assert (missed["outcome"], missed["missed"]) == ("busy", True)
    bob.expect_nothing()
    # The rule is about calls to the user. The user may call.
    alice_rings = bob.send("session", "/users/alice")
    alice.expect_request("session").reply(200)
    assert alice_rings.wait().status == 200


@pytest.mark.parametrize("status", ["online", "away", None, "Busy"])
def test_a_user_with_another_status_is_rung(open_page, status):
    alice, bob = open_page("alice"), open_page("bob")
    assert publish(bob, status="busy") == 200
    assert publish(bob, note="a note leaves the status as it is") == 200
    assert alice.request("session", "/users/bob").status == 486
    assert publish(bob, status=status) == 200
    alice.send("session", "/users/bob")
    bob.expect_request("session")


def test_a_status_that_is_refused_changes_nothing(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    assert publish(bob, status="busy", note=7) == 400
    assert publish(bob, status=["busy"]) == 400
    alice.send("session", "/users/bob")
    bob.expect_request("session")


def test_every_device_of_a_busy_user_is_left_alone(open_page, log_in):
    alice, browser = open_page("alice"), log_in("bob")
    desk, phone = open_page("bob", "desk", browser), open_page("bob", "phone", browser)
    publish(desk, status="busy")
    for path in ("/users/bob", "/users/bob/phone"):
        assert alice.request("session", path).status == 486
    assert "session" not in [item.method for item in desk.inbox + phone.inbox]


def test_a_status_ends_with_the_visit(open_page, protoo_clock):
    alice, bob = open_page("alice"), open_page("bob")
    publish(bob, status="busy")
    bob.close()
    protoo_clock.advance(15)
    assert alice.request("session", "/users/bob").status == 404  # gone, and not busy
    bob = open_page("bob", "bob2")
    alice.send("session", "/users/bob")
    bob.expect_request("session")
