"""The kit in suites of sites: factories, logins, sessions on the server, databases."""

from __future__ import annotations

import gc
import weakref

import gevent
import pytest
from flask import Flask, g, session

from protoo_flask import Protoo
from protoo_flask.core.errors import UsageError
from protoo_flask.testing import Refused, finish


def make_factory():
    """Return a factory of apps that share a Protoo of a module."""
    protoo = Protoo()

    @protoo.get("/whoami")
    def whoami(req, next):
        req.reply(200, "OK", {"username": session["username"], "app": id(req.peer.runtime)})

    def create_app():
        app = Flask("site")
        app.secret_key = "of the tests"
        protoo.init_app(app)
        return app

    return protoo, create_app


def test_an_app_for_each_test():
    protoo, create_app = make_factory()
    seen = set()
    for _ in range(3):
        app = create_app()
        with protoo.test_client(app.test_client(), username="alice", uuid="phone") as alice:
            seen.add(alice.request("get", "/whoami").data["app"])
            assert len(app.extensions["protoo"].peers()) == 1
    assert len(seen) == 3


def test_two_apps_at_once_have_clocks_and_peers_of_their_own():
    protoo, create_app = make_factory()
    first, second = create_app(), create_app()
    one = protoo.test_client(first.test_client(), username="alice", uuid="phone")
    two = protoo.test_client(second.test_client(), username="alice", uuid="phone")
    assert one.peer is not two.peer
    assert one.is_connected
    assert two.is_connected
    with pytest.raises(UsageError, match="serves several apps"):
        _ = protoo.test_clock
    one.drop()
    with first.app_context():
        before = protoo.test_clock.now
        protoo.test_clock.advance(100)
        assert protoo.test_clock.now == before + 100
    two.expect_nothing()
    with second.app_context():
        assert protoo.test_clock.now < before + 100
    finish(first)
    finish(second)


def test_an_app_that_a_test_has_dropped_is_deleted():
    protoo, create_app = make_factory()
    app = create_app()
    protoo.test_client(app.test_client(), username="alice").request("get", "/whoami")
    protoo.close()
    protoo.test_clock.settle()
    app = weakref.ref(app)
    gc.collect()
    assert app() is None


def test_a_suite_that_holds_an_app_context_around_each_test():
    protoo, create_app = make_factory()
    app = create_app()

    @protoo.on("online")
    def look(peer):
        found.append(g.get("of_the_test"))

    found = []
    with app.app_context():
        g.of_the_test = "seen"
        with protoo.test_client(username="alice") as alice:
            assert alice.request("get", "/whoami").status == 200
        assert protoo.peers() == []
        assert g.of_the_test == "seen"
    assert found == [None], "a message has contexts of its own, as in production"


def test_a_client_of_flask_that_keeps_its_contexts():
    protoo, create_app = make_factory()
    app = create_app()
    with app.test_client() as browser:
        browser.get("/")
        with protoo.test_client(browser, username="alice", uuid="phone") as alice:
            assert session["username"] == "alice"
            assert alice.request("get", "/whoami").data["username"] == "alice"


@pytest.mark.parametrize("keeps_contexts", [False, True])
@pytest.mark.parametrize("way", ["app_context", "test_request_context"])
def test_a_handshake_has_a_g_of_its_own_also_in_a_suite_that_holds_a_context(way, keeps_contexts):
    protoo, create_app = make_factory()
    app = create_app()
    seen = []

    @app.before_request
    def look_up_the_user():
        if "user" not in g:  # as Flask-Login does
            g.user = session.get("username")

    @app.teardown_appcontext
    def note_the_end(error):
        seen.append(g.get("user"))

    @protoo.authorize
    def authorize():
        return None if g.user is None else (g.user, None)

    with getattr(app, way)():
        browsers = [app.test_client() for _ in range(3)]
        for browser, name in zip(browsers, ("alice", "bob")):
            with browser.session_transaction() as found:
                found["username"] = name
            browser.get("/")  # Flask puts its user into the g of the test
        alice = protoo.test_client(browsers[0])
        if keeps_contexts:
            browsers[1].__enter__()
            browsers[1].get("/")
        bob = protoo.test_client(browsers[1])
        assert (alice.username, bob.username) == ("alice", "bob")
        if keeps_contexts:
            assert session["username"] == "bob"
        with pytest.raises(Refused):
            protoo.test_client(browsers[2])
        assert "alice" in seen, "the context of the handshake has ended"
        if keeps_contexts:
            browsers[1].__exit__(None, None, None)
        assert g.user == "alice"
        finish(app)


