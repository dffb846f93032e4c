"""Limits on connections and handshakes, in one process, with a clock by hand."""

from __future__ import annotations

import pytest
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from protoo_flask import Protoo, Reject
from protoo_flask.core.errors import UsageError
from protoo_flask.core.observer import Observer
from protoo_flask.testing import Refused, finish
from protoo_flask.transport.closing_links import ClosingLinks

HERE = "127.0.0.1"


class Refusals(Observer):
    def __init__(self):
        self.told = []

    def limited(self, limit, peer):
        self.told.append((limit, peer))


class Site:
    """An app with a Protoo, which is given its settings."""

    def __init__(self, **settings):
        self.app = Flask("site")
        self.app.secret_key = "of the tests"
        self.protoo = Protoo(self.app, **settings)
        self.live = self.app.extensions["protoo"]
        self.observer = self.live.observer = Refusals()

    def connect(self, username, uuid="1", **options):
        client = self.app.test_client()
        return self.protoo.test_client(client, username=username, uuid=uuid, **options)

    def refuse(self, username, uuid="1", **options):
        with pytest.raises(Refused) as refused:
            self.connect(username, uuid, **options)
        return refused.value.status, refused.value.reason

    def count(self):
        return self.live.handshake_limits.connections.count(HERE)

    def told(self):
        assert {peer for _, peer in self.observer.told} <= {None}
        return [limit for limit, _ in self.observer.told]


@pytest.fixture
def make_site():
    sites = []

    def make(**settings):
        sites.append(Site(**settings))
        return sites[-1]

    yield make
    for site in sites:
        finish(site.app)
        if site.live.handshake_limits.connections is not None:
            assert len(site.live.handshake_limits.connections) == 0


FULL = (429, "too many connections from your address")


def test_without_a_limit_nothing_is_counted(make_site):
    site = make_site()
    site.connect("alice")
    assert site.live.handshake_limits.connections is None
    assert type(site.live.service.closing_links) is ClosingLinks


@pytest.mark.parametrize("setting", ["max_connections_per_address", "handshakes_per_process"])
@pytest.mark.parametrize("value", [0, -1, True, "10"])
def test_a_limit_that_cannot_work_is_refused_when_the_site_is_made(setting, value):
    with pytest.raises(UsageError, match=rf"PROTOO_{setting.upper()} is a positive .* no limit"):
        Protoo(Flask("site"), **{setting: value})


def test_connections_are_whole():
    with pytest.raises(UsageError, match="is a positive whole number of connections, or None"):
        Protoo(Flask("site"), max_connections_per_address=2.5)


@pytest.mark.parametrize("name", ["max_connections_per_ip", "limit_conn"])
def test_the_names_that_others_use_are_explained(name):
    with pytest.raises(UsageError, match="did you mean 'max_connections_per_address'"):
        Protoo(Flask("site"), **{name: 5})


def test_one_too_many_is_refused_until_another_one_has_left(make_site, caplog):
    site = make_site(max_connections_per_address=2)
    alice = site.connect("alice")
    site.connect("bob")
    assert [site.refuse("carol"), site.refuse("dave")] == [FULL, FULL]
    # The test client asks for the reason by a plain request, which is refused, too.
    assert set(site.told()) == {"connections_of_address"}
    assert len([line for line in caplog.messages if "2 connections" in line]) == 1
    alice.close()
    assert site.count() == 1
    site.connect("carol")


def test_two_apps_of_a_process_count_for_themselves(make_site):
    first, second = (make_site(max_connections_per_address=1) for _ in range(2))
    first.connect("alice")
    second.connect("alice")
    assert first.refuse("bob") == FULL


def test_a_device_whose_connection_broke_unnoticed_is_let_in_again(make_site):
    site = make_site(max_connections_per_address=1)
    alice = site.connect("alice")
    for _ in range(3):
        alice.drop(silently=True)
        assert site.count() == 1
        alice.reconnect()
    assert site.count() == 1
    assert site.refuse("bob") == FULL


def test_a_peer_that_is_away_has_no_place(make_site):
    site = make_site(max_connections_per_address=1, disconnect_grace_period=60)
    alice = site.connect("alice")
    alice.drop()
    assert site.count() == 0
    site.connect("bob")
    with pytest.raises(Refused) as refused:
        alice.reconnect()
    assert refused.value.status == 429
    alice.close()


