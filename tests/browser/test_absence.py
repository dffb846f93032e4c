"""Pages with a lost connection: no message is lost or doubled, and others notice nothing."""

from __future__ import annotations

from playwright.sync_api import expect

from .conftest import with_config
from .pages import (
    PATIENCE,
    come_back,
    contact,
    expect_mark,
    expect_presence,
    expect_texts,
    message,
    open_conversation,
    open_tab,
    write,
)


def note_presence(page, username):
    """Let the page record each presence of a contact that it shows from now on."""
    contact(page, username).evaluate(
        """(link) => {
          window.presences = [link.dataset.presence];
          new MutationObserver(() => window.presences.push(link.dataset.presence)).observe(link, {
            attributeFilter: ["data-presence"],
          });
        }"""
    )


def seen_presences(page):
    return set(page.evaluate("window.presences"))


def test_messages_written_without_a_connection_arrive_once(open_browser, proxy):
    alice = open_browser("alice")
    bob = open_browser("bob", base_url=proxy.url)
    open_conversation(alice, "bob")
    open_conversation(bob, "alice")
    write(bob, "before")
    expect_mark(bob, "before", "delivered")
    note_presence(alice, "bob")

    proxy.cut()
    write(bob, "first")
    write(bob, "second")
    bob.get_by_test_id("composer").fill("not yet sent")
    write(alice, "meanwhile")
    expect(bob.get_by_test_id("connection")).to_contain_text("Reconnecting…")
    expect_mark(bob, "first", "sending")
    expect_mark(alice, "meanwhile", "sent")
    expect(bob.get_by_test_id("composer")).to_have_value("not yet sent")

    proxy.restore()
    come_back(bob)
    for text in ("first", "second"):
        expect_mark(bob, text, "delivered")
    expect_mark(alice, "meanwhile", "delivered")
    order = ["before", "meanwhile", "first", "second"]
    expect_texts(alice, order)
    expect_texts(bob, order)
    expect(bob.get_by_test_id("composer")).to_have_value("not yet sent")
    assert seen_presences(alice) == {"online"}


def test_a_message_in_transit_at_the_cut_is_stored_once(open_browser, proxy):
    alice = open_browser("alice")
    bob = open_browser("bob", base_url=proxy.url)
    open_conversation(alice, "bob")
    open_conversation(bob, "alice")
    write(bob, "sent and cut")
    proxy.cut()  # the server may or may not have got the message, and the page the answer
    expect(bob.get_by_test_id("connection")).to_be_visible()
    proxy.restore()
    come_back(bob)
    expect_mark(bob, "sent and cut", "delivered")
    expect_texts(bob, ["sent and cut"])
    expect_texts(alice, ["sent and cut"])


@with_config(PROTOO_DISCONNECT_GRACE_PERIOD=1)
def test_an_absence_beyond_the_grace_period_loses_nothing(open_browser, proxy):
    alice = open_browser("alice")
    bob = open_browser("bob", base_url=proxy.url)
    open_conversation(alice, "bob")
    open_conversation(bob, "alice")
    proxy.cut()
    write(bob, "from afar")
    write(alice, "sent in vain")
    expect_presence(alice, "bob", "offline")
    write(alice, "sent to nobody")
    expect_mark(alice, "sent to nobody", "sent")

    proxy.restore()
    come_back(bob)
    expect_mark(bob, "from afar", "delivered")
    for text in ("sent in vain", "sent to nobody"):
        expect_mark(alice, text, "delivered")
    order = ["sent in vain", "sent to nobody", "from afar"]
    expect_texts(alice, order)
    expect_texts(bob, order)
    expect_presence(alice, "bob", "online")


