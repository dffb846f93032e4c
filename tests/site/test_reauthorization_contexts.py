"""Reauthorization: the session, hooks and contexts that the authorizer finds."""

from __future__ import annotations

import datetime

import pytest
from flask import abort, g, redirect, session

from tests.site.reauthorizing import REVOKED, raising


def test_a_session_that_has_expired_is_empty(site):
    alice = site.connect()
    site.scheduler.advance(10)
    assert alice.closed is None
    site.app.permanent_session_lifetime = datetime.timedelta(seconds=-1)
    site.scheduler.advance(10)
    assert alice.closed == REVOKED


def test_the_default_authorizer_is_asked_too(site):
    site.protoo.authorizer = None
    alice = site.connect()
    site.scheduler.advance(10)
    assert alice.closed is None
    site.app.secret_key = "another one, so that nothing is signed"
    site.scheduler.advance(10)
    assert alice.closed == REVOKED


def test_handlers_go_on_finding_the_session_of_the_handshake(site):
    alice = site.connect()
    seen = []

    def change_session():
        session["username"] = "changed while asked again"
        return "alice", "a1"

    site.answers["alice"] = change_session
    site.scheduler.advance(10)
    alice.peer.context.run(lambda: seen.append(session["username"]))
    assert seen == ["alice"]


def test_what_the_site_does_before_a_request_is_done_before(site):
    banned = set()

    @site.app.before_request
    def load_user():
        g.user = None if session["username"] in banned else session["username"]

    site.answers["alice"] = lambda: g.user and (g.user, "a1")
    alice = site.connect()
    site.scheduler.advance(10)
    assert alice.closed is None
    banned.add("alice")
    site.scheduler.advance(10)
    assert alice.closed == REVOKED


@pytest.mark.parametrize(
    ("answer", "closed"),
    [
        (lambda: ("log in first", 401), REVOKED),
        (lambda: redirect("/login"), REVOKED),
        (lambda: abort(403), REVOKED),
        (lambda: ("we are busy", 503), None),
        (lambda: abort(429), None),
    ],
)
def test_what_the_site_does_before_a_request_may_refuse(site, answer, closed):
    alice = site.connect()
    # Flask 2.2 and 2.3 refuse @app.before_request once requests have come in.
    site.app.before_request_funcs[None] = [answer]
    site.scheduler.advance(10)
    assert alice.closed == closed
    assert site.asked == [("alice", 0)]


def test_what_the_site_puts_away_after_a_request_is_put_away(site):
    torn_down = []
    site.connect()

    site.app.teardown_request_funcs[None] = [torn_down.append]
    site.scheduler.advance(10)
    site.answers["alice"] = lambda: None
    site.scheduler.advance(10)
    # A refusal is an answer, not an error.
    assert torn_down == [None, None]


def test_a_refusal_counts_though_putting_away_fails(site, caplog):
    alice = site.connect()
    site.answers["alice"] = lambda: None
    site.app.teardown_request_funcs[None] = [lambda _: raising(OSError("in the teardown"))()]
    site.scheduler.advance(10)
    assert alice.closed == REVOKED
    assert "in the teardown" in caplog.text
