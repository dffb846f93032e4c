"""Pages whose server has told when they may come back, or ask again.

The server notes when it closes and when a page is back. A page may be later than its time,
on a busy machine, and never earlier.
"""

from __future__ import annotations

import queue
import re
import threading
import time

from playwright.sync_api import expect

from .conftest import with_config

#: Makes the random time after a hint 0.
NO_JITTER = "{ reconnect: { min: 0, max: 0 } }"


class Arrivals:
    """The times at which devices come online, {uuid: seconds since leave()}."""

    def __init__(self, site):
        self._left = 0.0
        self._queue = queue.Queue()
        site.protoo.on("online")(lambda peer: self._queue.put((peer.uuid, time.monotonic())))

    def leave(self, site, hints):
        """Close the connections of devices, with the hint in seconds for each."""
        while not self._queue.empty():
            self._queue.get()
        self._left = time.monotonic()
        for uuid, seconds in hints.items():
            reason = f"shutting down; retry-after={seconds}"
            assert site.protoo.disconnect("alice", uuid, 1001, reason) == 1

    def take(self, count):
        arrivals = [self._queue.get(timeout=20) for _ in range(count)]
        return {uuid: at - self._left for uuid, at in arrivals}

    @property
    def is_empty(self):
        return self._queue.empty()


def open_page(site, browser):
    """Return an open page that also records "reconnecting", and its uuid."""
    page = site.open(browser)
    page.evaluate("() => void client.on('reconnecting', (it) => log.push(['reconnecting', it]))")
    return page, page.evaluate("client.uuid")


def test_a_page_comes_back_at_its_time_whatever_else_happens(browser, make_site):
    site = make_site("{ reconnect: { min: 100, max: 100 } }")
    arrivals = Arrivals(site)
    page, uuid = open_page(site, browser)
    arrivals.leave(site, {uuid: 1.25})
    page.wait_for_function("names().includes('reconnecting')")
    page.evaluate(
        """() => {
          dispatchEvent(new Event("online"));
          dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
          document.dispatchEvent(new Event("visibilitychange"));
          document.dispatchEvent(new Event("resume"));
        }"""
    )
    assert page.evaluate("client.state") == "waiting"
    assert arrivals.take(1)[uuid] >= 1.25
    page.wait_for_function("client.state === 'open'")
    [_, close], [_, reconnecting] = page.evaluate("log.slice(1, 3)")
    assert (close["code"], close["reason"]) == (1001, "shutting down; retry-after=1.25")
    assert close["willReconnect"]
    assert reconnecting == {"attempt": 1, "delay": close["delay"], "retryAfter": 1250}
    assert 1250 <= close["delay"] <= 1350
    assert page.evaluate("names().filter((name) => name === 'reconnecting').length") == 1


def test_a_user_who_presses_a_button_need_not_wait(browser, make_site):
    site = make_site()
    arrivals = Arrivals(site)
    page, uuid = open_page(site, browser)
    arrivals.leave(site, {uuid: 60})
    page.wait_for_function("client.state === 'waiting'")
    page.evaluate("client.connect()")
    arrivals.take(1)
    page.wait_for_function("client.state === 'open'")
    assert arrivals.is_empty


def test_a_hint_that_cannot_be_read_is_none(browser, make_site):
    site = make_site(NO_JITTER)
    page, uuid = open_page(site, browser)
    for hint in ("1e9", "NaN", " 60", "-60", "60s", ""):
        page.evaluate("log.length = 0")
        site.protoo.disconnect("alice", uuid, 1001, f"shutting down; retry-after={hint}")
        page.wait_for_function("names().includes('open')")
        found = page.evaluate("log.find(([name]) => name === 'reconnecting')[1]")
        assert (hint, found) == (hint, {"attempt": found["attempt"], "delay": 0, "retryAfter": 0})


