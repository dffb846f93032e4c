"""Connections that are open and dead, behind a proxy that drops all packets without a word."""

from __future__ import annotations

import threading

import pytest

from .proxy import Proxy

SIGNS = {
    "visibilitychange": "document.dispatchEvent(new Event('visibilitychange'))",
    "online": "dispatchEvent(new Event('online'))",
    "pageshow": "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))",
    "network change": "navigator.connection.dispatchEvent(new Event('change'))",
}


@pytest.fixture
def site(make_site):
    return make_site(
        "{ repeat: true, reconnect: { min: 50, max: 200 } }", disconnect_grace_period=60
    )


@pytest.fixture
def proxy(site):
    proxy = Proxy(int(site.url.split(":")[2].strip("/")))
    yield proxy
    proxy.close()


def open_behind(proxy, site, browser):
    page = site.open(browser, base_url=f"{proxy.url}/")
    page.clock.install()
    return page


def wait_until_back(page):
    page.wait_for_function(
        "names().includes('close') && names().lastIndexOf('open') > names().lastIndexOf('close')"
    )


@pytest.mark.parametrize("sign", SIGNS)
def test_a_sign_of_trouble_makes_a_page_leave_a_dead_socket(browser, site, proxy, sign):
    page = open_behind(proxy, site, browser)
    proxy.silence()
    page.evaluate(SIGNS[sign])
    page.clock.run_for(5000)
    wait_until_back(page)
    assert page.evaluate("log[1][1].reason") == "no sign of life"
    # A message gets through, to the same peer.
    assert page.evaluate("client.request('get', '/').catch((error) => error.status)") == 404
    assert len(site.protoo.peers("alice")) == 1


def test_a_sign_of_trouble_leaves_a_good_socket_alone(browser, site, proxy):
    page = open_behind(proxy, site, browser)
    for sign in SIGNS.values():
        page.evaluate(sign)
    assert page.evaluate("client.request('get', '/').catch((error) => error.status)") == 404
    assert page.evaluate("[client.state, ...names()]") == ["open", "open"]


def test_a_request_on_a_dead_socket_arrives_after_all(browser, site, proxy):
    page = open_behind(proxy, site, browser)
    bob = site.open(browser, "bob")
    proxy.silence()
    page.evaluate("void (window.answer = client.request('message', '/users/bob', { text: 'hi' }))")
    page.clock.run_for(4000)
    page.clock.run_for(6000)
    assert page.evaluate("answer.then(({ status }) => status)") == 200
    assert bob.evaluate("log.filter(([name]) => name === 'request').length") == 1
    assert page.evaluate("log[1][1].reason") == "no sign of life"


def test_a_request_that_ends_with_408_has_the_page_look_for_the_reason(browser, site, proxy):
    page = open_behind(proxy, site, browser)
    proxy.silence()
    request = "client.request('get', '/', {}, { timeout: 200 }).catch((error) => error.status)"
    assert page.evaluate(request) == 408
    page.clock.run_for(5000)
    wait_until_back(page)


def test_a_slow_handler_is_no_dead_socket(browser, make_site):
    site = make_site()
    is_over = threading.Event()

    @site.protoo.get("/slow")
    def slow(req, next):
        assert is_over.wait(20)
        req.reply(200, "slow")

    page = site.open(browser)
    frames = []
    page.on(
        "websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(frame))
    )
    page.reload()
    page.wait_for_function("client.state === 'open'")
    page.evaluate("void (window.answer = client.request('get', '/slow'))")
    page.evaluate("dispatchEvent(new Event('online'))")
    # The pong comes while the handler of an earlier request blocks.
    while not any("pong" in str(frame) for frame in frames):
        page.evaluate("0")  # lets Playwright take events
    is_over.set()
    assert page.evaluate("answer.then(({ reason }) => reason)") == "slow"
    assert page.evaluate("names()") == ["open"]
