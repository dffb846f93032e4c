"""Presence in the sample app: online or not, status and note."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .conftest import log_in
from .pages import (
    PATIENCE,
    choose_status,
    contact,
    expect_presence,
    open_conversation,
    open_tab,
)

WIDE = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize("options", [WIDE, PHONE], ids=["wide", "phone"])
def test_others_see_the_status_and_note_of_a_user(open_browser, options):
    alice = open_browser("alice", **options)
    bob = open_browser("bob", **options)
    expect_presence(alice, "bob", "online")

    choose_status(bob, "Away", "back at 3 pm")
    expect_presence(alice, "bob", "away")
    expect(contact(alice, "bob").locator(".contact-presence")).to_have_text("away · back at 3 pm")
    open_conversation(alice, "bob")
    expect(alice.get_by_test_id("thread-presence")).to_have_text("away · back at 3 pm")

    choose_status(bob, "Busy")
    expect(alice.get_by_test_id("thread-presence")).to_have_text("busy")
    choose_status(bob, "Online")
    expect(alice.get_by_test_id("thread-presence")).to_have_text("online")

    bob.get_by_test_id("logout").click()
    expect(alice.get_by_test_id("thread-presence")).to_contain_text("last seen")
    if options is PHONE:
        alice.get_by_test_id("back").click()
    expect_presence(alice, "bob", "offline")


def test_all_tabs_of_a_user_show_the_users_own_status(open_browser):
    bob = open_browser("bob")
    second = open_tab(bob)
    expect(second.get_by_test_id("own-presence")).to_have_text("online")
    choose_status(bob, "Busy", "writing")
    expect(second.get_by_test_id("own-presence")).to_have_text("busy · writing")
    expect(bob.get_by_test_id("own-presence")).to_have_text("busy · writing")


def test_a_status_survives_a_reload_and_a_restart_of_the_server(open_browser, server):
    alice = open_browser("alice")
    bob = open_browser("bob")
    choose_status(bob, "Away", "lunch")
    expect_presence(alice, "bob", "away")
    bob.reload()
    expect(bob.get_by_test_id("own-presence")).to_have_text("away · lunch")
    server.stop()
    expect(alice.locator("body[data-connected=false]")).to_be_attached()
    server.start()
    expect(alice.locator("body[data-connected=true]")).to_be_attached(timeout=PATIENCE)
    expect_presence(alice, "bob", "away", timeout=PATIENCE)
    expect(bob.get_by_test_id("own-presence")).to_have_text("away · lunch")


def test_a_status_is_published_again_at_the_next_login(open_browser):
    alice = open_browser("alice")
    bob = open_browser("bob")
    choose_status(bob, "Busy")
    bob.get_by_test_id("logout").click()
    expect_presence(alice, "bob", "offline")
    log_in(bob, "bob")
    expect_presence(alice, "bob", "busy")


def test_a_new_user_appears_in_the_contacts_of_all_others(open_browser):
    alice = open_browser("alice")
    expect(contact(alice, "carol")).to_have_count(0)
    expect(alice.get_by_test_id("placeholder")).to_have_text("There is nobody to talk to yet.")
    carol = open_browser("carol")
    expect_presence(alice, "carol", "online")
    expect(alice.get_by_test_id("placeholder")).to_have_text("Choose somebody to talk to.")
    choose_status(carol, "Away")
    expect_presence(alice, "carol", "away")


def test_the_status_can_be_chosen_by_keyboard_and_escape_cancels(open_browser):
    bob = open_browser("bob")
    own, dialog = bob.get_by_test_id("own"), bob.get_by_test_id("status")
    expect(bob.get_by_test_id("own-presence")).to_have_text("online")
    own.focus()
    bob.keyboard.press("Enter")
    expect(dialog.get_by_label("Online")).to_be_focused()
    bob.keyboard.press("ArrowDown")
    expect(dialog.get_by_label("Away")).to_be_checked()
    bob.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(own).to_be_focused()
    expect(bob.get_by_test_id("own-presence")).to_have_text("online")

    bob.keyboard.press("Enter")
    bob.keyboard.press("ArrowDown")
    bob.keyboard.press("Tab")
    bob.keyboard.type("in a meeting")
    bob.keyboard.press("Enter")
    expect(bob.get_by_test_id("own-presence")).to_have_text("away · in a meeting")
    expect(own).to_be_focused()
    bob.keyboard.press("Enter")
    expect(dialog.get_by_label("Away")).to_be_focused()


def test_a_note_is_shown_as_text(open_browser):
    alice = open_browser("alice")
    bob = open_browser("bob")
    choose_status(bob, "Online", "<img src=x onerror=document.title='hacked'>")
    open_conversation(alice, "bob")
    expect(alice.get_by_test_id("thread-presence")).to_contain_text("<img src=x")
    expect(alice).not_to_have_title("hacked")
