"""The Flask contexts that code of a site runs in after the handshake."""

from __future__ import annotations

import io

import pytest
from flask import (
    Flask,
    current_app,
    g,
    has_app_context,
    has_request_context,
    request,
    session,
    url_for,
)
from flask.sessions import SecureCookieSession, SessionInterface

from protoo_flask.site.contexts import HandshakeContext


@pytest.fixture
def app():
    app = Flask("site")
    app.secret_key = "secret"
    app.torn_down = []

    @app.get("/page")
    def page():
        return ""

    @app.teardown_request
    def note_request(error):
        app.torn_down.append(("request", error))

    @app.teardown_appcontext
    def note_app_context(error):
        app.torn_down.append(("app", error))

    return app


@pytest.fixture(params=["run", "run_fully"], autouse=True)
def both_ways(request, monkeypatch):
    """Have every test run by the short way, and by its slow twin."""
    monkeypatch.setattr(HandshakeContext, "run", getattr(HandshakeContext, request.param))


class Store(SessionInterface):
    """Sessions that the server keeps, by the id in a cookie."""

    def __init__(self, **sessions):
        self.sessions = sessions

    def open_session(self, app, request):
        return SecureCookieSession(self.sessions[request.cookies["sid"]])

    def save_session(self, app, session, response):
        raise AssertionError("there is no response to save a session with")


def make_context(app, **environ):
    """Return the context of a handshake that is over."""
    headers = {"X-Agent": "tests", "Cookie": "sid=1a2b"}
    with app.test_request_context(
        "/protoo?uuid=a1", headers=headers, environ_overrides=environ
    ) as context:
        session["username"] = "alice"
        kept = HandshakeContext(app, context.request, context.session)
    app.torn_down.clear()
    return kept


def test_the_request_and_the_session_are_those_of_the_handshake(app):
    seen = []

    def look(*args):
        seen.append((args, request.path, request.args["uuid"], request.headers["X-Agent"]))
        seen.append((session["username"], current_app.name, url_for("page")))

    make_context(app).run(look, 1, 2)

    assert seen == [((1, 2), "/protoo", "a1", "tests"), ("alice", "site", "/page")]


def test_nothing_is_left_active(app):
    make_context(app).run(lambda: None)

    assert not has_request_context()
    assert not has_app_context()


def test_g_is_fresh_and_each_teardown_runs_once(app):
    context = make_context(app)
    seen = []
    for _ in range(2):
        context.run(lambda: seen.append(g.setdefault("count", len(seen))))

    assert seen == [0, 1]
    assert app.torn_down == 2 * [("request", None), ("app", None)]


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_passes_through_and_is_told_to_the_teardown_functions(app, debug):
    app.debug = debug
    error = ValueError("no")

    def fail():
        raise error

    with pytest.raises(ValueError, match="no"):
        make_context(app).run(fail)

    assert app.torn_down == [("request", error), ("app", error)]
    assert not has_request_context()


def test_a_teardown_that_fails_is_an_error_too(app):
    context = make_context(app)

    @app.teardown_request
    def fail(error):
        raise ValueError("in the teardown")

    with pytest.raises(ValueError, match="in the teardown"):
        context.run(lambda: None)
    assert not has_request_context()


def test_code_inside_a_run_may_start_another(app):
    inner = make_context(app)
    seen = []

    def look():
        inner.run(lambda: seen.append(request.path))
        seen.append(request.args["uuid"])

    make_context(app).run(look)

    assert seen == ["/protoo", "a1"]


def test_what_belongs_to_the_server_is_not_kept(app):
    buffers = {"wsgi.input": io.BytesIO(b"x"), "wsgi.input_terminated": True}
    ours = {"gunicorn.socket": 1, "werkzeug.socket": 2, "gevent.server": 3}
    seen = []

    make_context(app, **buffers, **ours, **{"site.own": 4}).run(
        lambda: seen.append(dict(request.environ))
    )

    (environ,) = seen
    assert not set(ours) & set(environ)
    assert environ["site.own"] == 4
    assert environ["wsgi.input"].read() == b""
    assert "wsgi.input_terminated" not in environ


# As if the handshake came now


