"""A site of one page with a client, for tests that need no sample app."""

from __future__ import annotations

import queue
from typing import Any

from flask import Flask, redirect, request, session
from markupsafe import Markup

from protoo_flask import Protoo
from protoo_flask.middleware import p2p_messenger

#: What the page does. It records all events of its client as [name, payload].
PAGE = """<!doctype html>
<title>{title}</title>
<link rel="icon" href="data:,">
<a href="/other">other</a>
<script src="/protoo/protoo.js"></script>
<script>
  window.born = Math.random(); // another one after a reload
  window.unhandled = [];
  addEventListener("unhandledrejection", ({{ reason }}) => unhandled.push(String(reason)));
  window.log = [];
  window.names = () => log.map(([name]) => name);
  window.watch = (client) => {{
    for (const name of ["open", "close", "refused", "deferred", "leave", "notification"]) {{
      client.on(name, (payload) => log.push([name, payload]));
    }}
    client.on("request", (req) => {{
      log.push(["request", req.data]);
      req.reply(200);
    }});
    return client;
  }};
  window.client = watch(new protoo.Client({options}));
  client.connect();
</script>
"""


class PlainSite:
    """A Flask app, and the events of its peers in the order in which they are told.

    The fixture `make_site` serves it, and closes it and its pages after the test.

    :param options: of `Client`, as JavaScript.
    :param settings: of `Protoo`.
    """

    def __init__(self, options: str = "{}", **settings) -> None:
        self.app = app = Flask("site")
        app.secret_key = "of the tests"
        self.url = ""
        self._contexts: list[Any] = []
        self.events: queue.Queue[tuple[str, str]] = queue.Queue()
        # No pings by default: their thread would outlive a test in this process.
        self.protoo = Protoo(app, **{"ping_interval": None, **settings})
        for name in ("online", "disconnect", "reconnect", "offline"):
            self._record(name)
        self.protoo.use("/users", p2p_messenger(self.protoo))

        @app.get("/")
        def index():
            return PAGE.format(title="client", options=Markup(options))

        @app.get("/other")
        def other():
            return "<!doctype html><title>other</title>"

        @app.get("/login/<username>")
        def login(username):
            session["username"] = username
            return redirect(request.args.get("to", "/"))

        @app.get("/logout")
        def logout():
            session.clear()
            return "logged out"

    def _record(self, name: str) -> None:
        self.protoo.on(name)(lambda peer: self.events.put((name, peer.username)))

    def open(self, browser, username: str = "alice", base_url: str = ""):
        """Return a page with an open client, in a browser of its own."""
        context = browser.new_context()
        self._contexts.append(context)
        page = context.new_page()
        page.goto(f"{base_url or self.url}login/{username}")
        page.wait_for_function("client.state === 'open'")
        return page

    def open_foreign(self, browser, url: str):
        """Return a page from another site."""
        context = browser.new_context()
        self._contexts.append(context)
        page = context.new_page()
        page.goto(url)
        return page

    def close_pages(self) -> None:
        for context in self._contexts:
            context.close()
        self._contexts = []

    def close(self) -> None:
        self.close_pages()
        self.protoo.close()
        # Remembered answers have a timer of minutes, whose thread would outlive the test.
        loop = self.app.extensions["protoo"].loop
        if loop is None:
            return  # nobody was let in
        with loop._changed:
            loop._timers.clear()
            loop._changed.notify()

    def expect_event(self, name: str, username: str = "alice", timeout: float = 20) -> None:
        assert self.events.get(timeout=timeout) == (name, username)

    def expect_no_event(self) -> None:
        assert self.events.empty(), self.events.get()