def test_a_view_that_asks_a_client_runs_in_a_greenlet_of_the_test():
    protoo, create_app = make_factory()
    app = create_app()
    app.testing = True

    @app.get("/ask")
    def ask():
        response = protoo.peers("alice")[0].request("question")
        return str(response.status)

    alice = protoo.test_client(username="alice")
    browser = app.test_client()
    view = gevent.spawn(browser.get, "/ask")
    alice.expect_request("question").reply(204)
    assert view.get().data == b"204"
    with pytest.raises(UsageError, match=r"Call it in a greenlet: view = gevent\.spawn\("):
        browser.get("/ask")
    alice.expect_request("question").reply(204)
    finish(app)


def test_flask_login(tmp_path):
    flask_login = pytest.importorskip("flask_login")
    app = Flask("site")
    app.secret_key = "of the tests"
    protoo = Protoo(app)
    manager = flask_login.LoginManager(app)

    class User(flask_login.UserMixin):
        def __init__(self, id):
            self.id = id

    manager.user_loader(User)

    @app.post("/login/<name>")
    def log_in(name):
        flask_login.login_user(User(name))
        return ""

    @protoo.authorize
    def authorize():
        user = flask_login.current_user
        return (user.get_id(), None) if user.is_authenticated else None

    @protoo.get("/me")
    def me(req, next):
        req.reply(200, "OK", {"id": flask_login.current_user.get_id()})

    browser = app.test_client()
    with pytest.raises(Refused):
        protoo.test_client(browser)
    browser.post("/login/alice")
    with protoo.test_client(browser) as alice:
        assert alice.username == "alice"
        assert alice.request("get", "/me").data == {"id": "alice"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_flask_session(tmp_path):
    flask_session = pytest.importorskip("flask_session")
    app = Flask("site")
    app.config.update(
        SECRET_KEY="of the tests",
        SESSION_TYPE="filesystem",
        SESSION_FILE_DIR=str(tmp_path),
    )
    flask_session.Session(app)
    protoo = Protoo(app)

    @protoo.get("/cart")
    def cart(req, next):
        req.reply(200, "OK", {"cart": session["cart"]})

    @app.post("/login")
    def log_in():
        session.update(username="alice", cart=[1, 2])
        return ""

    browser = app.test_client()
    browser.post("/login")
    with protoo.test_client(browser) as alice:
        assert alice.request("get", "/cart").data == {"cart": [1, 2]}


def test_a_database_session_of_a_handler_goes_back_to_its_pool(tmp_path):
    sqlalchemy = pytest.importorskip("flask_sqlalchemy")
    app = Flask("site")
    app.secret_key = "of the tests"
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path / 'site.sqlite'}"
    app.config["SQLALCHEMY_TRACK_MODIFICATIONS"] = False
    db = sqlalchemy.SQLAlchemy(app)
    protoo = Protoo(app)

    class Note(db.Model):
        id = db.Column(db.Integer, primary_key=True)
        text = db.Column(db.String(100))

    @protoo.put("/notes")
    def put(req, next):
        db.session.add(Note(text=req.data["text"]))
        db.session.commit()
        gevent.sleep(0)  # another handler may run between
        req.reply(200, "OK", {"count": db.session.query(Note).count()})

    with app.app_context():
        db.create_all()
    clients = [protoo.test_client(username="alice", uuid=f"a{n}") for n in range(3)]
    sent = [client.send("put", "/notes", {"text": client.uuid}) for client in clients]
    assert {request.wait().data["count"] for request in sent} <= {1, 2, 3}
    with app.app_context():
        assert db.session.query(Note).count() == 3  # the test and the handlers see each other's
        db.session.remove()
        checked_out = getattr(db.engine.pool, "checkedout", None)  # an old one keeps none
        assert checked_out is None or checked_out() == 0
        db.engine.dispose()
    finish(app)
