"""Copies of a cookie of the sample app that outlive the logout, in a real browser."""

from __future__ import annotations

from playwright.sync_api import expect

from .pages import contact, expect_presence, open_tab

#: Opens a WebSocket with the cookies of the page. Returns whether the server accepts it.
OPEN_SOCKET = """() => new Promise((resolve) => {
  const socket = new WebSocket(`ws://${location.host}/protoo?uuid=replay`, "protoo");
  socket.onopen = () => resolve(true);
  socket.onclose = () => resolve(false);
})"""


def test_a_copied_cookie_opens_nothing_after_the_logout(open_browser, browser, server):
    alice, bob = open_browser("alice"), open_browser("bob")
    stolen = bob.context.cookies()
    thief = browser.new_context(base_url=server.url)
    try:
        thief.add_cookies(stolen)
        page = thief.new_page()
        page.goto("/")
        expect(page.locator("body[data-connected=true]")).to_be_attached()
        assert page.evaluate(OPEN_SOCKET)

        bob.get_by_test_id("logout").click()
        expect(bob.get_by_test_id("login-name")).to_be_visible()
        expect(page.get_by_test_id("connection")).to_contain_text("You have been logged out.")
        expect_presence(alice, "bob", "offline")

        thief.add_cookies(stolen)  # the server had deleted none in this browser
        assert not page.evaluate(OPEN_SOCKET)
        status = page.evaluate("fetch('/protoo?uuid=replay').then(({ status }) => status)")
        assert status == 401
        page.goto("/")
        expect(page.get_by_test_id("login-name")).to_be_visible()
    finally:
        thief.close()


def test_another_login_of_the_user_goes_on(open_browser):
    alice, laptop, phone = open_browser("alice"), open_browser("bob"), open_browser("bob")
    expect(contact(alice, "bob")).to_have_attribute("data-devices", "2")
    tab = open_tab(laptop)
    expect(contact(alice, "bob")).to_have_attribute("data-devices", "3")
    laptop.get_by_test_id("logout").click()
    expect(tab.get_by_test_id("connection")).to_contain_text("You have been logged out.")
    expect(contact(alice, "bob")).to_have_attribute("data-devices", "1")
    expect(phone.get_by_test_id("connection")).to_be_hidden()


def test_the_back_button_shows_no_page_of_before_the_logout(open_browser):
    bob = open_browser("bob")
    bob.get_by_test_id("logout").click()
    expect(bob.get_by_test_id("login-name")).to_be_visible()
    bob.go_back()
    expect(bob.get_by_test_id("login-name")).to_be_visible()
    expect(bob.get_by_test_id("own")).to_have_count(0)
