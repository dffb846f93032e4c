"""The handshake of a test client is that of any client: headers, cookies, limits, refusals."""

from __future__ import annotations

import pytest
from flask import Flask, abort, redirect, request, session

from protoo_flask import Protoo, Reject
from protoo_flask.core.errors import UsageError
from protoo_flask.testing import ExpectationFailed, Refused, finish


def make_app(**options):
    app = Flask("site")
    app.secret_key = "of the tests"
    return app, Protoo(app, **options)


def test_nobody_who_has_not_logged_in():
    _, protoo = make_app()
    with pytest.raises(Refused, match="403: not logged in") as refused:
        protoo.test_client(uuid="phone")
    assert (refused.value.status, refused.value.reason) == (403, "not logged in")
    assert refused.value.response.status_code == 403
    assert protoo.peers() == []


def test_the_cookies_of_a_login_are_those_of_the_flask_client():
    app, protoo = make_app()

    @app.post("/login")
    def log_in():
        session["username"] = request.form["username"]
        return "welcome"

    browser = app.test_client()
    browser.post("/login", data={"username": "alice"})
    with protoo.test_client(browser, uuid="phone") as alice:
        assert (alice.username, alice.uuid) == ("alice", "phone")
    with protoo.test_client(browser, username="alice", uuid="phone"):
        pass
    with pytest.raises(UsageError, match="has logged in as 'alice'"):
        protoo.test_client(browser, username="bob")


def test_a_logout_is_noticed_when_the_device_comes_back():
    app, protoo = make_app(disconnect_grace_period=15)
    browser = app.test_client()
    alice = protoo.test_client(browser, username="alice", uuid="phone")
    alice.drop()
    with browser.session_transaction() as found:
        found.clear()
    with pytest.raises(Refused, match="not logged in"):
        alice.reconnect()
    assert alice.close_code == 1006
    finish(app)


@pytest.mark.parametrize(
    ("refuse", "status", "reason"),
    [
        (lambda: None, 403, "not authorized"),
        (lambda: abort(401), 401, "Unauthorized"),
    ],
)
def test_a_refusal_of_the_authorizer_has_its_status(refuse, status, reason):
    app, protoo = make_app()
    protoo.authorize(refuse)
    with pytest.raises(Refused) as refused:
        protoo.test_client(app.test_client())
    assert refused.value.status == status
    assert reason in refused.value.reason
    assert "the site has an authorizer: log in as a browser would" in str(refused.value)


def test_a_reject_has_its_reason_and_an_authorizer_its_data():
    _app, protoo = make_app()

    @protoo.authorize
    def authorize():
        if request.args["token"] != "right":
            raise Reject(402, "pay first")
        assert request.headers["X-Device"] == "fridge"
        return 7, request.args["uuid"], {"kind": "fridge"}

    with pytest.raises(Refused, match="402: pay first"):
        protoo.test_client(query={"token": "wrong"})
    headers = {"X-Device": "fridge"}
    client = protoo.test_client(uuid="f1", query={"token": "right"}, headers=headers)
    assert (client.username, client.uuid) == ("7", "f1")
    assert client.peer.data == {"kind": "fridge"}
    client.reconnect()
    assert client.is_connected
    client.close()


def test_a_redirect_to_the_login_page_is_a_refusal():
    app, protoo = make_app()

    @app.before_request
    def require_login():
        return redirect("/login")

    with pytest.raises(Refused, match="a WebSocket client follows no redirect") as refused:
        protoo.test_client(username="alice")
    assert refused.value.status == 302
    assert refused.value.response.headers["Location"].endswith("/login")


def test_the_origin_of_the_page_is_checked():
    _, protoo = make_app()
    with pytest.raises(Refused, match=r"403: origin http://evil\.example is not allowed"):
        protoo.test_client(username="alice", origin="http://evil.example")
    with protoo.test_client(username="alice", origin="http://localhost"):
        pass