def test_a_session_is_opened_anew_and_the_old_one_stays_what_it_was(app):
    app.session_interface = store = Store(**{"1a2b": {}})
    context = make_context(app)
    seen = []

    store.sessions["1a2b"] = {"username": "bob"}
    context.run_anew(lambda: seen.append(dict(session)))
    store.sessions["1a2b"] = {}
    context.run_anew(lambda: seen.append(dict(session)))
    context.run(lambda: seen.append(dict(session)))

    assert seen == [{"username": "bob"}, {}, {"username": "alice"}]


def test_the_request_equals_that_of_the_handshake_and_is_another(app):
    context = make_context(app, **{"site.own": 4})
    seen = []

    def look(*args):
        request.user = "cached by the site"
        seen.append((args, request.path, request.args["uuid"], request.headers["X-Agent"]))
        seen.append((request.endpoint, request.environ["site.own"], request.get_data()))

    with app.test_request_context("/page") as page:
        HandshakeContext(app, page.request, page.session).run_anew(
            lambda: seen.append((request.endpoint, request.view_args))
        )
    context.run_anew(look, 1, 2)
    context.run(lambda: seen.append(hasattr(request, "user")))

    assert seen == [
        ("page", {}),
        ((1, 2), "/protoo", "a1", "tests"),
        (None, 4, b""),
        False,
    ]


def test_teardown_functions_run_once_after_each_time_anew(app):
    context = make_context(app)
    context.run_anew(lambda: None)
    assert app.torn_down == [("request", None), ("app", None)]

    error = ValueError("no")

    def fail():
        raise error

    with pytest.raises(ValueError, match="no"):
        context.run_anew(fail)
    assert app.torn_down[2:] == [("request", error), ("app", error)]
    assert not has_request_context()


def test_a_session_that_cannot_be_opened_leaves_nothing_active(app):
    app.session_interface = store = Store(**{"1a2b": {}})
    context = make_context(app)
    store.sessions.clear()

    with pytest.raises(KeyError, match="1a2b"):
        context.run_anew(lambda: None)

    assert [what for what, _ in app.torn_down] == ["request", "app"]
    assert not has_request_context()
    assert not has_app_context()


def environ_of(kept):
    """Return the environ that messages of a handshake see."""
    seen = []
    kept.run(lambda: seen.append(dict(request.environ)))
    return seen[0]


def test_equal_headers_of_two_clients_are_kept_once(app):
    # Made at run time: equal literals are the same object anyway.
    agents = ["-".join(["Mozilla", "5.0", "of", "both"]) for _ in range(2)]
    one, other = [environ_of(make_context(app, HTTP_USER_AGENT=agent)) for agent in agents]

    assert agents[0] is not agents[1]
    assert one["HTTP_USER_AGENT"] == agents[0]
    assert one["HTTP_USER_AGENT"] is other["HTTP_USER_AGENT"]


def test_what_a_client_has_for_itself_is_kept_as_it_is(app):
    kept = environ_of(make_context(app, HTTP_X_LONG="x" * 5000, **{"HTTP_X.DOTTED": "y"}))

    assert kept["HTTP_COOKIE"] == "sid=1a2b"
    assert kept["QUERY_STRING"] == "uuid=a1"
    assert kept["HTTP_X_LONG"] == "x" * 5000
    assert kept["HTTP_X.DOTTED"] == "y"


def test_a_teardown_function_that_is_a_coroutine_is_run_as_flask_runs_it(monkeypatch):
    site = Flask("site")
    site.secret_key, site.torn_down = "secret", []
    monkeypatch.setattr(
        site, "async_to_sync", lambda function: lambda error: run_to_its_end(function(error))
    )
    context = make_context(site)

    @site.teardown_appcontext
    async def tear_down(error):
        site.torn_down.append(error)

    context.run(lambda: None)
    assert site.torn_down == [None]


def run_to_its_end(coroutine):
    # Without an event loop: where the tests in a browser ran before, one runs in this thread.
    with pytest.raises(StopIteration):
        coroutine.send(None)


def test_a_teardown_function_may_be_a_method_or_any_callable():
    site = Flask("site")
    site.secret_key, site.torn_down = "secret", []
    context = make_context(site)
    site.teardown_appcontext(site.torn_down.append)
    site.teardown_appcontext(Extension(site).close)

    context.run(lambda: None)
    assert site.torn_down == ["closed", None]


class Extension:
    __hash__ = None  # as of a dataclass

    def __init__(self, site):
        self.site = site

    def close(self, error):
        self.site.torn_down.append("closed")
