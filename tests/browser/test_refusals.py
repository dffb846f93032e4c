"""Pages that the server refuses: they learn the reason, and stop."""

from __future__ import annotations

import pytest
from flask import Flask, session
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
