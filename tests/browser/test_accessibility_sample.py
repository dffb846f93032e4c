"""Every screen of the sample app under axe-core, in both colour schemes, and without a mouse."""

from __future__ import annotations

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import expect

from .conftest import share_server
from .pages import (
    PATIENCE,
    choose_status,
    contact,
    in_call,
    message,
    open_conversation,
    tile,
    write,
)

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

server = share_server()

RUN = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ html, any }) => [id, help, html, any[0]?.message].join(" | ")));
}"""


@pytest.fixture
def look():
    """A function that has axe-core look at a page; the test fails for what it has found."""
    found = []

    def look(page, screen):
        if not page.evaluate("typeof axe === 'object'"):
            page.evaluate(AXE_SCRIPT)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found.extend(f"{screen}, {scheme}: {violation}" for violation in page.evaluate(RUN))

    yield look
    assert not found, "\n".join(found)


def test_no_screen_has_a_violation(open_users, browser, server, look):
    context = browser.new_context(base_url=server.url)
    try:
        page = context.new_page()
        page.goto("/login")
        look(page, "log in")
        page.get_by_test_id("login-name").fill("no such name!")
        page.get_by_test_id("login-button").click()
        expect(page.get_by_test_id("login-error")).to_be_visible()
        look(page, "log in, refused")
    finally:
        context.close()

    [alice] = open_users("alice")
    look(alice, "nobody else")
    alice, bob, carol = open_users("alice", "bob", "carol")
    choose_status(bob, "Away", "back at three")
    choose_status(carol, "Busy")
    for page in (bob, carol):
        expect(contact(alice, page.username)).to_be_visible()
    write_first(bob, alice)
    look(alice, "list")
    open_conversation(alice, bob.username)
    write(alice, "see https://example.org")
    expect(message(alice, "see")).to_have_attribute("data-mark", "delivered")
    look(alice, "conversation")
    alice.get_by_test_id("own").click()
    look(alice, "status")
    alice.keyboard.press("Escape")

    alice.get_by_test_id("call-video").click()
    expect(bob.get_by_test_id("ringing")).to_be_visible()
    look(bob, "ringing")
    look(alice, "calling")
    bob.get_by_test_id("accept-video").click()
    for page in (alice, bob):
        expect(in_call(page)).to_be_visible()
    alice.get_by_test_id("call-mute").click()
    look(alice, "call")
    alice.get_by_test_id("call-size").click()
    look(alice, "small call")
    alice.get_by_test_id("hang-up").click()
    expect(message(alice, "Video call")).to_be_visible()

    alice.get_by_test_id("meetings").click()
    alice.get_by_test_id("meeting-name").fill("Möte")
    alice.get_by_test_id("meeting-join").click()
    look(alice, "meetings, refused")
    for page in (alice, bob):
        page.get_by_test_id("meetings").click()
        page.get_by_test_id("meeting-name").fill("standup")
        page.get_by_test_id("meeting-join").click()
    expect(tile(alice, bob.username)).to_be_visible()
    alice.get_by_test_id("meeting-chat-toggle").click()
    alice.get_by_test_id("meeting-text").fill("hello https://example.org")
    alice.keyboard.press("Enter")
    expect(bob.get_by_test_id("toast")).to_be_visible()
    look(alice, "meeting with chat")
    look(bob, "meeting with a message")


def write_first(page, other):
    open_conversation(page, other.username)
    write(page, "hello")
    expect(contact(other, page.username)).to_have_attribute("data-unread", "1")


def test_no_screen_of_a_phone_has_a_violation(open_users, proxy, look):
    alice, bob = open_users("alice", "bob", base_url=proxy.url, **PHONE)
    write_first(bob, alice)
    look(alice, "list")
    look(bob, "conversation")
    bob.get_by_test_id("call-audio").click()
    expect(alice.get_by_test_id("ringing")).to_be_visible()
    look(alice, "ringing")
    alice.get_by_test_id("accept-audio").click()
    expect(in_call(bob)).to_be_visible()
    bob.get_by_test_id("call-size").click()
    look(bob, "small call")
    proxy.cut()
    expect(bob.get_by_test_id("connection")).to_be_visible()
    look(bob, "no connection")


def test_everything_can_be_done_without_a_mouse(open_users, browser, server):
    [bob] = open_users("bob")
    context = browser.new_context(base_url=server.url)
    alice = context.new_page()
    try:
        do_everything(alice, bob)
    finally:
        context.close()


def do_everything(alice, bob):
    alice.goto("/login")
    expect(alice.get_by_test_id("login-name")).to_be_focused()
    username = bob.username.replace("bob", "keys")
    alice.keyboard.type(username)
    alice.keyboard.press("Enter")
    expect(contact(alice, bob.username)).to_be_visible()

    press_until_focused(alice, contact(alice, bob.username))
    alice.keyboard.press("Enter")
    expect(alice.get_by_test_id("composer")).to_be_focused()
    alice.keyboard.type("hello")
    alice.keyboard.press("Enter")
    expect(message(alice, "hello")).to_have_attribute("data-mark", "delivered")
    expect(alice.get_by_test_id("composer")).to_be_focused()

    press_until_focused(alice, alice.get_by_test_id("call-audio"), "Shift+Tab")
    alice.keyboard.press("Enter")
    expect(bob.get_by_test_id("ringing")).to_be_visible()
    press_until_focused(bob, bob.get_by_test_id("accept-audio"))
    bob.keyboard.press("Enter")
    for page in (alice, bob):
        expect(in_call(page)).to_be_visible()
        expect(page.get_by_test_id("call-detail")).to_have_text("", timeout=PATIENCE)
    press_until_focused(alice, alice.get_by_test_id("call-mute"))
    alice.keyboard.press("Space")
    expect(bob.get_by_test_id("call-detail")).to_contain_text("is muted")
    press_until_focused(alice, alice.get_by_test_id("hang-up"))
    alice.keyboard.press("Enter")
    for page in (alice, bob):
        expect(page.get_by_test_id("call")).to_be_hidden()
    expect(alice.get_by_test_id("call-audio")).to_be_focused()  # where it was before

    press_until_focused(alice, alice.get_by_test_id("meetings"))
    alice.keyboard.press("Enter")
    expect(alice.get_by_test_id("meeting-name")).to_be_focused()
    alice.keyboard.type("by keyboard")
    alice.keyboard.press("Enter")
    expect(alice.get_by_test_id("meeting")).to_be_visible()
    expect(alice.locator("#meeting-title")).to_be_focused()
    press_until_focused(alice, alice.get_by_test_id("meeting-chat-toggle"))
    alice.keyboard.press("Enter")
    expect(alice.get_by_test_id("meeting-text")).to_be_focused()
    alice.keyboard.type("anybody here?")
    alice.keyboard.press("Enter")
    expect(alice.get_by_test_id("meeting-message")).to_have_count(1)
    alice.keyboard.press("Escape")
    expect(alice.get_by_test_id("meeting-chat-toggle")).to_be_focused()
    press_until_focused(alice, alice.get_by_test_id("meeting-leave"))
    alice.keyboard.press("Enter")
    expect(alice.get_by_test_id("meeting")).to_be_hidden()
    assert alice.evaluate("document.activeElement !== document.body")


def press_until_focused(page, element, key="Tab", limit=40):
    """Move the focus with a key, until it is on an element."""
    for _ in range(limit):
        if element.evaluate("(element) => element === document.activeElement"):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{limit} times {key} do not reach {element}")
