"""docs/coming-from-flask-socketio.md tells the truth: the chat that it moves works in browsers."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.servers.processes import start

from .conftest import ROOT

PAGE = (ROOT / "docs" / "coming-from-flask-socketio.md").read_text(encoding="utf-8")

#: The form and the views, which the page does not change.
SITE = """
from flask import Flask, redirect, render_template, request, session, url_for
from chat import protoo

def create_app():
    app = Flask("site_with_chat", root_path={folder!r})
    app.secret_key = "of the tests"
    protoo.init_app(app)

    @app.route("/")
    def index():
        return "the form"

    @app.route("/enter/<name>/<room>")
    def enter(name, room):
        session["name"], session["room"] = name, room
        return redirect(url_for("chat"))

    @app.route("/chat")
    def chat():
        return render_template("chat.html", room=session["room"])

    return app
"""


def block(language):
    found = re.search(rf"<!-- {language}: chat -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found, f"the page has no block {language!r}"
    return found.group(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    for name in ("templates", "static"):
        (folder / name).mkdir()
    (folder / "chat.py").write_text(block("python"))
    (folder / "site_with_chat.py").write_text(SITE.format(folder=str(folder)))
    (folder / "templates" / "chat.html").write_text(block("html"))
    (folder / "static" / "chat.js").write_text(block("javascript"))
    command = "-m gunicorn -k gevent --bind 127.0.0.1:0 site_with_chat:create_app()"
    server = start("site_with_chat", command.split(), cwd=folder)
    yield server
    server.stop()
    assert server.complaints() == []


@pytest.fixture
def enter(server, browser):
    """Return a function that has somebody enter a room, in a browser of their own."""
    contexts = []

    def enter(name, room):
        context = browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/enter/{name}/{room}")
        expect(page.locator("#chat")).to_have_value(re.compile("You are in"))
        return page

    yield enter
    for context in contexts:
        context.close()


def test_members_of_a_room_enter_write_and_leave(enter):
    alice = enter("alice", "tea")
    bob = enter("bob", "tea")
    carol = enter("carol", "coffee")
    expect(alice.locator("#chat")).to_have_value(re.compile("<bob has entered the room.>"))

    bob.fill("#text", "Two lumps, please")
    bob.press("#text", "Enter")
    expect(alice.locator("#chat")).to_have_value(re.compile("bob: Two lumps, please"))
    expect(bob.locator("#chat")).to_have_value(re.compile("You: Two lumps, please"))

    bob.click("#leave")
    bob.wait_for_url("**/")
    expect(alice.locator("#chat")).to_have_value(re.compile("<bob has left the room.>"))
    assert "lumps" not in carol.locator("#chat").input_value()


def test_only_the_room_of_the_session_lets_in(enter):
    carol = enter("carol", "coffee")
    status = carol.evaluate(
        """client.request("session", "/chat/rooms/tea").then(() => 200, ({ status }) => status)"""
    )
    assert status == 403