def test_a_notice_appears_only_after_a_second_without_connection(open_browser, proxy):
    bob = open_browser("bob", base_url=proxy.url)
    notice = bob.get_by_test_id("connection")
    expect(bob.locator("#no-contacts")).to_be_visible()  # the page has been filled once
    bob.clock.install()
    bob.clock.pause_at(bob.evaluate("Date.now() + 1000"))

    proxy.reset()
    expect(notice).to_have_attribute("data-state", "waiting")
    bob.clock.run_for(900)  # the first attempt is made after 0.5 s at most
    expect(notice).to_have_attribute("data-state", "open")
    bob.clock.run_for(5000)
    expect(notice).to_be_hidden()

    proxy.cut()
    expect(notice).to_have_attribute("data-state", "waiting")
    bob.clock.run_for(999)
    expect(notice).to_be_hidden()
    bob.clock.run_for(1)
    expect(notice).to_contain_text("Reconnecting…")


def test_a_reconnection_does_not_rebuild_the_conversation_on_the_screen(open_browser, proxy):
    alice = open_browser("alice")
    bob = open_browser("bob", base_url=proxy.url)
    open_conversation(alice, "bob")
    texts = [f"message {number:02}" for number in range(35)]
    for text in texts:
        write(alice, text)
    expect_mark(alice, texts[-1], "delivered")
    bob.reload()
    open_conversation(bob, "alice")
    expect(bob.get_by_test_id("message")).to_have_count(30)
    bob.get_by_test_id("earlier").click()
    expect_texts(bob, texts)
    bob.evaluate(
        """() => {
          window.removed = 0;
          new MutationObserver((changes) => {
            for (const { removedNodes } of changes) window.removed += removedNodes.length;
          }).observe(document.getElementById("messages"), { childList: true });
        }"""
    )

    proxy.cut()
    write(alice, "the 36th")
    expect(bob.get_by_test_id("connection")).to_be_visible()
    proxy.restore()
    come_back(bob)
    expect(message(bob, "the 36th")).to_be_visible()
    # The message is marked as read after the last messages have been loaded again.
    expect(contact(bob, "alice")).to_have_attribute("data-unread", "0")
    expect_texts(bob, [*texts, "the 36th"])
    assert bob.evaluate("window.removed") == 0


def test_a_browser_gets_and_sends_waiting_messages_after_being_offline(open_browser):
    alice = open_browser("alice")
    bob = open_browser("bob")
    open_conversation(alice, "bob")
    open_conversation(bob, "alice")
    note_presence(alice, "bob")
    bob.context.set_offline(True)
    expect(bob.get_by_test_id("connection")).to_contain_text("Reconnecting…")
    write(bob, "from a tunnel")
    write(alice, "into the tunnel")
    expect_mark(bob, "from a tunnel", "sending")

    bob.context.set_offline(False)
    expect_mark(bob, "from a tunnel", "delivered", timeout=PATIENCE)
    expect_mark(alice, "into the tunnel", "delivered", timeout=PATIENCE)
    expect(bob.get_by_test_id("connection")).to_be_hidden()
    order = ["into the tunnel", "from a tunnel"]
    expect_texts(alice, order)
    expect_texts(bob, order)
    assert seen_presences(alice) == {"online"}


@with_config(PROTOO_DISCONNECT_GRACE_PERIOD=3)
def test_the_sender_sees_how_many_devices_have_got_a_message(open_browser, proxy):
    alice = open_browser("alice")
    second = open_tab(alice)
    bob = open_browser("bob")
    open_tab(bob)
    bobs_phone = open_browser("bob", base_url=proxy.url)
    expect(contact(alice, "bob")).to_have_attribute("data-devices", "3")
    open_conversation(alice, "bob")
    open_conversation(second, "bob")
    write(alice, "to three")
    message(alice, "to three").get_by_test_id("mark").click()
    detail = alice.get_by_test_id("detail")
    expect(detail).to_have_text("Delivered to 3 of 3 devices")

    proxy.cut()
    expect(bobs_phone.get_by_test_id("connection")).to_be_visible()
    write(alice, "to two")
    # The mark appears at once, although the third device may still reconnect.
    expect_mark(alice, "to two", "delivered")
    expect_mark(second, "to two", "delivered")
    message(alice, "to two").get_by_test_id("mark").click()
    expect(detail.last).to_have_text("Delivered to 2 of 3 devices")
    proxy.restore()
    come_back(bobs_phone)
    open_conversation(bobs_phone, "alice")
    expect_texts(bobs_phone, ["to three", "to two"])
