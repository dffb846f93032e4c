"""Authorizers: the answers that they may give, and the peer or refusal that follows."""

from __future__ import annotations

from uuid import uuid4

import pytest
from flask import Flask, abort, session
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.exceptions import Unauthorized

from protoo_flask import Reject
from protoo_flask.core.errors import UsageError
from protoo_flask.core.names import MAX_NAME_LENGTH
from protoo_flask.settings import Settings
from protoo_flask.site.authorization import MAX_UUID_LENGTH, check_origin, identify


@pytest.fixture
def app():
    app = Flask("site")
    app.secret_key = "secret"
    return app


def identify_in(app, authorizer=None, url="/protoo", logged_in=None, **options):
    with app.test_request_context(url):
        session.update(logged_in or {})
        return identify(authorizer, Settings.load({}, options))


@pytest.mark.parametrize(
    ("answer", "identity"),
    [
        (("alice", "a1"), ("alice", "a1", None)),
        (("alice", "a1", {"role": "admin"}), ("alice", "a1", {"role": "admin"})),
        ((42, 7), ("42", "7", None)),
        ((0, 0), ("0", "0", None)),
    ],
)
def test_an_authorizer_returns_the_names_of_the_peer(app, answer, identity):
    assert tuple(identify_in(app, lambda: answer)) == identity


@pytest.mark.parametrize("answer", [(True, "a1"), (b"alice", "a1"), ("alice", 1.5)], ids=repr)
def test_a_name_that_is_neither_a_string_nor_an_id_is_explained(app, answer):
    with pytest.raises(UsageError, match=r"of @protoo\.authorize takes a string, not"):
        identify_in(app, lambda: answer)


def test_a_session_without_a_name_is_explained(app):
    who = {"user": {"id": 7}}
    with pytest.raises(UsageError, match=r'session\["user"\] takes a string, not'):
        identify_in(app, logged_in=who, session_key="user")


@pytest.mark.parametrize("length", [255, 256, 257])
def test_a_username_has_at_most_256_characters(app, length):
    def identify_it():
        return identify_in(app, logged_in={"username": "\u00fc" * length})

    if length <= MAX_NAME_LENGTH:
        assert identify_it().username == "\u00fc" * length
    else:
        with pytest.raises(Reject, match="400 a username has at most 256 characters"):
            identify_it()


def test_uuids_of_a_database_become_strings(app):
    user, device = uuid4(), uuid4()
    assert tuple(identify_in(app, lambda: (user, device)))[:2] == (str(user), str(device))


@pytest.mark.parametrize("uuid", [None, ""])
def test_a_device_without_a_uuid_is_given_one_that_is_unique(app, uuid):
    uuids = {identify_in(app, lambda: ("alice", uuid)).uuid for _ in range(100)}

    assert len(uuids) == 100
    assert all(len(uuid) >= 8 for uuid in uuids)


@pytest.mark.parametrize(
    "answer", ["alice", "al", ["alice", "a1"], ("alice",), (), ("a", "b", "c", "d"), True, 0]
)
def test_an_answer_of_another_form_is_explained(app, answer):
    with pytest.raises(UsageError) as caught:
        identify_in(app, lambda: answer)

    assert str(caught.value) == (
        "the function given to @protoo.authorize returns (username, uuid), "
        f"(username, uuid, data), or None to refuse; it returned {answer!r}"
    )


@pytest.mark.parametrize("username", [None, ""])
def test_an_authorizer_that_returns_no_username_is_explained_too(app, username):
    with pytest.raises(UsageError, match="no username; return None to refuse"):
        identify_in(app, lambda: (username, "a1"))


def test_an_authorizer_that_returns_none_refuses(app):
    with pytest.raises(Reject) as caught:
        identify_in(app, lambda: None)

    assert (caught.value.code, caught.value.reason) == (403, "not authorized")


def test_an_error_of_an_authorizer_is_passed_on(app):
    with pytest.raises(Unauthorized):
        identify_in(app, lambda: abort(401))


