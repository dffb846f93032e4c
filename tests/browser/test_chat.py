"""The chat of the sample app: two users, several tabs, logins, restarts, a phone."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from .conftest import with_config
from .pages import (
    contact,
    expect_mark,
    expect_presence,
    message,
    open_conversation,
    open_tab,
    write,
)


def test_two_users_see_each_other_come_online_and_write_both_ways(open_browser):
    alice = open_browser("alice")
    bob = open_browser("bob")
    expect_presence(alice, "bob", "online")
    expect_presence(bob, "alice", "online")

    open_conversation(alice, "bob")
    write(alice, "hi Bob!")
    expect(contact(bob, "alice")).to_have_attribute("data-unread", "1")
    open_conversation(bob, "alice")
    expect(message(bob, "hi Bob!")).to_be_visible()
    expect_mark(alice, "hi Bob!", "delivered")

    write(bob, "hi Alice!")
    expect(message(alice, "hi Alice!")).to_be_visible()
    expect_mark(bob, "hi Alice!", "delivered")


@with_config(PROTOO_DISCONNECT_GRACE_PERIOD=1)
def test_the_tabs_of_one_user_are_devices_with_the_same_messages(open_browser):
    alice = open_browser("alice")
    bob = open_browser("bob")
    second = open_tab(bob)
    expect(contact(alice, "bob")).to_have_attribute("data-devices", "2")

    open_conversation(alice, "bob")
    write(alice, "to both of your tabs")
    for tab in (bob, second):
        open_conversation(tab, "alice")
        expect(message(tab, "to both of your tabs")).to_have_count(1)

    write(second, "from my second tab")
    expect(message(bob, "from my second tab")).to_be_visible()
    expect(message(alice, "from my second tab")).to_be_visible()

    second.close()
    expect(contact(alice, "bob")).to_have_attribute("data-devices", "1")


def test_a_user_gets_the_messages_sent_while_logged_out(open_browser):
    alice = open_browser("alice")
    bob = open_browser("bob")
    bob.get_by_test_id("logout").click()
    expect(bob.get_by_test_id("login-name")).to_be_visible()
    expect_presence(alice, "bob", "offline")

    open_conversation(alice, "bob")
    write(alice, "read this later")
    expect_mark(alice, "read this later", "sent")

    bob.get_by_test_id("login-name").fill("bob")
    bob.get_by_test_id("login-button").click()
    expect(contact(bob, "alice")).to_have_attribute("data-unread", "1")
    open_conversation(bob, "alice")
    expect(message(bob, "read this later")).to_be_visible()
    expect_mark(alice, "read this later", "delivered")


def test_a_restart_of_the_server_loses_no_message(open_browser, server):
    alice = open_browser("alice")
    bob = open_browser("bob")
    open_conversation(alice, "bob")
    server.stop()
    expect(alice.get_by_test_id("connection")).to_be_visible()
    write(alice, "written while the server was away")
    expect_mark(alice, "written while the server was away", "sending")

    server.start()
    expect_mark(alice, "written while the server was away", re.compile("sent|delivered"))
    open_conversation(bob, "alice")
    expect(message(bob, "written while the server was away")).to_have_count(1)
    expect(alice.get_by_test_id("connection")).to_be_hidden()


def test_a_page_whose_login_has_ended_says_so_and_does_not_reconnect(open_browser):
    bob = open_browser("bob")
    second = open_tab(bob)
    bob.get_by_test_id("logout").click()
    notice = second.get_by_test_id("connection")
    expect(notice).to_have_attribute("data-state", "closed")
    expect(notice).to_contain_text("You have been logged out.")
    expect(second.get_by_test_id("connection-button")).to_have_text("Log in again")
    second.get_by_test_id("connection-button").click()
    expect(second.get_by_test_id("login-name")).to_be_visible()


def test_text_is_shown_as_text(open_browser):
    alice = open_browser("alice")
    bob = open_browser("bob")
    open_conversation(alice, "bob")
    open_conversation(bob, "alice")
    write(alice, "<img src=x onerror=document.title='hacked'>")
    expect(message(bob, "<img src=x")).to_be_visible()
    expect(bob).not_to_have_title("hacked")


def test_on_a_phone_the_list_and_the_chat_are_two_screens(open_browser):
    open_browser("alice")
    phone = open_browser("bob", viewport={"width": 390, "height": 844}, has_touch=True)
    expect(phone.get_by_test_id("composer")).to_be_hidden()
    open_conversation(phone, "alice")
    expect(phone.get_by_test_id("composer")).to_be_visible()
    expect(contact(phone, "alice")).to_be_hidden()
    phone.get_by_test_id("back").click()
    expect(contact(phone, "alice")).to_be_visible()
    wide = phone.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert not wide
