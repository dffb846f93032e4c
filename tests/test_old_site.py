"""The example of an old site, as its members use it: served by gunicorn, with forms and cookies."""

from __future__ import annotations

import http.cookiejar
import re
import signal
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from .servers.clients import Site
from .servers.processes import run, start

EXAMPLE = Path(__file__).parents[1] / "examples" / "old_site"
MEMBERS = {"alice": "wonderland", "bob": "builder"}


class Member:
    """A browser: it has cookies, and fills in forms."""

    def __init__(self, server, name):
        self.name = name
        self.url = f"http://127.0.0.1:{server.port}"
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        self._site = Site(server.port)
        self.csrf_token = ""

    def get(self, path="/"):
        return self._open(path, None)

    def post(self, path, **fields):
        return self._open(path, urllib.parse.urlencode(fields).encode())

    def submit(self, path, **fields):
        return self.post(path, csrf_token=self.csrf_token, **fields)

    def log_in(self, password=None):
        self.get("/login")
        return self.submit("/login", name=self.name, password=password or MEMBERS[self.name])

    def connect(self):
        cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies)
        return self._site.connect_with("", cookie=cookie)

    def ask_to_connect(self, **headers):
        """Ask with the cookies for the status of a handshake, without one."""
        return self._open("/protoo", None, headers)

    def _open(self, path, body, headers=None):
        request = urllib.request.Request(self.url + path, body, headers or {})
        try:
            with self._opener.open(request) as answer:
                text = answer.read().decode()
                status = answer.status
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode()
                status = error.code
        found = re.search(r'name="csrf_token" value="([^"]+)"', text)
        if found:
            self.csrf_token = found.group(1)
        return status, text


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    env = {
        "FLASK_APP": "noticeboard",
        "DATABASE_URL": f"sqlite:///{tmp_path_factory.mktemp('board')}/board.sqlite",
        "SECRET_KEY": "of the tests",
    }
    for name, password in MEMBERS.items():
        command = ["-m", "flask", "add-member", name, "--password", password]
        added = run("add-member", command, cwd=EXAMPLE, **env)
        assert added.process.wait(60) == 0, added.output()
        added.stop()
    command = [
        "-m",
        "gunicorn",
        "-k",
        "gevent",
        "--bind",
        "127.0.0.1:0",
        "noticeboard:create_app()",
    ]
    server = start("noticeboard", command, cwd=EXAMPLE, stop_signal=signal.SIGTERM, **env)
    yield server
    server.stop()
    assert server.complaints() == []


@pytest.fixture
def alice(server):
    member = Member(server, "alice")
    member.log_in()
    return member


@pytest.fixture
def bob(server):
    member = Member(server, "bob")
    member.log_in()
    return member


def test_members_who_are_logged_in_write_to_each_other(alice, bob):
    with alice.connect() as a, bob.connect() as b:
        a.start("message", "/members/bob", {"text": "Is the bicycle still there?"})
        request = b.expect("message")
        assert request["sender"]["username"] == "alice"
        assert request["data"] == {"text": "Is the bicycle still there?"}
        b.respond(request, 200)
        assert a.receive()["status"] == 200


def test_a_member_who_is_away_and_nobody_are_told_apart(alice):
    with alice.connect() as a:
        a.start("message", "/members/bob", {"text": "hi"})
        assert a.receive()["reason"] == "bob is not here at the moment"
        a.start("message", "/members/eve", {"text": "hi"})
        assert a.receive()["reason"] == "there is no such member"


def test_a_visitor_is_refused_as_by_the_pages(server):
    visitor = Member(server, "mallory")
    assert "Log in" in visitor.get("/")[1]
    status, text = visitor.ask_to_connect()
    assert (status, "log in first" in text) == (401, True)
    assert "do not belong together" in visitor.log_in("guess")[1]
    assert visitor.ask_to_connect()[0] == 401


def test_who_logs_out_is_disconnected(alice):
    with alice.connect() as a:
        alice.get("/")
        status, text = alice.submit("/logout")
        assert (status, "Password" in text) == (200, True)
        assert a.wait_for_close()[0] == 3001
    assert alice.ask_to_connect()[0] == 401


def test_forms_keep_their_csrf_protection(alice):
    assert alice.post("/notices", text="spam")[0] == 400
    alice.get("/")
    assert "Bicycle for sale" in alice.submit("/notices", text="Bicycle for sale")[1]


def test_a_page_of_another_site_cannot_use_the_login(alice):
    assert alice.ask_to_connect(Origin=alice.url)[0] == 426
    assert alice.ask_to_connect(Origin="http://evil.example")[0] == 403


def test_each_page_has_the_chat(alice):
    text = alice.get("/")[1]
    assert '<script src="/protoo/protoo.js"></script>' in text
    assert alice.get("/protoo/protoo.js")[0] == 200
