"""Calls in the sample app between real browsers, with fake cameras but real media."""

from __future__ import annotations

import contextlib

from playwright.sync_api import Error, expect

from .conftest import with_config
from .pages import (
    PATIENCE,
    call,
    contact,
    expect_presence,
    expect_texts,
    expect_video_plays,
    in_call,
    open_conversation,
    open_tab,
    write,
)


def ringing(page):
    return page.get_by_test_id("ringing")


def detail(page):
    return page.get_by_test_id("call-detail")


def toast(page):
    return page.get_by_test_id("toast")


def accept(page, kind="video"):
    expect(ringing(page)).to_be_visible()
    page.get_by_test_id(f"accept-{kind}").click()


def open_call(alice, bob, kind="video"):
    call(alice, "bob", kind)
    accept(bob, kind)
    for page in (alice, bob):
        expect(in_call(page)).to_be_visible()
        expect(detail(page)).to_have_text("", timeout=PATIENCE)  # no more "Connecting…"


def test_a_call_is_answered_on_one_device_and_both_see_each_other(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    tablet = open_tab(bob)
    call(alice, "bob")
    expect(detail(alice)).to_have_text("Ringing…")
    expect(ringing(bob)).to_be_visible()
    expect(ringing(tablet)).to_contain_text("alice")
    expect(tablet).to_have_title("alice is calling")
    accept(bob)
    expect(ringing(tablet)).to_be_hidden()
    expect(toast(tablet)).to_contain_text("Answered on another device.")
    for page in (alice, bob):
        expect_video_plays(page)
        expect_video_plays(page, "#call-local")
    expect(alice.get_by_test_id("call-name")).to_have_text("bob")

    bob.get_by_test_id("hang-up").click()
    for page in (alice, bob):
        expect(page.get_by_test_id("call")).to_be_hidden()
    open_conversation(tablet, "alice")
    for page in (alice, tablet):
        [text] = page.get_by_test_id("message").locator(".text").all_inner_texts()
        assert text.startswith("Video call, 0:")
    expect(contact(tablet, "alice")).to_have_attribute("data-unread", "0")


def test_a_call_with_sound_only_shows_no_video_until_a_camera_is_turned_on(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    open_call(alice, bob, "audio")
    expect(bob.get_by_test_id("call")).to_have_attribute("data-remote", "avatar")
    alice.get_by_test_id("call-camera").click()
    expect_video_plays(bob)
    expect(alice.get_by_test_id("call")).to_have_attribute("data-remote", "avatar")
    alice.get_by_test_id("call-camera").click()
    expect(bob.get_by_test_id("call")).to_have_attribute("data-remote", "avatar")


def test_the_other_side_sees_mute_and_hold(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    open_call(alice, bob)
    alice.get_by_test_id("call-mute").click()
    expect(detail(bob)).to_have_text("alice is muted")
    alice.get_by_test_id("call-mute").click()

    alice.get_by_test_id("call-hold").click()
    expect(detail(bob)).to_have_text("alice has put you on hold")
    expect(detail(alice)).to_have_text("On hold")
    for page in (alice, bob):
        expect(page.get_by_test_id("call-remote")).to_be_hidden()
    alice.get_by_test_id("call-hold").click()
    for page in (alice, bob):
        expect(detail(page)).to_have_text("")
        expect_video_plays(page)


def test_sharing_the_screen_starts_and_stops(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    open_call(alice, bob)
    alice.get_by_test_id("call-share").click()
    expect(detail(bob)).to_have_text("alice shares the screen")
    alice.get_by_test_id("call-share").click()
    expect(detail(bob)).to_have_text("")
    expect_video_plays(bob)


def test_a_reloaded_page_continues_the_call(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    open_call(alice, bob)
    bob.get_by_test_id("call-mute").click()
    expect(detail(alice)).to_have_text("bob is muted")
    bob.reload()
    expect(in_call(bob)).to_be_visible()
    for page in (alice, bob):
        expect_video_plays(page)
    expect(bob.get_by_test_id("call-name")).to_have_text("alice")
    expect(bob.get_by_test_id("call-mute")).to_have_attribute("aria-pressed", "true")
    expect(detail(alice)).to_have_text("bob is muted")
    alice.get_by_test_id("hang-up").click()
    expect(bob.get_by_test_id("call")).to_be_hidden()


def test_a_declined_call_stops_ringing_on_all_devices(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    tablet = open_tab(bob)
    call(alice, "bob", "audio")
    expect(ringing(tablet)).to_be_visible()
    expect(ringing(bob)).to_be_visible()
    bob.get_by_test_id("decline").click()
    expect(ringing(bob)).to_be_hidden()
    expect(toast(tablet)).to_contain_text("Declined on another device.")
    expect(toast(alice)).to_contain_text("bob has declined.")
    expect_texts(alice, ["Audio call · Declined"])
    expect(contact(bob, "alice")).to_contain_text("Audio call · Declined")
    expect(contact(bob, "alice")).to_have_attribute("data-unread", "0")


def test_a_canceled_call_is_missed_and_can_be_returned(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    call(alice, "bob")
    expect(ringing(bob)).to_be_visible()
    alice.get_by_test_id("hang-up").click()
    expect(ringing(bob)).to_be_hidden()
    expect_texts(alice, ["Video call · Canceled"])
    expect(contact(bob, "alice")).to_have_attribute("data-unread", "1")
    open_conversation(bob, "alice")
    expect_texts(bob, ["Missed video call"])
    expect(contact(bob, "alice")).to_have_attribute("data-unread", "0")
    bob.get_by_test_id("call-back").click()
    expect(ringing(alice)).to_be_visible()


@with_config(PROTOO_SESSION_TIMEOUT=1)
def test_a_call_that_nobody_answers_ends_by_itself(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    call(alice, "bob")
    expect(toast(alice)).to_contain_text("bob does not answer.")
    expect_texts(alice, ["Video call · No answer"])
    expect(contact(bob, "alice")).to_contain_text("Missed video call")


def test_a_user_that_logs_out_while_ringing_sees_the_missed_call_later(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    call(alice, "bob")
    expect(ringing(bob)).to_be_visible()
    bob.evaluate("document.querySelector('[data-testid=logout]').click()")
    expect(bob.get_by_test_id("login-name")).to_be_visible()
    expect(alice.get_by_test_id("call")).to_be_hidden()
    expect_texts(alice, ["Video call · No answer"])
    expect_presence(alice, "bob", "offline")
    expect(alice.get_by_test_id("call-video")).to_be_disabled()
    expect(alice.get_by_test_id("call-video")).to_have_attribute("title", "bob is offline.")

    bob.get_by_test_id("login-name").fill("bob")
    bob.get_by_test_id("login-button").click()
    expect(contact(bob, "alice")).to_have_attribute("data-unread", "1")
    expect(contact(bob, "alice")).to_contain_text("Missed video call")


def test_a_user_in_a_call_is_busy_on_all_devices(open_browser):
    alice, bob, carol = open_browser("alice"), open_browser("bob"), open_browser("carol")
    open_call(alice, bob)
    tablet = open_tab(bob)
    call(carol, "bob")
    expect(toast(carol)).to_contain_text("bob is busy.")
    expect_texts(carol, ["Video call · Busy"])
    expect(ringing(tablet)).to_be_hidden()
    expect(contact(tablet, "carol")).to_contain_text("Missed video call")
    expect(in_call(bob)).to_be_visible()


def test_a_ringing_page_is_busy(open_browser):
    alice, bob, carol = open_browser("alice"), open_browser("bob"), open_browser("carol")
    call(alice, "bob")
    expect(ringing(bob)).to_be_visible()
    call(carol, "bob")
    expect(toast(carol)).to_contain_text("bob is busy.")
    expect(ringing(bob)).to_contain_text("alice")


def test_two_users_that_call_each_other_are_connected(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    for page, other in ((alice, "bob"), (bob, "alice")):
        open_conversation(page, other)
        # The camera opens late, so each call starts before the other one is at the server.
        page.evaluate(
            """() => {
              const { mediaDevices } = navigator;
              const getUserMedia = mediaDevices.getUserMedia.bind(mediaDevices);
              const gate = new Promise((resolve) => (window.openGate = resolve));
              mediaDevices.getUserMedia = async (wish) => (await gate, getUserMedia(wish));
            }"""
        )
        page.get_by_test_id("call-video").click()
    alice.evaluate("openGate()")
    bob.evaluate("openGate()")
    for page in (alice, bob):
        expect(in_call(page)).to_be_visible()
        expect_video_plays(page)
    expect(alice.get_by_test_id("message")).to_have_count(0)


def test_a_call_continues_to_ring_with_an_error_if_the_microphone_is_refused(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    refuse = """() => {
      window.getUserMedia = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      const refusal = new DOMException("no", "NotAllowedError");
      navigator.mediaDevices.getUserMedia = () => Promise.reject(refusal);
    }"""
    bob.evaluate(refuse)
    call(alice, "bob")
    accept(bob)
    sentence = "You have not allowed this page to use the microphone or camera."
    expect(bob.get_by_test_id("ringing-error")).to_have_text(sentence)
    bob.evaluate("() => { navigator.mediaDevices.getUserMedia = window.getUserMedia }")
    accept(bob, "audio")
    expect_video_plays(bob)
    alice.get_by_test_id("hang-up").click()

    expect(bob.get_by_test_id("call")).to_be_hidden()
    bob.evaluate(refuse)
    call(bob, "alice", "audio")
    expect(toast(bob)).to_contain_text("You have not allowed this page to use the microphone.")
    expect(bob.get_by_test_id("call")).to_be_hidden()


def test_the_other_side_of_a_call_cannot_forge_chat_messages(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    open_call(alice, bob)
    path = alice.evaluate("JSON.parse(sessionStorage.call).path")
    forged = {"id": 999, "uuid": "x", "sender": "carol", "recipient": "bob", "text": "forged"}
    alice.evaluate(
        """async ([path, data]) => {
          const send = WebSocket.prototype.send;
          let socket;
          // Through the page's own connection: another one does not belong to the call.
          WebSocket.prototype.send = function (text) {
            socket = this;
            return send.call(this, text);
          };
          document.querySelector("#call-mute").click();
          while (!socket) await new Promise((resolve) => setTimeout(resolve));
          for (const id of [undefined, 123456]) {
            socket.send(JSON.stringify({ method: "message", path, data, id }));
          }
          document.querySelector("#call-hold").click();
        }""",
        [path, {**forged, "sent_at": 1, "delivered_at": None}],
    )
    expect(detail(bob)).to_have_text("alice has put you on hold")
    expect(bob.get_by_test_id("contacts")).not_to_contain_text("forged")


def test_without_https_the_page_says_why_calls_are_not_possible(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    bob.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    bob.reload()
    open_conversation(bob, "alice")
    expect(bob.get_by_test_id("call-audio")).to_be_disabled()
    reason = "Audio call with alice: Calls are possible on https pages only."
    expect(bob.get_by_test_id("call-audio")).to_have_attribute("aria-label", reason)
    call(alice, "bob", "audio")
    accept(bob, "audio")
    sentence = "The microphone can be used on https: pages only."
    expect(bob.get_by_test_id("ringing-error")).to_have_text(sentence)


def test_the_chat_can_be_used_during_a_call(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    open_call(alice, bob)
    expect(alice.get_by_test_id("composer")).not_to_be_focused()
    alice.get_by_test_id("call-size").click()
    write(alice, "look at this")
    expect(contact(bob, "alice")).to_have_attribute("data-unread", "1")
    expect_video_plays(alice)
    alice.get_by_test_id("hang-up").click()
    expect(bob.get_by_test_id("call")).to_be_hidden()


#: As a camera that is unplugged, and the browser's own button that ends the sharing.
LOSE_PICTURE = """() => {
  const [track] = document.getElementById("call-local").srcObject.getVideoTracks();
  track.stop();
  track.dispatchEvent(new Event("ended"));
}"""


def test_the_avatar_replaces_the_last_picture_of_a_camera_that_has_gone(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    open_call(alice, bob)
    bob.evaluate(LOSE_PICTURE)
    expect(alice.locator("[data-testid=call][data-remote=avatar]")).to_be_visible()
    expect(toast(bob)).to_contain_text("The camera has gone.")
    bob.get_by_test_id("call-camera").click()
    expect_video_plays(alice)


def test_the_light_of_a_camera_that_is_turned_off_goes_off(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    open_call(alice, bob)
    is_open = """() => document.getElementById("call-local").srcObject.getVideoTracks()
        .some(({ readyState }) => readyState === "live")"""
    assert bob.evaluate(is_open)
    bob.get_by_test_id("call-camera").click()
    assert not bob.evaluate(is_open)
    expect(alice.locator("[data-testid=call][data-remote=avatar]")).to_be_visible()
    bob.get_by_test_id("call-camera").click()
    expect_video_plays(alice)


def test_a_call_ends_in_a_few_seconds_if_the_other_page_is_closed(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    open_call(alice, bob)
    bob.close()
    expect(toast(alice)).to_contain_text("bob has closed the page.")


def test_a_call_ends_with_the_grace_period_if_the_other_page_crashes(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    open_call(alice, bob)
    with bob.expect_event("crash"), contextlib.suppress(Error):
        bob.goto("chrome://crash")
    expect(detail(alice)).to_have_text("Reconnecting…", timeout=PATIENCE)
    expect(toast(alice)).to_contain_text("The connection to bob was lost.", timeout=PATIENCE)
    expect(alice.get_by_test_id("message").locator(".text")).to_contain_text(["Video call, 0:"])