def test_a_disconnected_user_has_no_places(make_site):
    site = make_site(max_connections_per_address=2)
    site.connect("alice")
    site.connect("alice", "2")
    assert site.protoo.disconnect("alice") == 2
    assert site.count() == 0


@pytest.mark.parametrize("is_first", [True, False], ids=["before", "after"])
def test_a_proxy_may_be_told_of_before_and_after_the_extension(make_site, is_first):
    app = Flask("site")
    app.secret_key = "of the tests"
    if is_first:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)
    protoo = Protoo(app, max_connections_per_address=1)
    if not is_first:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)
    for n in range(3):
        headers = {"X-Forwarded-For": f"192.0.2.{n}"}
        protoo.test_client(app.test_client(), username=f"user{n}", headers=headers)
    connections = app.extensions["protoo"].handshake_limits.connections
    assert [connections.count(f"192.0.2.{n}") for n in range(3)] == [1, 1, 1]
    with pytest.raises(Refused):
        protoo.test_client(app.test_client(), username="late", headers=headers)
    finish(app)
    assert len(connections) == 0


def test_a_response_that_is_thrown_away_gives_its_place_back(make_site):
    site = make_site(max_connections_per_address=1)

    @site.app.after_request
    def throw_away(response):
        return site.app.response_class("no", 418) if response.status_code == 101 else response

    for _ in range(3):
        assert site.refuse("alice")[0] == 418
        assert site.count() == 0


def test_a_process_takes_so_many_handshakes(make_site, caplog):
    site = make_site(handshakes_per_process=2)
    site.connect("alice")
    site.connect("bob")
    assert site.refuse("carol") == (503, "too many handshakes")
    assert set(site.told()) == {"handshakes_of_process"}
    assert len([line for line in caplog.messages if "PROTOO_HANDSHAKES_PER_PROCESS" in line]) == 1
    site.protoo.test_clock.advance(0.5)
    site.connect("carol")
    assert site.refuse("dave")[0] == 503


def test_a_device_too_many_is_counted_and_logged_once(make_site, caplog):
    site = make_site(max_peers_per_user=1)
    site.connect("alice")
    for uuid in "23":
        assert site.refuse("alice", uuid)[0] == 429
    assert set(site.told()) == {"devices"}
    line = "a handshake is refused for now: alice is connected from 1 devices already, which is "
    assert caplog.messages == [f"{line}the limit (PROTOO_MAX_PEERS_PER_USER)"]


def test_handshakes_of_a_user_are_counted(make_site):
    site = make_site(handshakes_per_user=0.1)
    site.connect("alice")
    assert site.refuse("alice")[0] == 429
    assert set(site.told()) == {"handshakes_of_user"}


# Refusals of the site ----------------------------------------------------------------------


def test_a_refusal_of_the_authorizer_may_tell_when_to_come_back(make_site):
    site = make_site()

    @site.protoo.authorize
    def authorize():
        raise Reject(503, "at night", retry_after=0.4)

    with site.app.test_client().get("/protoo") as answer:
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_a_refusal_of_a_handler_may_tell_it_too(make_site):
    site = make_site()

    class Strange(Reject):
        retry_after = "tomorrow"

    @site.protoo.get("/:how")
    def answer(req, next):
        if req.params["how"] == "strange":
            raise Strange(429, "not so fast")
        raise Reject(429, "not so fast", retry_after=2.341)

    alice = site.connect("alice")
    told = alice.request("get", "/usual")
    assert (told.status, told.reason, told.data) == (429, "not so fast", {"retryAfter": 2.35})
    assert alice.request("get", "/strange").data == {}


@pytest.mark.parametrize("value", [0, -1, True, "5", float("inf"), float("nan")])
def test_seconds_that_nobody_can_wait_are_refused(value):
    with pytest.raises(UsageError, match="a positive number of seconds, or None, not"):
        Reject(429, "no", retry_after=value)


@pytest.mark.parametrize("status", [403, 418])
def test_a_site_with_a_wsgi_app_of_its_own_loses_no_places(make_site, status):
    site = make_site(max_connections_per_address=1)
    site.app.wsgi_app = site.app.__class__.wsgi_app.__get__(site.app)  # past the entrance

    @site.app.after_request
    def throw_away(response):
        thrown = status == 418 and response.status_code == 101
        return site.app.response_class("no", status) if thrown else response

    for _ in range(3):
        assert site.refuse("alice" if status == 418 else None)[0] == status
        assert site.count() == 0
