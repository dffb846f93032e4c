"""Calls: ringing, answering, the time that a telephone rings, and the lines in the chat."""

from __future__ import annotations


def last_line(page, username):
    """Return the last line of the chat with a user, as the list of contacts shows it."""
    contacts = page.request("get", "/contacts").data["contacts"]
    return next(item["last"] for item in contacts if item["username"] == username)


def test_a_call_is_answered_and_ended(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    call = alice.send("session", "/users/bob", {"description": {}, "media": ["audio"]})
    path = call.expect_response(100).data["sessionPath"]

    ringing = bob.expect_request("session")
    ringing.reply(180, "ringing")
    call.expect_response(180)
    ringing.reply(200, "OK", {"description": {}})
    assert call.wait().status == 200

    assert alice.request("end", path).status == 200
    bob.expect_request("end").reply(200)
    line = bob.expect_notification("message").data
    assert (line["text"], line["call"]["outcome"]) == ("Audio call", "answered")


def test_a_telephone_rings_for_45_seconds(open_page, protoo_clock):
    alice, bob = open_page("alice"), open_page("bob")
    call = alice.send("session", "/users/bob", {"media": ["video"]})
    bob.expect_request("session").reply(180, "ringing")
    protoo_clock.advance(44)
    assert call.response is None
    protoo_clock.advance(1)
    assert call.wait().status == 408
    bob.expect_request("end").reply(200)
    assert last_line(bob, "alice")["call"]["outcome"] == "unanswered"


def test_all_devices_ring_until_one_of_them_answers(open_page, log_in):
    alice, browser = open_page("alice"), log_in("bob")
    desk, phone = open_page("bob", "desk", browser), open_page("bob", "phone", browser)
    call = alice.send("session", "/users/bob")
    desk.expect_request("session").reply(180, "ringing")
    phone.expect_request("session").reply(200)
    assert call.wait().status == 200
    assert desk.expect_request("end").data["reason"] == "answered elsewhere"


def test_a_user_who_is_talking_is_busy(open_page):
    alice, bob, carol = open_page("alice"), open_page("bob"), open_page("carol")
    call = alice.send("session", "/users/bob")
    bob.expect_request("session").reply(200)
    call.wait()
    assert carol.request("session", "/users/bob").status == 486
    bob.expect_notification("message")  # the line about the missed call
    assert [item.method for item in bob.inbox] == ["contact"], "his telephone does not ring again"


def test_a_meeting_tells_its_members_of_each_other(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    assert alice.request("session", "/rooms/standup").status == 200
    assert bob.request("session", "/rooms/standup").status == 200
    assert alice.expect_notification("join").data["peer"]["username"] == "bob"
    bob.close()
    assert alice.expect_notification("leave").data["peer"]["username"] == "bob"


def test_a_user_whose_page_was_closed_during_a_call_can_be_called_at_a_new_one(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    call = alice.send("session", "/users/bob")
    bob.expect_request("session").reply(200)
    call.wait()
    alice.drop()
    bob.drop()  # both are within their grace period, so the server keeps their call

    alice, bob = open_page("alice", "alice2"), open_page("bob", "bob2")
    again = alice.send("session", "/users/bob")
    bob.expect_request("session").reply(200)
    assert again.wait().status == 200
    assert open_page("carol").request("session", "/users/bob").status == 486


def test_a_call_that_has_got_a_picture_is_a_video_call(open_page):
    alice, bob, carol = open_page("alice"), open_page("bob"), open_page("carol")
    call = alice.send("session", "/users/bob", {"media": ["audio"]})
    request = bob.expect_request("session")
    path = request.data["sessionPath"]
    assert bob.request("put", "/pictures", {"path": path}).status == 404  # not answered yet
    request.reply(200)
    call.wait()
    for data in ({"path": path}, {"path": [path]}, {}):
        assert carol.request("put", "/pictures", data).status == 404
    assert bob.request("put", "/pictures", {"path": path}).status == 200
    alice.request("end", path)
    line = last_line(alice, "bob")
    assert (line["text"], line["call"]["video"]) == ("Video call", True)