def test_clients_are_spread_as_the_server_has_planned(browser, make_site):
    site = make_site(NO_JITTER)
    arrivals = Arrivals(site)
    page = site.open(browser)
    page.evaluate(
        """() => {
          for (let n = 0; n < 12; n += 1) {
            const options = { uuid: `device ${n}`, reconnect: { min: 0, max: 0 } };
            new protoo.Client(options).connect();
          }
        }"""
    )
    arrivals.take(13)
    hints = {f"device {n}": 0.15 * n for n in range(12)}
    arrivals.leave(site, {uuid: f"{seconds:.2f}" for uuid, seconds in hints.items()})
    # All at once: a computer that wakes up tells every page.
    page.evaluate("dispatchEvent(new Event('online'))")
    found = arrivals.take(12)
    assert {uuid: at >= hints[uuid] for uuid, at in found.items()} == dict.fromkeys(hints, True)


def test_requests_of_the_wait_arrive_and_a_repeated_one_is_answered_once(browser, make_site):
    site = make_site("{ repeat: true }", disconnect_grace_period=30)
    arrived, may_answer, methods = threading.Event(), threading.Event(), []

    @site.protoo.all("/slow")
    def slow(req, next):
        methods.append(req.method)
        arrived.set()
        may_answer.wait(20)
        req.reply(200, "OK", {"count": len(methods)})

    @site.protoo.get("/late")
    def late(req, next):
        req.reply(200)

    page, uuid = open_page(site, browser)
    page.evaluate(
        """() => {
          window.answers = [];
          const ask = (method, path) => client.request(method, path, {}, { timeout: 60000 })
            .then(({ data }) => answers.push([path, data]), (error) => answers.push(String(error)));
          ask("get", "/slow");
          window.askLate = () => ask("get", "/late");
        }"""
    )
    assert arrived.wait(20)
    site.protoo.peer("alice", uuid).link.retire(1001, "shutting down; retry-after=0.5")
    page.wait_for_function("client.state === 'waiting'")
    page.evaluate("askLate()")
    page.wait_for_function("client.state === 'open'")
    may_answer.set()
    page.wait_for_function("answers.length === 2")
    assert page.evaluate("answers") == [["/slow", {"count": 1}], ["/late", {}]]
    assert methods == ["get"]


def test_a_request_that_a_limit_refuses_is_made_again_if_the_page_says_so(browser, make_site):
    site = make_site()
    seen = []

    @site.protoo.get("/limited")
    def limited(req, next):
        seen.append((req.id, time.monotonic()))
        if len(seen) % 3:
            req.reply(429, "too many requests", {"retryAfter": 0.25})
        else:
            req.reply(200)

    page, _ = open_page(site, browser)
    ask = """(options) => client.request("get", "/limited", {}, options).then(
      ({ status }) => status, ({ status, retryAfter }) => [status, retryAfter])"""
    assert page.evaluate(ask, {}) == [429, 250]
    assert page.evaluate(ask, {"retries": 1}) == 200
    assert page.evaluate(ask, {"retries": 1}) == [429, 250]
    ids, times = zip(*seen)
    assert len(set(ids)) == 5
    assert times[2] - times[1] >= 0.25


def test_the_sample_app_says_how_long_it_waits(open_browser):
    page = open_browser("alice")
    notice = page.get_by_test_id("connection")
    # A server that restarts, as a page sees it. The page must not reach the server meanwhile.
    page.route_web_socket(
        re.compile("/protoo"), lambda ws: ws.close(code=1001, reason="bye; retry-after=59.5")
    )
    page.reload()
    expect(notice).to_contain_text("The server restarts. Reconnecting within 60 s…")
    expect(notice).to_have_attribute("data-state", "waiting")
    expect(page.get_by_test_id("connection-button")).to_have_text("Try now")


@with_config(PROTOO_MAX_PEERS_PER_USER=1)
def test_the_sample_app_says_when_a_device_too_many_may_come(open_browser):
    first = open_browser("alice")
    page = open_browser("bob")
    page.context.clear_cookies()
    page.context.add_cookies(first.context.cookies())
    page.reload()
    notice = page.get_by_test_id("connection")
    expect(notice).to_contain_text("Reconnecting within ")
    expect(notice).not_to_contain_text("restarts")
    first.close()
    page.get_by_test_id("connection-button").click()
    expect(notice).to_be_hidden()
