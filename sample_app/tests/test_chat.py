"""Messages between pages: stored, delivered, kept for later."""

from __future__ import annotations

import pytest

from protoo_flask.testing import Refused


def test_only_users_that_have_logged_in_connect(app, protoo_clients):
    with pytest.raises(Refused) as refused:
        protoo_clients(client=app.test_client(), uuid="phone")
    assert (refused.value.status, refused.value.reason) == (401, "you are not logged in")


def test_a_message_reaches_the_other_user(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    assert alice.expect_notification("contact").data == {"username": "bob"}

    sent = alice.send("message", "/users/bob", {"uuid": "m1", "text": "hi Bob!"})
    stored = sent.expect_response(100)
    assert stored.data["text"] == "hi Bob!"

    message = bob.expect_request("message")
    assert message.data == stored.data
    assert message.sender == {"username": "alice", "uuid": "alice1"}
    message.reply(200, "received")

    assert sent.wait().data == {"delivered": ["bob1"], "failed": []}
    alice.expect_nothing()


def test_a_message_for_a_user_who_is_offline_waits(open_page, log_in):
    alice = open_page("alice")
    log_in("bob")  # he has logged in, and has no page
    answer = alice.request("message", "/users/bob", {"uuid": "m1", "text": "hi"})
    assert answer.status == 202

    bob = open_page("bob")
    assert [item.method for item in alice.inbox] == ["contact"]
    (waiting,) = bob.request("get", "/waiting").data["messages"]
    assert waiting["text"] == "hi"

    assert bob.request("put", "/received", {"ids": [waiting["id"]]}).status == 200
    delivered = alice.expect_notification("delivered")
    assert delivered.data == {"username": "bob", "ids": [waiting["id"]]}
    assert bob.request("get", "/waiting").data == {"messages": []}


def test_a_page_in_a_tunnel_gets_its_messages_afterwards(open_page, protoo_clock):
    alice, bob = open_page("alice"), open_page("bob")
    bob.drop()
    sent = alice.send("message", "/users/bob", {"uuid": "m1", "text": "still there?"})
    sent.expect_response(100)
    protoo_clock.advance(14)  # the grace period is 15 seconds

    bob.reconnect()
    bob.expect_request("message").reply(200)
    assert sent.wait().status == 200


def test_a_page_that_does_not_come_back_is_offline(open_page, protoo_clock):
    alice, bob = open_page("alice"), open_page("bob")
    alice.expect_notification("contact")
    watched = alice.request("subscribe", "/presence/bob")
    assert watched.data["online"] is True

    bob.drop()
    protoo_clock.advance(14)
    alice.expect_nothing()
    protoo_clock.advance(1)
    assert alice.expect_notification("presence").data["online"] is False
    assert bob.peer is None


def test_a_copy_of_a_message_is_shown_by_the_senders_other_page(open_page, log_in):
    browser = log_in("alice")
    log_in("bob")
    first, second = open_page("alice", "a1", browser), open_page("alice", "a2", browser)
    first.request("message", "/users/bob", {"uuid": "m1", "text": "hi"})
    copy = second.expect_notification("message")
    assert (copy.data["text"], copy.data["carbon"]) == ("hi", True)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, "data.uuid must be a string of 1 to 64 characters"),
        ({"uuid": "m1", "text": "  "}, "the message is empty"),
        ({"uuid": "m1"}, "the message is empty"),
    ],
)
def test_a_message_that_the_site_does_not_want(open_page, log_in, data, reason):
    log_in("bob")
    answer = open_page("alice").request("message", "/users/bob", data)
    assert (answer.status, answer.reason) == (400, reason)


def test_a_logout_closes_the_pages_of_this_browser(open_page, log_in):
    laptop, phone = log_in("alice"), log_in("alice")
    page, other = open_page("alice", "a1", laptop), open_page("alice", "a2", phone)
    laptop.post("/logout")
    assert page.expect_close(3001) == 3001
    other.expect_nothing()
    with pytest.raises(Refused):
        page.reconnect()
