"""The configuration of an app: when settings are read, and which changes come too late."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from protoo_flask import Protoo
from protoo_flask.core.errors import UsageError

from ..joining import HANDSHAKE, join, make_app


@pytest.fixture
def warnings(caplog):
    """Return a function that returns the warnings since its last call."""

    def take():
        messages = [record.message for record in caplog.records if record.levelname == "WARNING"]
        caplog.clear()
        return messages

    return take


def knock(app):
    """Ask whether a handshake is welcome, as a user that has logged in."""
    client = app.test_client()
    with client.session_transaction() as session:
        session["username"] = session["_user_id"] = "alice"
    return client.get("/protoo", headers=HANDSHAKE)


def set_item(app):
    app.config["PROTOO_SESSION_KEY"] = "_user_id"


def update(app):
    app.config.update(PROTOO_SESSION_KEY="_user_id")


def from_mapping(app):
    app.config.from_mapping(PROTOO_SESSION_KEY="_user_id")


def from_object(app):
    app.config.from_object(type("Config", (), {"PROTOO_SESSION_KEY": "_user_id"}))


def replace_the_config(app):
    app.config = app.make_config()
    app.config.update(SECRET_KEY="secret", PROTOO_SESSION_KEY="_user_id")


# Before the first use ---------------------------------------------------------------


def test_the_first_handshake_does_not_warn_of_settings_that_it_reads(warnings):
    app = make_app()
    protoo = Protoo(app)
    app.config["PROTOO_PING_INTERVAL"] = 7

    knock(app)

    assert protoo._site.settings.ping_interval == 7
    assert [message for message in warnings() if "PROTOO_PING_INTERVAL" in message] == []


def test_two_threads_that_need_the_settings_first_read_them_once(monkeypatch):
    app = make_app()
    configuration = Protoo(app)._site.configuration
    both = threading.Barrier(2)
    reads = []
    read = configuration._read

    def read_slowly():
        reads.append(threading.get_ident())
        both.wait(10)  # the other thread is about to ask
        return read()

    monkeypatch.setattr(configuration, "_read", read_slowly)

    def ask(*_):
        if reads:
            both.wait(10)
        return configuration.settings

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: configuration.settings)
        while not reads:
            pass
        second = pool.submit(ask)
        assert first.result() is second.result()
    assert len(reads) == 1


@pytest.mark.parametrize(
    "configure", [set_item, update, from_mapping, from_object, replace_the_config]
)
def test_a_setting_may_come_after_init_app(warnings, configure):
    app = make_app()
    Protoo(app)
    configure(app)
    client = app.test_client()
    with client.session_transaction() as session:
        session["_user_id"] = "alice"
    assert client.get("/protoo").status_code == 426
    assert app.extensions["protoo"].settings.session_key == "_user_id"
    assert warnings() == []


def test_every_other_setting_may_come_after_init_app(warnings):
    late = {
        "PROTOO_ALLOWED_ORIGINS": ["https://partner.example"],
        "PROTOO_CASE_SENSITIVE_ROUTING": True,
        "PROTOO_STRICT_ROUTING": True,
        "PROTOO_DISCONNECT_GRACE_PERIOD": 7,
        "PROTOO_REQUEST_TIMEOUT": 8,
        "PROTOO_SESSION_TIMEOUT": 9,
        "PROTOO_RESPONSE_TIMEOUT": 10,
        "PROTOO_PING_INTERVAL": 11,
        "PROTOO_MAX_MESSAGE_SIZE": 12000,
        "PROTOO_MAX_OUTBOX": 13000,
        "PROTOO_MAX_PEERS_PER_USER": 3,
        "PROTOO_REAUTHORIZE_INTERVAL": 14,
        "PROTOO_PARALLEL_REQUESTS": 2,
        "PROTOO_COMPRESSION": True,
    }
    app = make_app()
    protoo = Protoo(app)
    app.config.update(late)
    runtime = join(app).peer.runtime
    assert {**app.extensions["protoo"].settings.to_config(), **late} == (
        app.extensions["protoo"].settings.to_config()
    )
    limits = runtime.time_limits
    assert (limits.grace_period, limits.request, limits.session, limits.response) == (7, 8, 9, 10)
    assert (runtime.limits.peers_per_user, runtime.limits.parallel_requests) == (3, 2)
    assert warnings() == []
    protoo.close()


def test_a_removed_setting_has_its_default_again():
    app = make_app()
    app.config["PROTOO_SESSION_KEY"] = "_user_id"
    Protoo(app)
    del app.config["PROTOO_SESSION_KEY"]
    assert app.extensions["protoo"].settings.session_key == "username"
    assert app.config["PROTOO_SESSION_KEY"] == "username"


def test_questions_about_peers_do_not_fix_the_settings():
    app = make_app()
    protoo = Protoo(app)
    assert protoo.peers() == []
    assert protoo.disconnect("alice") == 0
    app.config["PROTOO_SESSION_KEY"] = "_user_id"
    assert app.extensions["protoo"].settings.session_key == "_user_id"


def test_each_app_of_a_protoo_has_its_own_settings():
    protoo = Protoo()
    first, second = make_app(), make_app()
    for app in (first, second):
        protoo.init_app(app)
    first.config["PROTOO_SESSION_KEY"] = "first"
    assert first.extensions["protoo"].settings.session_key == "first"
    second.config["PROTOO_SESSION_KEY"] = "second"
    assert second.extensions["protoo"].settings.session_key == "second"


# Values that cannot work ------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("PROTOO_PING_INTERVAL", 0, "PROTOO_PING_INTERVAL is a positive number"),
        ("PROTOO_ALLOWED_ORIGINS", "https://a.example", "PROTOO_ALLOWED_ORIGINS is None"),
        ("PROTOO_ICE_SERVERS", [{"url": "stun:s.example"}], r"PROTOO_ICE_SERVERS\[0\] has a key"),
        ("PROTOO_PATH", "ws", "PROTOO_PATH is a path below the root"),
    ],
)
@pytest.mark.parametrize("upgrade", [True, False])
def test_a_late_value_that_cannot_work_is_a_500_that_names_the_setting(
    caplog, key, value, text, upgrade
):
    app = make_app()
    Protoo(app)
    app.config[key] = value
    for _ in range(2):
        answer = app.test_client().get("/protoo", headers=HANDSHAKE if upgrade else {})
        assert answer.status_code == 500
        (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert record.exc_info[0] is UsageError
        assert record.exc_text is None or key in record.exc_text
        with pytest.raises(UsageError, match=text):
            raise record.exc_info[1]
        caplog.clear()
    # Clients that come later find it mended.
    del app.config[key]
    assert app.test_client().get("/protoo").status_code == 403


def test_a_late_setting_that_does_not_exist_is_warned_of_once(warnings):
    app = make_app()
    app.config["PROTOO_PINGINTERVAL"] = 5
    Protoo(app)
    text = "{} is not a setting of this protoo_flask; did you mean {}?"
    assert warnings() == [text.format("PROTOO_PINGINTERVAL", "PROTOO_PING_INTERVAL")]
    app.config["PROTOO_MAXOUTBOX"] = 5
    for _ in range(2):
        app.test_client().get("/protoo")
    assert warnings() == [text.format("PROTOO_MAXOUTBOX", "PROTOO_MAX_OUTBOX")]


# Changes that come too late ---------------------------------------------------------


@pytest.mark.parametrize("page", ["/protoo", "/chat", "/hello"])
def test_a_late_path_is_warned_of_once_at_the_first_request_of_any_page(warnings, page):
    app = make_app()
    app.add_url_rule("/hello", "hello", lambda: "hello")
    Protoo(app)
    app.config["PROTOO_PATH"] = "/chat"
    for _ in range(2):
        app.test_client().get(page)
    assert warnings() == [
        (
            "a change of PROTOO_PATH in app.config is ignored: the route was registered with "
            "'/protoo' by Protoo(app) or init_app(app), so set it before"
        )
    ]
    assert app.test_client().get("/protoo").status_code == 403
    assert warnings() == []


@pytest.mark.parametrize(
    ("options", "key", "late", "registered"),
    [
        ({"host_matching": True}, "PROTOO_HOST", "late.example", "early.example"),
        ({"subdomain_matching": True}, "PROTOO_SUBDOMAIN", "late", "early"),
    ],
)
def test_a_late_host_or_subdomain_is_warned_of_too(warnings, options, key, late, registered):
    app = Flask("site", static_folder=None, **options)
    app.config.update({"SECRET_KEY": "x", "SERVER_NAME": "early.example", key: registered})
    Protoo(app)
    app.config[key] = late
    app.test_client().get("/hello")
    (warning,) = warnings()
    assert warning.startswith(f"a change of {key} in app.config is ignored: the route was")
    assert repr(registered) in warning
    assert getattr(app.extensions["protoo"].settings, key[len("PROTOO_") :].lower()) == registered


def test_an_option_wins_over_a_late_setting_too_and_this_is_said(warnings):
    app = make_app()
    app.config["PROTOO_SESSION_KEY"] = "config"  # known when the option was given: no riddle
    Protoo(app, session_key="option")
    assert app.config["PROTOO_SESSION_KEY"] == "option"
    app.config["PROTOO_SESSION_KEY"] = "late"
    for _ in range(2):
        app.test_client().get("/protoo")
    assert app.extensions["protoo"].settings.session_key == "option"
    assert app.config["PROTOO_SESSION_KEY"] == "option"
    assert warnings() == [
        (
            "a change of PROTOO_SESSION_KEY in app.config is ignored: the option session_key=... "
            "of Protoo() wins"
        )
    ]


def test_a_change_after_the_first_handshake_is_warned_of_once(warnings):
    app = make_app()
    Protoo(app)
    knock(app)
    app.config["PROTOO_SESSION_KEY"] = "_user_id"
    app.test_client().get("/hello")
    assert warnings() == []
    for _ in range(2):
        knock(app)
    assert warnings() == [
        (
            "a change of PROTOO_SESSION_KEY in app.config is ignored: the settings were read at "
            "the first handshake, so set it before"
        )
    ]
    assert app.extensions["protoo"].settings.session_key == "username"


def test_settings_that_stay_or_are_set_to_the_same_value_are_not_warned_of(warnings):
    app = make_app()
    app.config["PROTOO_ALLOWED_ORIGINS"] = ["https://a.example"]
    Protoo(app, max_outbox=5000)
    for _ in range(2):
        app.config.update(
            PROTOO_PATH="/protoo",
            PROTOO_MAX_OUTBOX=5000,
            PROTOO_ALLOWED_ORIGINS=["https://a.example"],
            PROTOO_PING_INTERVAL=25.0,
        )
        knock(app)
    assert warnings() == []


def test_a_secret_is_in_no_warning(warnings):
    app = Flask("site")
    Protoo(app, turn_secret="north")
    app.config["PROTOO_TURN_SECRET"] = "south"
    app.test_client().get("/protoo")
    (warning,) = warnings()
    assert "PROTOO_TURN_SECRET" in warning
    assert "north" not in warning
    assert "south" not in warning
