"""What users of comparable software trip over, in the sample app. All tests have one server."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .conftest import log_in, share_server
from .pages import (
    PATIENCE,
    call,
    choose_status,
    contact,
    expect_texts,
    expect_video_plays,
    in_call,
    join_meeting,
    message,
    open_conversation,
    tile,
    write,
)

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

server = share_server()


def toast(page):
    return page.get_by_test_id("toast")


def ringing(page):
    return page.get_by_test_id("ringing")


def open_call(one, other, kind="audio"):
    call(one, other.username, kind)
    other.get_by_test_id(f"accept-{kind}").click()
    for page in (one, other):
        expect(in_call(page)).to_be_visible()
        expect(page.get_by_test_id("call-detail")).to_have_text("", timeout=PATIENCE)


def is_on_top(page, testid):
    """Whether the middle of an element can be seen, and clicked on."""
    return page.get_by_test_id(testid).evaluate(
        """(element) => {
          const { x, y, width, height } = element.getBoundingClientRect();
          return element.contains(document.elementFromPoint(x + width / 2, y + height / 2));
        }"""
    )


# Calls


def test_a_busy_user_is_not_rung_and_the_caller_is_told(open_users):
    alice, bob = open_users("alice", "bob")
    choose_status(bob, "Busy")
    call(alice, bob.username)
    expect(toast(alice)).to_contain_text(f"{bob.username} does not want to be disturbed.")
    expect_texts(alice, ["Video call · Busy"])
    expect(contact(bob, alice.username)).to_contain_text("Missed video call")
    expect(ringing(bob)).to_be_hidden()
    choose_status(bob, "Online")
    call(alice, bob.username)
    expect(ringing(bob)).to_be_visible()


def test_pages_that_were_closed_during_a_call_can_call_again(open_users):
    alice, bob = open_users("alice", "bob")
    open_call(alice, bob)
    again = []
    for page in (alice, bob):
        page.close()
    for page in (alice, bob):
        new = page.context.new_page()
        new.username = page.username
        new.goto("/")
        expect(new.locator("body[data-connected=true]")).to_be_attached()
        again.append(new)
    open_call(*again)


def test_a_second_call_of_a_user_replaces_the_first_that_nobody_hears(open_users):
    alice, bob = open_users("alice", "bob")
    call(alice, bob.username)
    expect(ringing(bob)).to_contain_text("Incoming video call")
    # As a crash: the page says nothing, and the server waits for it for the grace period.
    alice.context.set_offline(True)
    tablet = alice.context.browser.new_context(base_url=bob.url.split("/#")[0])
    try:
        page = tablet.new_page()
        log_in(page, alice.username)
        call(page, bob.username, "audio")
        expect(ringing(bob).locator("#ringing-detail")).to_have_text("Incoming call")
        bob.get_by_test_id("accept-audio").click()
        expect(in_call(page)).to_be_visible()
        expect(in_call(bob)).to_be_visible()
    finally:
        tablet.close()


def test_a_call_that_became_a_video_call_is_called_so(open_users):
    alice, bob = open_users("alice", "bob")
    open_call(alice, bob)
    told = bob.get_by_test_id("call")
    bob.get_by_test_id("call-camera").click()
    expect_video_plays(alice)
    bob.get_by_test_id("call-camera").click()
    expect(told).to_be_visible()
    bob.get_by_test_id("hang-up").click()
    open_conversation(bob, alice.username)
    for page in (alice, bob):
        expect(message(page, "Video call, 0:")).to_have_count(1)


def test_the_picture_of_oneself_is_mirrored_and_a_shared_screen_is_not(open_users):
    alice, bob = open_users("alice", "bob")
    open_call(alice, bob, "video")
    own = alice.get_by_test_id("call-local")
    expect(own).to_have_css("scale", "-1 1")
    alice.get_by_test_id("call-share").click()
    expect(own).to_have_css("scale", "none")
    expect(bob.get_by_test_id("call-remote")).to_have_css("scale", "none")
    alice.get_by_test_id("call-share").click()
    expect(own).to_have_css("scale", "-1 1")


def test_a_small_call_on_a_phone_covers_no_message(open_users):
    alice, bob = open_users("alice", "bob", **PHONE)
    open_conversation(alice, bob.username)
    for number in range(12):
        write(alice, f"message {number}")
    alice.get_by_test_id("back").first.click()
    open_call(alice, bob)
    alice.get_by_test_id("call-size").click()
    window = alice.get_by_test_id("call").bounding_box()
    for part in (alice.locator("#scroller"), alice.locator(".thread .bar")):
        box = part.bounding_box()
        assert box["y"] >= window["y"] + window["height"]
    assert is_on_top(alice, "hang-up")


# The connection


@pytest.mark.parametrize("options", [{}, PHONE], ids=["wide", "phone"])
def test_a_lost_connection_is_seen_in_a_call(open_users, proxy, options):
    alice, bob = open_users("alice", "bob", base_url=proxy.url, **options)
    open_call(alice, bob, "video")
    proxy.cut()
    for page in (alice, bob):
        expect(page.get_by_test_id("connection")).to_contain_text("Reconnecting…")
        assert is_on_top(page, "connection")
        assert is_on_top(page, "connection-button")
        assert is_on_top(page, "call-name")
    proxy.restore()
    for page in (alice, bob):
        expect(page.get_by_test_id("connection")).to_be_hidden(timeout=PATIENCE)
    expect(in_call(alice)).to_be_visible()


def test_a_lost_connection_is_seen_in_a_meeting_and_in_the_list(open_users, proxy):
    bob, alice = open_users("bob", "alice", base_url=proxy.url)
    expect(contact(bob, alice.username)).to_have_attribute("data-presence", "online")
    join_meeting(alice, "alone")
    detail = alice.get_by_test_id("meeting-detail")
    expect(detail).to_have_text("Nobody else is here yet")
    open_conversation(bob, alice.username)
    proxy.cut()
    expect(alice.get_by_test_id("connection")).to_contain_text("Reconnecting…")
    assert is_on_top(alice, "connection")
    expect(detail).to_have_text("Reconnecting…")

    expect(contact(bob, alice.username)).to_have_attribute("data-presence", "unknown")
    expect(bob.get_by_test_id("own-presence")).to_have_text("not connected")
    expect(bob.get_by_test_id("thread-presence")).to_have_text("")
    expect(bob.locator("#columns")).not_to_contain_text("online")
    proxy.restore()
    expect(detail).to_have_text("Nobody else is here yet", timeout=PATIENCE)
    expect(bob.get_by_test_id("thread-presence")).to_have_text("online", timeout=PATIENCE)


# Messages


def test_addresses_in_messages_are_links_and_nothing_else_is(open_users):
    alice, bob = open_users("alice", "bob")
    open_conversation(alice, bob.username)
    open_conversation(bob, alice.username)
    for text in [
        "(see https://example.org/a_(b)?c=d&e=f#g), or HTTP://example.com.",
        'javascript:alert(1) data:text/html,x //example.org ftp://example.org "https://"',
        "https://bank.example@evil.example/ <a href='https://x.example' onclick=alert(1)>x</a>",
    ]:
        write(alice, text)
        expect(message(bob, text)).to_have_count(1)
    for page in (alice, bob):
        links = page.locator("#messages a")
        assert links.evaluate_all("(links) => links.map(({ href }) => href)") == [
            "https://example.org/a_(b)?c=d&e=f#g",
            "http://example.com/",
            "https://x.example/",
        ]
        for link in links.all():
            expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
            expect(link).to_have_attribute("target", "_blank")
            assert link.get_attribute("onclick") is None


def test_the_marks_of_all_messages_are_one_tab_stop(open_users):
    alice, bob = open_users("alice", "bob")
    open_conversation(alice, bob.username)
    for number in range(3):
        write(alice, f"message {number}")
    marks = alice.get_by_test_id("mark")
    expect(marks).to_have_count(3)
    expect(alice.locator("[data-testid=mark][tabindex='0']")).to_have_count(1)
    alice.locator("#scroller").focus()
    alice.keyboard.press("Tab")
    expect(marks.nth(2)).to_be_focused()
    alice.keyboard.press("ArrowUp")
    expect(marks.nth(1)).to_be_focused()
    alice.keyboard.press("Enter")
    expect(alice.get_by_test_id("detail").nth(1)).to_be_visible()
    alice.keyboard.press("Tab")
    expect(alice.get_by_test_id("composer")).to_be_focused()


def test_the_header_of_a_phone_shows_all_of_a_note(open_users):
    note = "back at three in the afternoon, if the train is on time today, which it seldom is"
    alice, bob = open_users("alice", "bob", **PHONE)
    choose_status(bob, "Away", note)
    open_conversation(alice, bob.username)
    expect(alice.get_by_test_id("thread-presence")).to_have_text(f"away · {note}")
    for page, part in ((alice, ".thread .bar"), (bob, ".sidebar .bar")):
        detail = page.locator(f"{part} .bar-detail").first
        assert detail.evaluate("({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth")
        head, text = page.locator(part).first.bounding_box(), detail.bounding_box()
        assert text["y"] + text["height"] <= head["y"] + head["height"]


def test_an_error_is_a_sentence_for_users(open_users):
    alice, bob = open_users("alice", "bob")
    open_conversation(alice, bob.username)
    alice.evaluate("document.getElementById('text').removeAttribute('maxlength')")
    write(alice, "x" * 2001)
    expect(alice.locator(".failure")).to_contain_text("Not sent. The message is too long.")
    expect(alice.locator(".failure")).not_to_contain_text("data")


def test_the_last_visit_survives_a_restart(open_users, server):
    alice, bob = open_users("alice", "bob")
    open_conversation(alice, bob.username)
    bob.get_by_test_id("logout").click()
    presence = alice.get_by_test_id("thread-presence")
    expect(presence).to_contain_text("last seen")
    assert "Traceback" not in server.stop()
    expect(presence).to_have_text("")
    server.start()
    expect(alice.get_by_test_id("connection")).to_be_hidden(timeout=PATIENCE)
    expect(presence).to_contain_text("last seen", timeout=PATIENCE)


# Names and alerts


def test_a_name_to_display_is_shown_wherever_the_user_is(open_users):
    alice, bob = open_users("alice", "bob")
    bob.get_by_test_id("own").click()
    bob.get_by_test_id("display-name").fill("Bob <b> Andersson")
    bob.get_by_role("button", name="Save").click()
    expect(bob.locator("#own-name")).to_have_text("Bob <b> Andersson")
    row = contact(alice, bob.username)
    expect(row.locator(".contact-name")).to_have_text("Bob <b> Andersson")
    expect(row.locator(".avatar")).to_have_text("BA")
    row.click()
    expect(alice.get_by_test_id("thread-name")).to_have_text("Bob <b> Andersson")
    expect(alice.locator("#thread-username")).to_have_text(f"@{bob.username}")
    expect(alice).to_have_title("Bob <b> Andersson")
    contact(bob, alice.username).click()
    bob.get_by_test_id("call-audio").click()
    expect(ringing(alice)).to_contain_text("Bob <b> Andersson")
    expect(alice).to_have_title("Bob <b> Andersson is calling")
    bob.get_by_test_id("hang-up").click()

    alice.reload()
    expect(row.locator(".contact-name")).to_have_text("Bob <b> Andersson")
    alice.get_by_test_id("own").click()
    alice.get_by_test_id("display-name").fill(bob.username)
    alice.get_by_role("button", name="Save").click()
    expect(toast(alice)).to_contain_text("Another user has this name.")


#: Records what the page would sound and show; `lookAway` is set by the test.
RECORD = """() => {
  window.sounds = 0;
  window.shown = [];
  window.asked = 0;
  const { OscillatorNode } = window;
  window.OscillatorNode = class extends OscillatorNode {
    start(when) {
      window.sounds += 1;
      super.start(when);
    }
  };
  document.hasFocus = () => !window.lookAway;
  window.Notification = class {
    static permission = localStorage.permission ?? "default";
    static async requestPermission() {
      window.asked += 1;
      return (this.permission = localStorage.permission = "granted");
    }
    constructor(title, { body }) {
      window.shown.push(`${title}: ${body}`);
    }
    close() {}
  };
}"""


def test_alerts_are_off_until_the_user_turns_them_on(open_users):
    alice, bob = open_users("alice", "bob")
    open_conversation(alice, bob.username)
    bob.add_init_script(f"({RECORD})()")
    bob.reload()
    expect(bob.locator("body[data-connected=true]")).to_be_attached()
    bob.evaluate("window.lookAway = true")
    bob.get_by_test_id("own").click()
    bob.keyboard.press("Escape")
    write(alice, "first")
    expect(bob).to_have_title("(1) Chat")
    assert bob.evaluate("[sounds, shown.length, asked]") == [0, 0, 0]

    bob.get_by_test_id("own").click()
    bob.get_by_test_id("alert-sound").check()
    bob.get_by_test_id("alert-notification").check()
    expect(bob.get_by_test_id("alert-notification")).to_be_checked()
    bob.keyboard.press("Escape")
    assert bob.evaluate("asked") == 1
    bob.reload()  # the choice is kept
    expect(bob.locator("body[data-connected=true]")).to_be_attached()
    bob.get_by_test_id("own").click()  # a browser allows sound after the first click only
    expect(bob.get_by_test_id("alert-sound")).to_be_checked()
    bob.keyboard.press("Escape")
    write(alice, "while looking")
    expect(bob).to_have_title("(2) Chat")
    assert bob.evaluate("[sounds, shown.length, asked]") == [0, 0, 0]
    bob.evaluate("window.lookAway = true")
    write(alice, "second")
    expect(bob).to_have_title("(3) Chat")
    assert bob.evaluate("[sounds, shown, asked]") == [2, [f"{alice.username}: second"], 0]

    choose_status(bob, "Busy")
    write(alice, "third")
    expect(bob).to_have_title("(4) Chat")
    assert bob.evaluate("[sounds, shown.length]") == [2, 1]


# Meetings


def test_a_meeting_has_a_chat_and_shows_messages_that_arrive(open_users):
    alice, bob, carol = open_users("alice", "bob", "carol")
    for page in (alice, bob):
        join_meeting(page, "Daily  Stand up ")
    expect(alice.locator("#meeting-title")).to_have_text("daily-stand-up")
    expect(tile(alice, bob.username)).to_be_visible()
    alice.get_by_test_id("meeting-chat-toggle").click()
    alice.get_by_test_id("meeting-text").fill("<b>hi</b> https://example.org")
    alice.keyboard.press("Enter")
    expect(toast(bob)).to_contain_text(f"{alice.username}: <b>hi</b>")
    expect(bob.locator("#meeting-unread")).to_have_text("1")
    bob.get_by_test_id("meeting-chat-toggle").click()
    expect(bob.locator("#meeting-unread")).to_have_text("")
    for page in (alice, bob):
        expect(page.get_by_test_id("meeting-message")).to_have_count(1)
        expect(page.get_by_test_id("meeting-message").locator(".text")).to_have_text(
            "<b>hi</b> https://example.org"
        )
        expect(page.get_by_test_id("meeting-message").get_by_role("link")).to_have_count(1)

    open_conversation(carol, bob.username)
    write(carol, "have you a minute?")
    expect(toast(bob)).to_contain_text(f"{carol.username}: have you a minute?")
    assert is_on_top(bob, "toast")
    bob.get_by_test_id("meeting-leave").click()
    expect(contact(bob, carol.username)).to_have_attribute("data-unread", "1")


def test_a_member_of_a_meeting_shares_the_screen(open_users):
    alice, bob = open_users("alice", "bob")
    for page in (alice, bob):
        join_meeting(page, "sharing")
    own, seen = tile(alice, alice.username), tile(bob, alice.username)
    expect_video_plays(bob, f'[data-username="{alice.username}"] video')
    expect(own.locator("video")).to_have_css("scale", "-1 1")
    alice.get_by_test_id("meeting-share").click()
    expect(seen).to_contain_text("shares the screen")
    expect(seen).to_have_attribute("data-seen", "true")
    expect(seen.locator("video")).to_have_css("object-fit", "contain")
    expect(own.locator("video")).to_have_css("scale", "none")
    alice.get_by_test_id("meeting-share").click()
    expect(seen).not_to_contain_text("shares the screen")
    expect(own.locator("video")).to_have_css("scale", "-1 1")


def test_a_name_that_no_meeting_can_have_is_refused_with_the_rule(open_users):
    [alice] = open_users("alice")
    for name in ("Möte", "a/b", "x" * 31, "   "):
        join_meeting(alice, name)
        expect(alice.get_by_test_id("meetings-error")).to_contain_text("1 to 30 letters")
        expect(alice.get_by_test_id("meeting")).to_be_hidden()
    alice.goto("/#/meetings/Daily%20Standup")
    expect(alice.get_by_test_id("meeting-name")).to_have_value("daily-standup")


@pytest.mark.parametrize("missing", ["video", "audio video"])
def test_a_meeting_can_be_joined_without_devices(open_users, missing):
    alice, bob = open_users("alice", "bob")
    bob.evaluate(
        """(missing) => {
          const { mediaDevices } = navigator;
          const getUserMedia = mediaDevices.getUserMedia.bind(mediaDevices);
          mediaDevices.getUserMedia = async (wish) => {
            if (missing.some((kind) => wish[kind])) throw new DOMException("", "NotFoundError");
            return getUserMedia(wish);
          };
        }""",
        missing.split(),
    )
    for page in (alice, bob):
        join_meeting(page, "without")
    expect(bob.get_by_test_id("meeting")).to_be_visible()
    expect_video_plays(bob, f'[data-username="{alice.username}"] video')
    expect(tile(alice, bob.username)).to_have_attribute("data-seen", "false")
    expect(bob.get_by_test_id("meeting-camera")).to_have_attribute("aria-label", "Camera on")
    if "audio" in missing:
        expect(tile(alice, bob.username)).to_contain_text("muted")