def test_the_length_of_a_uuid_is_limited(app):
    longest = MAX_UUID_LENGTH * "x"
    assert identify_in(app, lambda: ("alice", longest)).uuid == longest
    for refuse in (
        lambda: identify_in(app, lambda: ("alice", longest + "x")),
        lambda: identify_in(app, url=f"/?uuid={longest}x", logged_in={"username": "alice"}),
    ):
        with pytest.raises(Reject, match="400 a uuid has at most 128 characters"):
            refuse()


@pytest.mark.parametrize(
    ("logged_in", "username"), [({"username": "alice"}, "alice"), ({"username": 7}, "7")]
)
def test_by_default_the_username_comes_from_the_session(app, logged_in, username):
    identity = identify_in(app, url="/protoo?uuid=a1", logged_in=logged_in)

    assert tuple(identity) == (username, "a1", None)


def test_the_key_of_the_session_is_a_setting(app):
    who = {"username": "alice", "_user_id": "17"}

    assert identify_in(app, logged_in=who, session_key="_user_id").username == "17"


@pytest.mark.parametrize("logged_in", [{}, {"username": ""}, {"username": None}, {"user": "a"}])
def test_by_default_a_client_without_a_login_is_refused(app, logged_in):
    with pytest.raises(Reject, match="403 not logged in"):
        identify_in(app, logged_in=logged_in)


@pytest.mark.parametrize("key", [None, "", b""])
def test_without_a_secret_key_nobody_can_log_in(key):
    app = Flask("site")
    app.secret_key = key
    with app.test_request_context("/protoo"):
        with pytest.raises(Reject) as caught:
            identify(None, Settings())

    assert caught.value.code == 500
    assert "secret" not in caught.value.reason


def test_a_session_that_needs_no_secret_key_is_a_session(caplog):
    class Session(dict, SessionMixin):
        """Found by the URL."""

    class Sessions(SessionInterface):
        def open_session(self, app, request):
            return Session(username="alice") if request.args["uuid"] == "a1" else Session()

        def save_session(self, app, session, response):
            """Nothing has changed."""

    app = Flask("site")
    app.session_interface = Sessions()
    with app.test_request_context("/protoo?uuid=a1"):
        assert identify(None, Settings()).username == "alice"
    with app.test_request_context("/protoo?uuid=b1"):
        with pytest.raises(Reject, match="403 not logged in"):
            identify(None, Settings())

    assert caplog.records == []


def test_a_request_without_a_session_in_an_app_with_a_secret_key_is_not_logged_in(caplog):
    class Sessions(SessionInterface):
        def open_session(self, app, request):
            return None

    app = Flask("site")
    app.secret_key = "secret"
    app.session_interface = Sessions()
    with app.test_request_context("/protoo"):
        with pytest.raises(Reject, match="403 not logged in"):
            identify(None, Settings())

    assert caplog.records == []


@pytest.mark.parametrize("code", [200, 299, 700, 0, "403", 403.0, True, None])
def test_a_refusal_has_the_status_of_one(code):
    with pytest.raises(UsageError, match="Reject"):
        Reject(code, "no")


@pytest.mark.parametrize(
    ("url", "origin", "allowed", "welcome"),
    [
        ("https://site.example/", "https://site.example", None, True),
        ("https://site.example/", "https://site.example:443", None, True),
        ("https://site.example/", "http://site.example", None, False),
        ("http://site.example/", "https://site.example", None, True),
        ("http://site.example:8000/", "https://site.example", None, False),
        ("http://site.example/", "https://other.example", [], False),
        ("http://site.example/", "https://other.example", ["https://other.example:443/"], True),
        ("http://site.example/", "app://other.example", ["app://other.example"], True),
        # The origin of a sandboxed frame is nobody's.
        ("http://site.example/", "null", ["https://other.example"], False),
        ("http://site.example/", "null", "*", True),
    ],
)
def test_an_origin_is_a_scheme_a_host_and_a_port(app, url, origin, allowed, welcome):
    with app.test_request_context(base_url=url, headers={"Origin": origin}) as context:
        settings = Settings(allowed_origins=allowed)
        if welcome:
            check_origin(context.request, settings)
        else:
            with pytest.raises(Reject, match=f"403 origin {origin} is not allowed"):
                check_origin(context.request, settings)
