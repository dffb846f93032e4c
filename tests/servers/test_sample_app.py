"""The sample app on real servers: logins, and the copies of cookies that outlive them."""

from __future__ import annotations

import contextlib
import html
import http.client
import re
import signal
import sqlite3
from typing import Any, Iterator
from urllib.parse import urlencode

import pytest

from .clients import Answer, Client, Site
from .processes import DEADLINE, Server, start

pytest.importorskip("flask_sqlalchemy")

FACTORY = "tests.servers.sample_site:create_app"
KINDS: dict[str, tuple[list[str], int]] = {
    "gunicorn": (
        ["-m", "gunicorn", "-k", "gevent", "--bind", "127.0.0.1:0", FACTORY + "()"],
        signal.SIGTERM,
    ),
    "pywsgi": (["-m", "protoo_flask", FACTORY, "--port", "0"], signal.SIGTERM),
    "flask-run": (["-m", "flask", "run", "--port", "0"], signal.SIGINT),
}


class SampleApp(Site):
    """The sample app as browsers see it: forms and cookies."""

    def post_form(
        self, path: str, cookie: str = "", origin: str | None = None, **fields: str
    ) -> Answer:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
        if origin is not None:
            headers["Origin"] = origin
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request("POST", path, urlencode(fields), headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())

    def log_in(self, username: str, cookie: str = "") -> str:
        answer = self.post_form("/login", cookie, username=username)
        assert answer.status == 302, answer
        return cookie_of(answer)

    def log_out(self, cookie: str) -> None:
        answer = self.post_form("/logout", cookie)
        assert (answer.status, answer.headers["Location"]) == (302, "/login")

    def is_let_in(self, cookie: str) -> tuple[bool, bool]:
        """Whether a cookie gets the page of the chat, and a connection."""
        page = self.http("GET", "/", {"Cookie": cookie}).status == 200
        status = self.knock("?uuid=replay", Cookie=cookie).status
        assert status in (101, 401)
        return page, status == 101

    def open(self, cookie: str, uuid: str = "a1") -> Client:
        return self.connect_with(f"?uuid={uuid}", Cookie=cookie)


def cookie_of(answer: Answer) -> str:
    [cookie] = answer.headers.get_all("Set-Cookie", [])
    return cookie.split(";")[0]


@pytest.fixture(scope="module", params=KINDS)
def server(request: Any, tmp_path_factory: Any) -> Iterator[Server]:
    arguments, stop_signal = KINDS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    server = start(
        request.param,
        arguments,
        stop_signal=stop_signal,
        FLASK_APP=FACTORY,
        DATABASE_URL=f"sqlite:///{folder / 'chat.sqlite'}",
        SECRET_KEY="of the tests",
        ICE_SERVERS="turn:turn.example.org",
        TURN_SECRET="of the turn server",
    )
    server.folder = folder
    yield server
    server.stop()
    assert server.complaints() == []


@pytest.fixture
def site(server: Server) -> SampleApp:
    return SampleApp(server.port)


def test_a_cookie_from_before_the_logout_opens_nothing(site):
    cookie = site.log_in("alice")
    assert site.is_let_in(cookie) == (True, True)
    site.log_out(cookie)
    assert site.is_let_in(cookie) == (False, False)
    answer = site.knock("?uuid=a1", Cookie=cookie)
    assert (answer.status, answer.text) == (401, "you are not logged in")
    # The plain request that a browser sends to learn the reason of a refusal.
    assert site.http("GET", "/protoo?uuid=a1", {"Cookie": cookie}).status == 401
    assert site.http("GET", "/login", {"Cookie": cookie}).status == 200


def test_a_logout_closes_the_pages_of_its_login_only(site):
    laptop, phone, other = site.log_in("bob"), site.log_in("bob"), site.log_in("carol")
    with site.open(laptop, "tab-1") as tab, site.open(laptop, "tab-2") as tab_2, site.open(
        phone, "phone"
    ) as mobile, site.open(other) as of_other:
        assert tab.request("get", "/ice")["data"]["iceServers"][0]["credential"]
        site.log_out(laptop)
        assert tab.wait_for_close() == (3001, "logged out")
        assert tab_2.wait_for_close() == (3001, "logged out")
        for client in (mobile, of_other):
            assert client.request("get", "/ice")["status"] == 200
        assert site.is_let_in(phone) == (True, True)
        assert site.is_let_in(laptop) == (False, False)


