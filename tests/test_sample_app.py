"""The sample app's own rules, without a server: logins, and the limits of the tables."""

from __future__ import annotations

import time

import pytest

from .joining import join

pytest.importorskip("flask_sqlalchemy")

from sample_app import create_app, logins
from sample_app.calls import protoo
from sample_app.models import Login, db


@pytest.fixture
def app(tmp_path):
    uri = f"sqlite:///{tmp_path / 'chat.sqlite'}"
    app = create_app({"SQLALCHEMY_DATABASE_URI": uri, "SECRET_KEY": "of the tests"})
    yield app
    with app.app_context():
        protoo.close()
        db.session.remove()
        db.engine.dispose()


def log_in(app, username="alice", client=None):
    client = client or app.test_client()
    assert client.post("/login", data={"username": username}).status_code == 302
    return client


def is_let_in(client):
    """Whether the page of the chat and a handshake accept the cookie."""
    page, handshake = client.get("/").status_code, client.get("/protoo?uuid=a1").status_code
    assert (page, handshake) in [(200, 426), (302, 401)]
    return page == 200


def token_of(client):
    with client.session_transaction() as found:
        return found["login"]


def count_logins(app):
    with app.app_context():
        return len(db.session.execute(db.select(Login)).all())


def open_page(app, username, login, uuid="a1"):
    """Let a page in whose handshake was authorized with this login. Returns its link."""
    return join(app, username, uuid, {"login": login})._link


# Logins


def test_a_page_that_was_connecting_during_the_logout_is_closed(app):
    client = log_in(app)
    token = token_of(client)
    assert open_page(app, "alice", token, "a1").closed is None
    client.post("/logout")
    link = open_page(app, "alice", token, "a2")  # authorized before the logout
    assert link.closed == (3001, "logged out")


def test_a_login_is_valid_for_its_user_only(app):
    client = log_in(app)
    with client.session_transaction() as found:
        found["username"] = "bob"
    assert not is_let_in(client)


@pytest.mark.parametrize("token", [None, 7, "", ["x"], "%", "0" * 32])
def test_a_session_with_another_token_is_no_login(app, token):
    client = log_in(app)
    with client.session_transaction() as found:
        found["login"] = token
    assert not is_let_in(client)


def test_a_login_ends_after_the_lifetime_of_a_session(app, monkeypatch):
    client = log_in(app)
    lifetime = app.permanent_session_lifetime.total_seconds()
    began = time.time()
    with app.app_context():
        token = token_of(client)
        monkeypatch.setattr(logins.time, "time", lambda: began + lifetime - 1)
        assert logins.is_valid("alice", token)
        monkeypatch.setattr(logins.time, "time", lambda: began + lifetime + 1)
        assert not logins.is_valid("alice", token)
    log_in(app, "bob")
    assert count_logins(app) == 1, "the expired login is still in the table"


def test_the_oldest_login_of_a_user_ends_for_one_too_many(app):
    other = log_in(app, "bob")
    clients = [log_in(app) for _ in range(logins.MAX_LOGINS)]
    link = open_page(app, "alice", token_of(clients[0]))
    assert all(map(is_let_in, clients))
    clients.append(log_in(app))
    assert [is_let_in(client) for client in clients] == [False] + [True] * logins.MAX_LOGINS
    assert link.closed == (3001, "logged out")
    assert is_let_in(other)
    assert count_logins(app) == logins.MAX_LOGINS + 1


def test_logging_in_again_makes_a_new_token_and_ends_the_old_one(app):
    client = log_in(app)
    before = token_of(client)
    log_in(app, client=client)
    assert token_of(client) != before
    assert count_logins(app) == 1
