"""Pages that find the WebSocket below a prefix, or on another host, by ``url_for``."""

from __future__ import annotations

import pytest
from flask import Flask, render_template_string
from playwright.sync_api import expect
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from protoo_flask import Protoo

PAGE = """<!doctype html>
<script src="{{ url_for('protoo.static', filename='protoo.js') }}"></script>
<p></p>
<script>
  const client = new protoo.Client({ url: "{{ url_for('protoo.plain_http') }}" });
  const show = (text) => { document.querySelector("p").textContent = text; };
  client.on("open", () => show("connected"));
  client.on("refused", ({ status, reason }) => show(`${status} ${reason}`));
  client.connect();
</script>
"""

#: No pings: their thread would outlive a test in this process.
NO_PINGS = {"ping_interval": None}


def connects(browser, url):
    page = browser.new_page()
    page.goto(url)
    expect(page.locator("p")).to_have_text("connected")
    page.close()


def let_everybody_in(protoo):
    protoo.authorize(lambda: ("alice", None))


def test_a_site_may_be_mounted_below_a_prefix(browser, serve):
    app = Flask("site")
    let_everybody_in(Protoo(app, **NO_PINGS))
    app.add_url_rule("/", "index", lambda: render_template_string(PAGE))

    url = serve(DispatcherMiddleware(NotFound(), {"/sites/first": app}))

    connects(browser, f"{url}sites/first/")


def test_a_page_may_connect_to_another_host(browser, serve):
    app = Flask("site", host_matching=True, static_folder=None)
    url = serve(app)
    # Chromium finds hosts below localhost on this machine.
    chat = url.replace("127.0.0.1", "chat.localhost").split("/")[2]
    protoo = Protoo(app, host=chat, allowed_origins=[url], **NO_PINGS)
    let_everybody_in(protoo)
    app.add_url_rule("/", "index", lambda: render_template_string(PAGE), host="<host>")
    app.url_value_preprocessor(lambda endpoint, values: values and values.pop("host", None))

    connects(browser, url)


BARE_PAGES = {
    "script": """<!doctype html>
<script src="{{ url_for('protoo.static', filename='protoo.js') }}?v=3#x"></script>
<p></p>
<script>
  const client = new protoo.Client();
  const show = (text) => { document.querySelector("p").textContent = text; };
  client.on("open", () => show("connected"));
  client.connect();
</script>
""",
    "module": """<!doctype html>
<p></p>
<script type="module">
  import { Client } from "{{ url_for('protoo.static', filename='protoo.mjs') }}";
  const client = new Client();
  const show = (text) => { document.querySelector("p").textContent = text; };
  client.on("open", () => show("connected"));
  client.connect();
</script>
""",
    "script of a script": """<!doctype html>
<p></p>
<script>
  const script = document.createElement("script");
  script.src = "{{ url_for('protoo.static', filename='protoo.js') }}";
  script.onload = () => {
    const client = new protoo.Client();
    client.on("open", () => { document.querySelector("p").textContent = "connected"; });
    client.connect();
  };
  document.head.append(script);
</script>
""",
}


@pytest.mark.parametrize("kind", BARE_PAGES)
def test_a_client_without_a_url_finds_the_route_beside_its_script(browser, serve, kind):
    app = Flask("site")
    let_everybody_in(Protoo(app, path="/chat/ws", **NO_PINGS))
    app.add_url_rule("/page", "page", lambda: render_template_string(BARE_PAGES[kind]))

    url = serve(DispatcherMiddleware(NotFound(), {"/sites/first": app}))

    connects(browser, f"{url}sites/first/page")


def test_a_client_without_a_url_finds_the_route_on_another_host(browser, serve):
    app = Flask("site", host_matching=True, static_folder=None)
    url = serve(app)
    chat = url.replace("127.0.0.1", "chat.localhost").split("/")[2]
    protoo = Protoo(app, host=chat, allowed_origins=[url], **NO_PINGS)
    let_everybody_in(protoo)
    page = BARE_PAGES["script"]
    app.add_url_rule("/", "index", lambda: render_template_string(page), host="<host>")
    app.url_value_preprocessor(lambda endpoint, values: values and values.pop("host", None))

    connects(browser, url)