def test_an_error_of_the_authorizer_is_raised_in_a_test():
    app, protoo = make_app()
    app.testing = True
    protoo.authorize(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        protoo.test_client()


def test_a_device_too_many_is_refused_for_now():
    _app, protoo = make_app(max_peers_per_user=1)
    first = protoo.test_client(username="alice", uuid="a1")
    with pytest.raises(Refused) as refused:
        protoo.test_client(username="alice", uuid="a2")
    assert refused.value.status == 429
    assert refused.value.response.headers["Retry-After"] == "50"
    first.close()
    with protoo.test_client(username="alice", uuid="a2"):
        pass


def test_limits_of_handshakes_go_by_the_clock_of_the_test():
    _app, protoo = make_app(handshakes_per_user=0.1)
    alice = protoo.test_client(username="alice", uuid="a1")
    with pytest.raises(Refused, match="429: too many handshakes"):
        alice.reconnect()
    assert alice.is_connected
    protoo.test_clock.advance(10)
    alice.reconnect()
    alice.close()


def test_handshakes_of_earlier_tests_do_not_count():
    app, protoo = make_app(handshakes_per_user=0.1)
    for _ in range(3):
        protoo.test_client(username="alice")
        with pytest.raises(Refused, match=r"clock of the test: protoo\.test_clock\.advance"):
            protoo.test_client(username="alice")
        finish(app)


def test_a_closed_app_is_shutting_down():
    _app, protoo = make_app()
    alice = protoo.test_client(username="alice")
    protoo.close()
    assert alice.expect_close(1001) == 1001
    with pytest.raises(Refused, match="503: shutting down"):
        protoo.test_client(username="alice")


def test_another_subprotocol_is_refused():
    _, protoo = make_app()
    with pytest.raises(Refused, match='400: the sub-protocol must be "protoo"'):
        protoo.test_client(username="alice", subprotocol="mqtt")


def test_cookies_of_the_handshake_reach_the_flask_client():
    app, protoo = make_app()

    @app.after_request
    def note(response):
        response.set_cookie("seen", "yes")
        return response

    @app.get("/seen")
    def seen():
        return request.cookies.get("seen", "no")

    browser = app.test_client()
    with protoo.test_client(browser, username="alice"):
        assert browser.get("/seen").data == b"yes"


def test_a_welcome_is_the_first_message():
    _app, protoo = make_app()
    with protoo.test_client(username="alice", uuid="phone", query={"welcome": "1"}) as alice:
        welcome = alice.expect_notification("welcome")
        assert welcome.data["username"] == "alice"


def test_a_user_who_was_disconnected_is_told_so():
    _app, protoo = make_app()
    alice = protoo.test_client(username="alice")
    assert protoo.disconnect("alice") == 1
    assert alice.expect_close() == 3001
    with pytest.raises(ExpectationFailed, match="it was closed with another code"):
        alice.expect_close(1000)


# Where the route is


def test_a_path_of_its_own_and_one_with_variables():
    _app, protoo = make_app(path="/live/<tenant>/ws")

    @protoo.authorize
    def authorize():
        return request.view_args["tenant"], "a1"

    with pytest.raises(UsageError, match="has variable parts"):
        protoo.test_client()
    with protoo.test_client(path="/live/acme/ws") as client:
        assert client.username == "acme"


@pytest.mark.parametrize("config", [{}, {"APPLICATION_ROOT": "/site"}])
def test_server_name_and_application_root(config):
    app = Flask("site")
    app.secret_key = "of the tests"
    app.config.update(SERVER_NAME="chat.example:8080", **config)
    protoo = Protoo(app)
    hosts = []

    @protoo.on("online")
    def note(peer):
        hosts.append((request.host, request.script_root))

    with protoo.test_client(app.test_client(), username="alice", origin="http://chat.example:8080"):
        pass
    assert hosts == [("chat.example:8080", config.get("APPLICATION_ROOT", ""))]


def test_a_subdomain():
    app = Flask("site", subdomain_matching=True)
    app.secret_key = "of the tests"
    app.config["SERVER_NAME"] = "example.org"
    app.config["SESSION_COOKIE_DOMAIN"] = "example.org"
    protoo = Protoo(app, subdomain="live")
    protoo.authorize(lambda: ("alice", "a1"))
    with pytest.raises(Refused, match="404"):
        protoo.test_client()
    with protoo.test_client(subdomain="live") as client:
        assert client.is_connected


def test_a_site_on_https():
    app, protoo = make_app()
    app.config["SESSION_COOKIE_SECURE"] = True
    with protoo.test_client(
        username="alice", base_url="https://chat.example", origin="https://chat.example"
    ) as alice:
        assert alice.is_connected
    with pytest.raises(Refused, match=r"origin http://chat\.example is not allowed"):
        protoo.test_client(
            username="alice", base_url="https://chat.example", origin="http://chat.example"
        )
    finish(app)


# The kit and production


def test_an_app_with_real_clients_is_not_taken_over():
    from protoo_flask.transport.threads.loop import ThreadLoop

    app, protoo = make_app()
    app.extensions["protoo"].open(ThreadLoop())
    with pytest.raises(UsageError, match="serves real clients in this process"):
        protoo.test_client(username="alice")
    with pytest.raises(UsageError, match="serves real clients in this process"):
        _ = protoo.test_clock


def test_a_clock_is_of_no_use_when_real_clients_have_come_after_it():
    from protoo_flask.transport.threads.loop import ThreadLoop

    app, protoo = make_app()
    protoo.test_clock.advance(1)
    app.extensions["protoo"].open(ThreadLoop())
    with pytest.raises(UsageError, match="serves real clients in this process"):
        protoo.test_clock.advance(1)


def test_a_view_of_a_real_server_cannot_stop_the_clock():
    app, protoo = make_app()
    environ = {"werkzeug.socket": object(), "SERVER_SOFTWARE": "Werkzeug/3"}
    with app.test_request_context("/", environ_base=environ):
        with pytest.raises(UsageError, match="this is a request of a real server"):
            _ = protoo.test_clock


def test_an_app_under_test_serves_no_other_clients():
    from tests.joining import HANDSHAKE

    _app, protoo = make_app()
    alice = protoo.test_client(username="alice")
    headers = dict(HANDSHAKE)
    response = alice.flask_client.get(
        "/protoo", headers=headers, environ_base={"werkzeug.socket": object()}
    )
    assert response.status_code == 503
    assert b"this app is under test" in response.data
    alice.close()


def test_a_cluster_is_left_out_of_tests():
    pytest.importorskip("redis")
    _app, protoo = make_app(cluster_url="redis://not-asked.example")
    with pytest.raises(UsageError, match="PROTOO_CLUSTER_URL is set: set it to None"):
        protoo.test_client(username="alice")


def test_an_app_without_a_protoo():
    with pytest.raises(UsageError, match="does not serve"):
        Protoo(Flask("other")).test_client(Flask("site").test_client())
    with pytest.raises(UsageError, match="has no Protoo"):
        finish(Flask("site"))
