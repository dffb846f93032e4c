"""Pages that the server refuses: they learn the reason, and stop."""

from __future__ import annotations

import threading

import pytest
from flask import Flask, abort, redirect, request, session
from playwright.sync_api import expect

from protoo_flask import Protoo

PAGE = """<!doctype html>
<script src="/protoo/protoo.js"></script>
<p></p>
<script>
  const client = new protoo.Client();
  const show = (text) => { document.querySelector("p").textContent = text; };
  client.on("open", () => show("connected"));
  client.on("refused", ({ status, reason }) => show(`${status} ${reason}`));
  client.connect();
</script>
"""


@pytest.mark.parametrize("policy", ["strict-origin-when-cross-origin", "no-referrer"])
def test_a_page_learns_that_a_proxy_hides_its_origin(browser, serve, policy):
    app = Flask("site")
    app.secret_key = "of the tests"
    Protoo(app)

    @app.get("/")
    def index():
        session["username"] = "alice"
        return PAGE, {"Referrer-Policy": policy}

    def forward(environ, start_response):
        """Do as a proxy that does not pass the Host header on."""
        return app(dict(environ, HTTP_HOST="upstream.example:8000"), start_response)

    url = serve(forward)
    page = browser.new_page()
    page.goto(url)

    expect(page.locator("p")).to_have_text(
        f"403 origin {url[:-1]} is not allowed: this site is http://upstream.example:8000 (behind "
        "a proxy, it must pass the Host header on), and PROTOO_ALLOWED_ORIGINS does not name it"
    )
    assert page.evaluate("client.state") == "closed"
    page.close()


@pytest.mark.parametrize("status", [403, 404])
def test_an_answer_of_a_proxy_during_a_restart_is_not_final(browser, serve, make_site, status):
    site = make_site("{ reconnect: { min: 50, max: 100 } }")
    restarting = threading.Event()

    def proxy(environ, start_response):
        if restarting.is_set():
            start_response(f"{status} Not Now", [("Content-Type", "text/plain")])
            return [b"404 page not found"]
        return site.app(environ, start_response)

    page = site.open(browser, base_url=serve(proxy))
    restarting.set()
    site.protoo.disconnect("alice", code=1001)
    page.wait_for_function("names().filter((name) => name === 'deferred').length > 1")
    assert page.evaluate("log.find(([name]) => name === 'deferred')[1]") == {
        "status": status,
        "reason": "404 page not found",
        "retryAfter": 0,
    }
    restarting.clear()
    page.wait_for_function("client.state === 'open'")
    assert "refused" not in page.evaluate("names()")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda: redirect("/other"), {"status": 302, "reason": "redirected"}),
        (lambda: "<form>log in</form>", {"status": 200, "reason": "OK"}),
        (lambda: abort(401), {"status": 401, "reason": "UNAUTHORIZED"}),
    ],
    ids=["redirect", "login page", "abort"],
)
def test_a_tab_whose_login_has_ended_is_refused_by_a_before_request_function(
    browser, make_site, answer, expected
):
    site = make_site("{ reconnect: { min: 50, max: 100 } }")
    has_ended = threading.Event()

    @site.app.before_request
    def require_login():
        is_over = has_ended.is_set() and request.path == "/protoo"
        return answer() if is_over else None

    page = site.open(browser)
    has_ended.set()
    site.protoo.disconnect("alice", code=1001)
    page.wait_for_function("client.state === 'closed'")
    assert page.evaluate("log.find(([name]) => name === 'refused')[1]") == expected


FOREIGN_PAGE = """<!doctype html>
<script type="module">
  import {{ Client }} from "{url}protoo/protoo.mjs";
  window.client = new Client({{ reconnect: {{ min: 50, max: 100 }} }});
  client.on("refused", (payload) => {{ window.refused = payload; }});
  client.connect();
</script>
"""


def test_a_page_of_an_allowed_origin_is_refused_by_a_redirect_too(browser, serve, make_site):
    foreign = Flask("foreign")
    origin = serve(foreign)[:-1]
    site = make_site(allowed_origins=[origin])
    foreign.add_url_rule("/", "index", lambda: FOREIGN_PAGE.format(url=site.url))
    site.app.before_request(lambda: redirect("/other") if request.path == "/protoo" else None)

    page = site.open_foreign(browser, origin)
    page.wait_for_function("window.refused")
    assert page.evaluate("refused") == {"status": 302, "reason": "redirected"}


def test_a_device_too_many_learns_why_and_when_it_may_come(browser, make_site):
    site = make_site(max_peers_per_user=1)
    site.open(browser)
    page = site.open(browser, "bob")
    page.goto(site.url + "login/alice")
    page.wait_for_function("names().includes('deferred')")
    told = page.evaluate("log.find(([name]) => name === 'deferred')[1]")
    assert told["status"] == 429
    assert "device" in told["reason"]
    assert told["retryAfter"] > 1000
    # Neither a tab that comes to the front nor the network makes it come earlier.
    page.evaluate("dispatchEvent(new Event('online'))")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert page.evaluate("client.state") == "waiting"