def test_a_device_within_its_grace_period_is_logged_out_too(site):
    cookie = site.log_in("dave")
    phone = site.open(cookie, "phone")
    with site.open(site.log_in("alice")) as watcher:
        assert watcher.request("subscribe", "/presence/dave")["data"]["online"] is True
        phone.close(3002)  # this code begins a grace period
        site.log_out(cookie)
        assert watcher.expect("presence")["data"]["online"] is False
    assert site.knock("?uuid=phone", Cookie=cookie).status == 401


def test_a_login_that_another_process_has_ended_is_noticed(site, server):
    cookie, other = site.log_in("karl"), site.log_in("luke")
    with site.open(cookie) as page, site.open(other) as of_other:
        with contextlib.closing(sqlite3.connect(server.folder / "chat.sqlite")) as database:
            database.execute("DELETE FROM logins WHERE username = 'karl'")
            database.commit()
        assert page.wait_for_close() == (3001, "authorization revoked")
        assert of_other.request("get", "/ice")["status"] == 200


def test_a_login_replaces_the_one_of_the_same_browser(site):
    site.log_in("frank")
    first = site.log_in("erin")
    with site.open(first) as page:
        second = site.log_in("frank", first)
        assert page.wait_for_close() == (3001, "logged out")
    assert site.is_let_in(first) == (False, False)
    assert site.is_let_in(second) == (True, True)


def test_a_logout_with_an_old_cookie_ends_nobody_elses_login(site):
    old = site.log_in("grace")
    site.log_out(old)
    new = site.log_in("grace")
    with site.open(new) as page:
        site.log_out(old)
        assert page.request("get", "/ice")["status"] == 200
    assert site.is_let_in(new) == (True, True)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://[", "evil", "http://127.0.0.1.evil.example"]
)
def test_a_form_of_another_site_neither_logs_in_nor_out(site, origin):
    cookie = site.log_in("heidi")
    assert site.post_form("/logout", cookie, origin).status == 403
    assert site.post_form("/login", cookie, origin, username="mallory").status == 403
    assert site.is_let_in(cookie) == (True, True)
    assert site.post_form("/logout", cookie, f"http://{site.host}").status == 302
    assert site.is_let_in(cookie) == (False, False)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 31,
        "a" * 10_000,
        "<b>bob</b>",
        '"onfocus=alert(1)',
        "bob\nalice",
        "bob\x00",
        "bob\x7f",
        "\u202ebob",
        "bo\u200bb",
        "bob%2falice",
        "bob/alice",
        "b ob",
        "böb",
        "\u212aevin",  # the Kelvin sign, whose lower case is "k"
        "ı",
    ],
)
def test_a_name_of_other_characters_is_refused_and_shown_as_text(site, name):
    answer = site.post_form("/login", username=name)
    assert answer.status == 400
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    assert "<b>" not in answer.text
    shown = re.search(r'value="([^"]*)" required', answer.text)
    assert shown is not None
    assert html.unescape(shown[1]) == name[:30]


def test_names_differ_neither_in_case_nor_in_spaces_around_them(site):
    site.log_in("  Ivan ")
    cookie = site.log_in("IVAN")
    assert 'data-username="ivan"' in site.http("GET", "/", {"Cookie": cookie}).text
    with site.open(site.log_in("judy")) as page:
        contacts = page.request("get", "/contacts")["data"]["contacts"]
        assert [it["username"] for it in contacts if it["username"].lower() == "ivan"] == ["ivan"]


def test_a_form_of_megabytes_is_refused(site):
    assert site.post_form("/login", username="a" * 17_000).status == 413


def test_the_cookie_cannot_be_read_by_scripts_or_sent_by_other_sites(site):
    answer = site.post_form("/login", username="alice")
    attributes = answer.headers["Set-Cookie"].lower()
    assert "httponly" in attributes
    assert "samesite=lax" in attributes
    assert answer.headers["Location"] == "/"
    assert "secure" not in attributes  # HTTPS=1 is for servers with TLS
