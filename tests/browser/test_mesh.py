"""protoo-mesh.mjs between real Chromiums, behind a slow network whose connections drop."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from .call_pages import wait_for
from .conftest import NUMBERS
from .proxy import Proxy

DELAY = 0.04  # seconds, in each direction
DROPS = 8
NAMES = ("alice", "bob", "carol")


@pytest.fixture
def slow(call_site):
    """A proxy before the site, with a delay."""
    proxy = Proxy(urlsplit(call_site).port, DELAY)
    yield proxy
    proxy.close()


@pytest.fixture
def meet(browser):
    """A function that opens a meeting in one browser for each name; returns the pages."""
    contexts = []
    number = next(NUMBERS)

    def meet(url, names=NAMES):
        pages = {}
        for name in names:
            context = browser.new_context(base_url=url, permissions=["camera", "microphone"])
            contexts.append(context)
            page = pages[f"{name}{number}"] = context.new_page()
            page.set_default_timeout(20_000)
            page.goto(f"/meeting/{name}{number}?room=/rooms/r{number}")
            expect(page.locator("body[data-ready=true]")).to_be_attached()
        return pages

    yield meet
    for context in contexts:
        context.close()


def wait_until_all_see_each_other(pages):
    """Wait until each page shows more pictures of each other member than now."""
    for name, page in pages.items():
        others = sorted(other for other in pages if other != name)
        is_full = "JSON.stringify(mesh.members.map(({ peer }) => peer.username).sort())"
        wait_for(page, f"{is_full} === JSON.stringify({others})")
        before = page.evaluate("frames()")
        for other in others:
            least = before.get(other, 0) + 2
            wait_for(page, f"frames().then((it) => (it['{other}'] ?? 0) > {least})")


def test_media_that_flow_are_left_alone_when_all_members_reconnect_together(meet, slow):
    pages = meet(slow.url)
    wait_until_all_see_each_other(pages)
    before = {page: page.evaluate_handle("connections()") for page in pages.values()}
    for drop in range(DROPS):
        slow.reset()
        for page in pages.values():
            wait_for(page, f"opened() >= {drop + 2}")
            # Back in the room, and each member has said that it has the same pair.
            page.evaluate("client.request('session', mesh.path)")
    wait_until_all_see_each_other(pages)
    for page, connections in before.items():
        same = "(before) => connections().every((it) => before.includes(it))"
        assert page.evaluate(same, connections)
        assert page.evaluate("log.filter(([event]) => event !== 'join')") == []


def test_all_members_that_reload_together_find_each_other(meet, slow):
    pages = meet(slow.url)
    wait_until_all_see_each_other(pages)
    for page in pages.values():
        page.evaluate("void setTimeout(() => location.reload())")
    for page in pages.values():
        expect(page.locator("body[data-ready=true]")).to_be_attached()
    wait_until_all_see_each_other(pages)


def test_a_reload_of_one_while_the_others_reconnect(meet, slow):
    pages = meet(slow.url)
    wait_until_all_see_each_other(pages)
    alice, *others = pages.values()
    between = {page: page.evaluate_handle("connections()") for page in others}
    alice.evaluate("void setTimeout(() => location.reload())")
    slow.reset()
    expect(alice.locator("body[data-ready=true]")).to_be_attached()
    wait_until_all_see_each_other(pages)
    for page, connections in between.items():
        kept = "(before) => connections().filter((it) => before.includes(it)).length"
        assert page.evaluate(kept, connections) == 1, "of the two others, to each other"


def test_a_pair_that_one_side_has_lost_is_made_again(meet, call_site):
    pages = meet(call_site, NAMES[:2])
    wait_until_all_see_each_other(pages)
    alice, bob = pages.values()
    # As after an absence that was longer than the grace period.
    bob.evaluate("""() => {
        const [{ peer }] = mesh.members;
        const data = { peer, sessionPath: mesh.path };
        mesh.takeNotification({ method: "leave", data, sender: null });
        mesh.takeNotification({ method: "join", data, sender: null });
    }""")
    alice.evaluate("window.dispatchEvent(new Event('offline'))")
    wait_for(alice, "opened() >= 2")
    wait_until_all_see_each_other(pages)
