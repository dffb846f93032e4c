"""Pages that are left: cached, frozen, closed, reloaded. Others see who is really there."""

from __future__ import annotations

import pytest

from .conftest import ARGUMENTS, find_chromium

GRACE = {"disconnect_grace_period": 60, "reload_grace_period": 1}


@pytest.fixture
def caching_browser(browser):
    """Chromium with its back/forward cache, which Playwright switches off."""
    chromium = browser.browser_type.launch(
        executable_path=find_chromium(),
        args=ARGUMENTS,
        ignore_default_args=["--disable-back-forward-cache"],
    )
    yield chromium
    chromium.close()


def go_back(page):
    # page.go_back() waits for a load event, which a page from the cache does not have.
    page.evaluate("history.back()")
    page.wait_for_function("document.title === 'client'")


def test_a_page_in_the_back_forward_cache_is_away_and_comes_back(caching_browser, make_site):
    site = make_site("{ repeat: true }", **GRACE)
    page = site.open(caching_browser)
    site.expect_event("online")
    born = page.evaluate("born")

    page.goto(page.url + "other")
    site.expect_event("disconnect")
    assert [peer.state for peer in site.protoo.peers("alice")] == ["disconnected"]

    go_back(page)
    assert page.evaluate("born") == born, "the page did not come from the cache"
    site.expect_event("reconnect")
    page.wait_for_function("client.state === 'open'")
    assert page.evaluate("names()") == ["open", "leave", "close", "open"]
    assert page.evaluate("client.request('get', '/').catch((error) => error.status)") == 404
    site.expect_no_event()


def test_messages_to_a_cached_page_wait_for_it(caching_browser, make_site):
    site = make_site(**GRACE)
    alice = site.open(caching_browser)
    bob = site.open(caching_browser, "bob")
    site.expect_event("online")
    site.expect_event("online", "bob")

    alice.goto(site.url + "other")
    site.expect_event("disconnect")
    bob.evaluate(
        """() => {
          const answer = client.request("message", "/users/alice", { text: "hi" });
          answer.then(() => log.push(["ok"]));
        }"""
    )
    go_back(alice)
    alice.wait_for_function("names().includes('request')")
    bob.wait_for_function("names().includes('ok')")


def test_without_a_grace_period_a_cached_page_is_offline(caching_browser, make_site):
    site = make_site()
    page = site.open(caching_browser)
    site.expect_event("online")
    page.goto(site.url + "other")
    site.expect_event("offline")
    go_back(page)
    site.expect_event("online")


def test_the_next_page_of_the_tab_and_the_cached_one_are_one_device(caching_browser, make_site):
    site = make_site(**GRACE)
    page = site.open(caching_browser)
    site.expect_event("online")
    uuid = page.evaluate("client.uuid")
    page.goto(site.url + "?second")
    page.wait_for_function("location.search && client.state === 'open'")
    assert page.evaluate("client.uuid") == uuid
    page.evaluate("history.back()")
    page.wait_for_function("!location.search && client.state === 'open'")
    assert page.evaluate("client.uuid") == uuid
    page.wait_for_function("client.state === 'open'")
    (peer,) = site.protoo.peers("alice")
    assert (peer.uuid, peer.online) == (uuid, True)


def test_a_frozen_tab_is_away_until_it_is_resumed(browser, make_site):
    site = make_site(**GRACE)
    page = site.open(browser)
    site.expect_event("online")

    # Only the events: without a screen, Chromium freezes no tab outside of its cache, where the
    # tests above meet the true ones.
    page.evaluate("document.dispatchEvent(new Event('freeze'))")
    site.expect_event("disconnect")
    page.evaluate("document.dispatchEvent(new Event('resume'))")
    site.expect_event("reconnect")
    page.wait_for_function("client.state === 'open'")


@pytest.mark.parametrize("how", ["close", "navigate away"])
def test_a_closed_page_is_offline_soon_and_not_after_the_whole_grace_period(
    browser, make_site, how
):
    site = make_site(**GRACE)
    page = site.open(browser)
    site.expect_event("online")

    if how == "close":
        page.close(run_before_unload=True)
    else:
        page.goto("about:blank")
    site.expect_event("disconnect")
    site.expect_event("offline")


@pytest.mark.parametrize(
    "answer",
    [("a file", 200, {"Content-Disposition": "attachment"}), ("", 204)],
    ids=["download", "nothing"],
)
def test_a_page_that_is_closed_after_a_link_that_led_nowhere_is_offline_soon(
    browser, make_site, answer
):
    site = make_site(**GRACE)
    site.app.add_url_rule("/report", "report", lambda: answer)
    page = site.open(browser)
    site.expect_event("online")
    with page.expect_response("**/report"):
        page.evaluate("void setTimeout(() => location.assign('/report'))")

    page.close(run_before_unload=True)
    site.expect_event("disconnect")
    site.expect_event("offline")


def test_a_page_that_is_reloaded_by_the_browser_is_back_before_it_is_offline(browser, make_site):
    site = make_site(disconnect_grace_period=60, reload_grace_period=20)
    page = site.open(browser)
    site.expect_event("online")
    for _ in range(3):
        page.reload()
        page.wait_for_function("client.state === 'open'")
    told = []
    while not site.events.empty():
        told.append(site.events.get()[0])
    # A disconnect that is over before it was told is not told.
    assert set(told) <= {"disconnect", "reconnect"}
    assert len(site.protoo.peers("alice")) == 1


@pytest.mark.parametrize(
    "script", ["location.reload()", "location.assign('/other')", None], ids=str
)
def test_a_page_that_another_one_of_the_site_replaces_has_the_whole_grace_period(
    browser, make_site, script
):
    site = make_site(disconnect_grace_period=60, reload_grace_period=0)
    page = site.open(browser)
    site.expect_event("online")
    # The next page does not connect: a disconnect that is over before it was told is not told.
    page.route("**/protoo.js", lambda route: route.abort())
    if script is None:
        page.reload()  # as with the button of the browser
    else:
        with page.expect_navigation():
            page.evaluate(f"void setTimeout(() => {script})")
    # With a grace period of 0 for pages that are gone, this would be "offline".
    site.expect_event("disconnect")


def test_a_listener_of_leave_sends_a_last_message(browser, make_site):
    site = make_site(**GRACE)
    alice = site.open(browser)
    bob = site.open(browser, "bob")
    alice.evaluate(
        "void client.on('leave', () => client.notify('message', '/users/bob', { text: 'bye' }))"
    )
    alice.close(run_before_unload=True)
    bob.wait_for_function("names().includes('notification')")
