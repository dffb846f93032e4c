"""The header that marks the answers of the route, and says whether a client may try again."""

from __future__ import annotations

import pytest
from flask import Flask, abort, redirect, session

from protoo_flask import Protoo, Reject
from protoo_flask.site.views import VERDICT


@pytest.fixture
def app():
    app = Flask("site")
    app.secret_key = "of the tests"
    return app


def ask(app, path="/protoo", username=None, **headers):
    """Return the status of a plain GET and its verdict."""
    client = app.test_client()
    if username:
        with client.session_transaction() as login:
            login["username"] = username
    with client.get(path, headers=headers) as answer:
        return answer.status_code, answer.headers.get(VERDICT)


def test_a_user_of_the_site_is_welcome(app):
    Protoo(app)

    assert ask(app, username="alice") == (426, "welcome")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418, 451])
@pytest.mark.parametrize("how", ["reject", "abort"])
def test_a_refusal_for_good_says_so(app, how, status):
    protoo = Protoo(app)

    @protoo.authorize
    def authorize():
        if how == "abort":
            abort(status)
        raise Reject(status, "no")

    assert ask(app) == (status, "refused")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_an_answer_about_the_moment_asks_the_client_to_try_again(app, status):
    protoo = Protoo(app)

    @protoo.authorize
    def authorize():
        raise Reject(status, "not now")

    assert ask(app) == (status, "later")


def test_an_error_of_the_authorizer_may_be_gone_later(app):
    protoo = Protoo(app)

    @protoo.authorize
    def authorize():
        raise RuntimeError("the database is down")

    assert ask(app) == (500, "later")


def test_a_site_that_shuts_down_is_there_again_later(app):
    protoo = Protoo(app)
    protoo.close()

    assert ask(app, username="alice") == (503, "later")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda: redirect("/login"), (302, "refused")),
        (lambda: "<form>log in</form>", (200, "refused")),
        (lambda: abort(401), (401, "refused")),
        (lambda: abort(503), (503, "later")),
        (lambda: None, (426, "welcome")),
    ],
    ids=["redirect", "login page", "abort", "maintenance", "nothing"],
)
def test_answers_of_a_before_request_function_are_marked_too(app, answer, expected):
    Protoo(app).authorize(lambda: ("alice", None))
    app.before_request(answer)

    assert ask(app) == expected


def test_a_page_of_an_error_handler_is_marked_too(app):
    Protoo(app)
    app.register_error_handler(401, lambda error: ("<h1>Log in</h1>", 401))

    @app.before_request
    def require_login():
        if "username" not in session:
            abort(401)

    assert ask(app) == (401, "refused")


def test_a_handshake_with_mistakes_is_marked(app):
    Protoo(app)

    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    assert ask(app, username="alice", **headers) == (426, "refused")


def test_other_routes_of_the_site_are_not_marked(app):
    Protoo(app)
    app.add_url_rule("/", "index", lambda: "hello")

    assert ask(app, "/") == (200, None)
    assert ask(app, "/nowhere") == (404, None)
    assert ask(app, "/protoo/protoo.js") == (200, None)
    assert ask(app, "/protoo/nothing.js") == (404, None)


@pytest.mark.parametrize(
    "answer",
    [lambda: None, lambda: redirect("/login"), lambda: "log in", lambda: abort(401)],
    ids=["nothing", "redirect", "login page", "abort"],
)
def test_a_page_of_an_allowed_origin_may_read_the_verdict_whoever_gives_it(app, answer):
    Protoo(app, allowed_origins=["https://partner.example"])
    app.before_request(answer)

    answer = app.test_client().get("/protoo", headers={"Origin": "https://partner.example"})

    # Without the first, a script sees no answer at all, and none of a redirect.
    assert answer.headers["Access-Control-Allow-Origin"] == "https://partner.example"
    assert VERDICT in answer.headers["Access-Control-Expose-Headers"]


def test_a_page_of_another_origin_may_not_read_it(app):
    Protoo(app, allowed_origins=["https://partner.example"])
    app.before_request(lambda: "log in")

    answer = app.test_client().get("/protoo", headers={"Origin": "https://evil.example"})

    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_page_of_any_origin_may_load_the_modules_of_the_client(app):
    Protoo(app)

    with app.test_client().get("/protoo/protoo-call.mjs") as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
