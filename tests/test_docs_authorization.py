"""docs/authorization.md tells the truth: its recipes run, and do what it says."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import g, session
from flask_login import LoginManager, UserMixin, login_user, logout_user

from protoo_flask.core.peers.directory import Identity
from protoo_flask.site.contexts import HandshakeContext

from .fakes import FakeLink, FakeScheduler
from .joining import join

PAGE = (Path(__file__).parent.parent / "docs" / "authorization.md").read_text(encoding="utf-8")

BLOCK = re.compile(r"(?:<!-- recipe: (?P<name>.+?) -->\n)?```python\n(?P<source>.*?)```", re.DOTALL)
RECIPES = {block["name"]: block["source"] for block in BLOCK.finditer(PAGE)}

WELCOME = 426
REVOKED = (3001, "authorization revoked")


@pytest.fixture
def make_app():
    protoos = []

    def make_app(*names, config=None, **known):
        """Make the app of some recipes, which already know some names."""
        namespace = {"__name__": "site"}
        exec(compile(RECIPES[None], "docs/authorization.md", "exec"), namespace)
        app, protoo = namespace["app"], namespace["protoo"]
        app.secret_key = "secret"
        app.config.update(config or {})
        namespace.update(known)
        for name in names:
            exec(compile(RECIPES[name], f"docs/authorization.md: {name}", "exec"), namespace)
        protoo.init_app(app)
        protoos.append(protoo)

        @app.get("/login/<username>")
        def login(username):
            session["username"] = username
            return "welcome"

        return app

    yield make_app
    for protoo in protoos:
        protoo.close()


def knock(app, client=None):
    """Ask whether a handshake would be welcome."""
    return (client or app.test_client()).get("/protoo?uuid=a1")


def make_members(app):
    """Add Flask-Login; returns the users, which a test may change."""
    users = {"7": UserMixin()}
    users["7"].id = "7"
    LoginManager(app).user_loader(users.get)

    @app.get("/login-7")
    def login_7():
        login_user(users["7"])
        return "welcome"

    @app.get("/logout-7")
    def logout_7():
        logout_user()
        return "goodbye"

    return users


def test_every_recipe_is_one_that_is_tested():
    assert set(RECIPES) == {
        None,
        "authorizer",
        "ban",
        "flask-login",
        "flask-login-key",
        "flask-login-logout",
        "flask-session",
        "interval",
        "logout",
    }


def test_by_default_every_user_that_has_logged_in_may_connect(make_app):
    app = make_app()
    client = app.test_client()
    answer = knock(app)
    assert (answer.status_code, answer.get_data(as_text=True)) == (403, "not logged in")
    client.get("/login/alice")
    assert knock(app, client).status_code == WELCOME


@pytest.mark.parametrize(
    ("user", "status", "text"),
    [
        (None, 401, "log in first"),
        (SimpleNamespace(banned=True), 403, "not authorized"),
        (SimpleNamespace(banned=False, name="alice", is_admin=True), WELCOME, ""),
    ],
)
def test_an_authorizer_of_ones_own(make_app, user, status, text):
    app = make_app("authorizer")

    @app.before_request
    def load_user():
        g.user = user

    answer = knock(app)
    assert answer.status_code == status
    assert text in answer.get_data(as_text=True)


def test_a_user_of_flask_login_by_a_setting(make_app):
    app = make_app("flask-login-key")
    make_members(app)
    client = app.test_client()
    assert knock(app, client).status_code == 403
    client.get("/login-7")
    assert knock(app, client).status_code == WELCOME


def test_a_user_of_flask_login_by_an_authorizer(make_app):
    app = make_app("flask-login")
    users = make_members(app)
    client = app.test_client()
    assert knock(app, client).status_code == 401
    client.get("/login-7")
    assert knock(app, client).status_code == WELCOME
    del users["7"]
    assert knock(app, client).status_code == 401


def test_logging_out_with_flask_login(make_app):
    app = make_app("flask-login", "flask-login-logout")
    make_members(app)
    client = app.test_client()
    client.get("/login-7")
    tabs = [join(app, "7", uuid).peer.link for uuid in ("a1", "a2")]
    other = join(app, "8", "b1").peer.link
    client.get("/logout-7")
    assert [tab.closed for tab in tabs] == [REVOKED, REVOKED]
    assert other.closed is None


def test_logging_out(make_app):
    app = make_app("logout")
    client = app.test_client()
    client.get("/login/alice")
    tabs = [join(app, "alice", uuid).peer.link for uuid in ("a1", "a2")]
    other = join(app, "bob").peer.link
    for _ in range(2):
        assert client.post("/logout").status_code in (302, 303)
    assert [tab.closed for tab in tabs] == [REVOKED, REVOKED]
    assert other.closed is None


def test_banning(make_app):
    app = make_app("ban", banned=set())
    alice, admin = app.test_client(), app.test_client()
    alice.get("/login/alice")
    with admin.session_transaction() as changed:
        changed["is_admin"] = True
    assert knock(app, alice).status_code == WELCOME
    link = join(app, "alice").peer.link
    assert alice.post("/ban/alice").status_code == 403
    assert link.closed is None
    assert admin.post("/ban/alice").status_code == 204
    assert link.closed == REVOKED
    assert knock(app, alice).status_code == 403


def test_the_interval_is_a_setting(make_app):
    assert make_app("interval").extensions["protoo"].settings.reauthorize_interval == 60


# "filesystem" is what the last Flask-Session for Flask 2.0 has; the newest warns of it.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:flask_session")
def test_a_session_on_the_server_ends_its_connections(make_app, tmp_path):
    files = {"SESSION_TYPE": "filesystem", "SESSION_FILE_DIR": str(tmp_path)}
    app = make_app("flask-session", config=files)
    door, scheduler = app.extensions["protoo"], FakeScheduler()
    application = door.open(scheduler)
    clients = {name: app.test_client() for name in ("home", "work")}
    links = {}
    for name, client in clients.items():
        cookie = client.get("/login/alice").headers["Set-Cookie"].split(";")[0]
        with app.test_request_context("/protoo", headers={"Cookie": cookie}) as context:
            kept = HandshakeContext(app, context.request, context.session)
        links[name] = FakeLink()
        inbox = application.connect(Identity("alice", name), links[name], kept)
        door.service.reauthorization.watch(inbox.peer)
    scheduler.advance(30)
    assert [link.closed for link in links.values()] == [None, None]
    assert clients["home"].post("/logout").status_code in (302, 303)
    scheduler.advance(30)
    assert (links["home"].closed, links["work"].closed) == (REVOKED, None)
