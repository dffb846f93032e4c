"""Settings: from app.config and from options, checked when the app is initialised."""

from __future__ import annotations

import logging
import sys

import pytest
from flask import Flask

from protoo_flask import Protoo
from protoo_flask.core.errors import UsageError
from protoo_flask.settings import FOREIGN_NAMES, Settings


def load(config=None, **options):
    return Settings.load(config or {}, options)


def test_the_defaults_are_those_that_the_documentation_names():
    assert load().to_config() == {
        "PROTOO_PATH": "/protoo",
        "PROTOO_HOST": None,
        "PROTOO_SUBDOMAIN": None,
        "PROTOO_SESSION_KEY": "username",
        "PROTOO_ALLOWED_ORIGINS": None,
        "PROTOO_CASE_SENSITIVE_ROUTING": False,
        "PROTOO_STRICT_ROUTING": False,
        "PROTOO_DISCONNECT_GRACE_PERIOD": 0,
        "PROTOO_RELOAD_GRACE_PERIOD": 5,
        "PROTOO_REQUEST_TIMEOUT": 10,
        "PROTOO_SESSION_TIMEOUT": 120,
        "PROTOO_RESPONSE_TIMEOUT": 60,
        "PROTOO_PING_INTERVAL": 25,
        "PROTOO_DRAIN_TIMEOUT": 7,
        "PROTOO_MAX_MESSAGE_SIZE": 65536,
        "PROTOO_MAX_OUTBOX": 1048576,
        "PROTOO_MAX_PEERS_PER_USER": 16,
        "PROTOO_HANDSHAKES_PER_USER": 10,
        "PROTOO_HANDSHAKES_PER_ADDRESS": None,
        "PROTOO_HANDSHAKES_PER_PROCESS": None,
        "PROTOO_MAX_CONNECTIONS_PER_ADDRESS": None,
        "PROTOO_RATE_LIMIT": None,
        "PROTOO_REAUTHORIZE_INTERVAL": None,
        "PROTOO_COMPRESSION": False,
        "PROTOO_PARALLEL_REQUESTS": 1,
        "PROTOO_ICE_SERVERS": [],
        "PROTOO_TURN_SECRET": None,
        "PROTOO_CLUSTER_URL": None,
        "PROTOO_CLUSTER_KEY": None,
        "PROTOO_CLUSTER_PREFIX": "protoo",
        "PROTOO_NODE_TIMEOUT": 10,
    }


def test_an_option_wins_over_the_config_of_the_app():
    config = {"PROTOO_PATH": "/config", "PROTOO_PING_INTERVAL": 5, "SECRET_KEY": "x"}

    settings = load(config, path="/option")

    assert (settings.path, settings.ping_interval) == ("/option", 5)


def test_the_config_shows_the_settings_in_effect():
    app = Flask("site")
    app.config["PROTOO_MAX_OUTBOX"] = 5000

    Protoo(app, path="/ws")

    assert app.config["PROTOO_PATH"] == "/ws"
    assert app.config["PROTOO_MAX_OUTBOX"] == 5000
    assert app.config["PROTOO_SESSION_KEY"] == "username"


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("disconnect_grace_period", [0, 2.5, 60], [-1, None, True, "10"]),
        ("reload_grace_period", [0, 2.5, 60], [-1, None, True, "10"]),
        ("path", ["/ws", "/a/b"], ["", "/", "ws", None, 1]),
        (
            "host",
            [None, "chat.example", "localhost:5000", "<host>", "<int:n>.a.example", "[::1]:5000"],
            ["", "https://a.example", "a.example/chat", "a b", "m\u00fcnchen.example", 5, ["a"]],
        ),
        (
            "subdomain",
            [None, "", "chat", "a.b", "<tenant>", "<any('x/y', z):name>-chat"],
            ["chat:80", "https://chat", "*", "<tenant", "chat/", 5, False],
        ),
        ("session_key", ["_user_id"], ["", None, 3]),
        (
            "allowed_origins",
            [None, "*", [], ["https://a.example"], ("http://a.example:8000",), {"file://", "null"}],
            ["https://a.example", ["a.example"], ["https://*.example"], [1], 5, True],
        ),
        ("request_timeout", [0.1, 5], [0, -1, None, "10", True]),
        ("session_timeout", [0.1, 120], [0, -1, None, "120", True]),
        ("response_timeout", [None, 0.1, 60], [0, -1, "60", True]),
        ("case_sensitive_routing", [True, False], [None, 1, "false"]),
        ("strict_routing", [True, False], [None, 1, "false"]),
        ("compression", [True, False], [None, 1, "false"]),
        ("ping_interval", [None, 0.1, 25], [0, -1, "25", True]),
        ("max_message_size", [1, 10**6], [0, 1.5, None, "1", True]),
        ("max_outbox", [1, 10**6], [0, -1, None]),
        ("max_peers_per_user", [1], [0, 2.0, None]),
        ("handshakes_per_user", [None, 0.01, 10], [0, -1, "10", True]),
        ("handshakes_per_address", [None, 0.01, 10], [0, -1, "10", True]),
        (
            "rate_limit",
            [None, "20/s", "3000/m burst=500", ("20/s", 500), 20, {"peer": "20/s", "user": None}],
            [0, -1, "fast", True, "20", (), {}, {"device": "20/s"}],
        ),
        ("reauthorize_interval", [None, 0.2, 60], [0, -1, "60", True]),
        ("parallel_requests", [1, 50], [0, None, "1"]),
        ("turn_secret", [None, "north"], ["", 5, b"north", True]),
        (
            "cluster_url",
            [
                *(None, "redis://localhost", "REDIS://10.0.0.1:6379/2", "rediss://u:p@r.example"),
                *("redis://[::1]:6379", "unix:///run/redis.sock", "unix://:pw@/run/r.sock?db=1"),
                *("redis+sentinel://a:26379,b:26379/main/0", "rediss+sentinel://:pw@a/main"),
            ],
            ["", "localhost:6379", "amqp://mq", "redis://", "redis://h:port", 6379, True, ["r"]],
        ),
        ("cluster_key", [None, "sixteen letters.", "a" * 64], ["", "short", b"x" * 32, 5]),
        ("cluster_prefix", ["protoo", "shop:chat", "a.b-c_9"], ["", None, "a b", "a{b}", "a*", 1]),
        ("node_timeout", [1, 2.5, 10, 60], [0, 0.5, -1, None, "10", True]),
    ],
)
def test_a_value_that_cannot_work_is_rejected_at_once(name, good, bad):
    setting = f"PROTOO_{name.upper()}"
    for value in good:
        assert getattr(load({setting: value}), name) == value
    for value in bad:
        for arguments in ({"config": {setting: value}}, {name: value}):
            with pytest.raises(UsageError) as caught:
                load(**arguments)
            text = str(caught.value)
            assert text.startswith(f"{setting} is ")
            assert text.endswith(f", not {value!r}")


def test_the_entry_that_no_page_could_match_is_named_and_explained():
    with pytest.raises(UsageError) as caught:
        load(allowed_origins=["https://a.example", "b.example", "https://c.example/chat", 5])

    assert str(caught.value) == (
        'PROTOO_ALLOWED_ORIGINS is None, "*", or a list of origins like "https://example.org" or '
        '"file://" ("b.example" has no scheme, as "https://example.org" has; '
        '"https://c.example/chat" is more than an origin, which is "https://c.example"; 5 is no '
        "text), not ['https://a.example', 'b.example', 'https://c.example/chat', 5]"
    )


def test_an_unknown_option_is_rejected_with_the_names_that_there_are():
    with pytest.raises(
        UsageError, match=r"Protoo\(\) has no option 'ping'.*; it has path, .*ping_"
    ):
        Protoo(ping=5)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("PROTOO_PING_INTERVALL", "; did you mean PROTOO_PING_INTERVAL?"),
        ("PROTOO_MAXIMAL_OUTBOX", "; did you mean PROTOO_MAX_OUTBOX?"),
        ("PROTOO_PINGINTERVAL", "; did you mean PROTOO_PING_INTERVAL?"),
        ("PROTOO_GRACE_PERIOD", "; did you mean PROTOO_DISCONNECT_GRACE_PERIOD?"),
        ("PROTOO_ORIGINS", "; did you mean PROTOO_ALLOWED_ORIGINS?"),
        ("PROTOO_CORS_ALLOWED_ORIGINS", "; did you mean PROTOO_ALLOWED_ORIGINS?"),
        ("PROTOO_MAX_HTTP_BUFFER_SIZE", "; did you mean PROTOO_MAX_MESSAGE_SIZE?"),
        ("PROTOO_MESSAGE_QUEUE", "; did you mean PROTOO_CLUSTER_URL?"),
        ("PROTOO_REDIS_URL", "; did you mean PROTOO_CLUSTER_URL?"),
        ("PROTOO_CHANNEL", "; did you mean PROTOO_CLUSTER_PREFIX?"),
        ("PROTOO_COLOUR_OF_THE_SKY", ""),
    ],
)
def test_an_unknown_setting_is_warned_of(caplog, key, hint):
    app = Flask("site")
    app.config[key] = 1

    with caplog.at_level(logging.WARNING):
        Protoo(app)

    assert [record.message for record in caplog.records] == [
        f"{key} is not a setting of this protoo_flask{hint}"
    ]


def test_known_settings_are_not_warned_of(caplog):
    app = Flask("site")
    app.config.update(load().to_config(), PROTOCOL_OF_SOMETHING_ELSE=1)

    with caplog.at_level(logging.WARNING):
        Protoo(app)

    assert caplog.records == []


def test_every_name_of_others_leads_to_a_setting():
    names = {key[len("PROTOO_") :].lower() for key in load().to_config()}
    assert set(FOREIGN_NAMES.values()) <= names
    assert not set(FOREIGN_NAMES) & names


@pytest.mark.parametrize("name", ["PROTOO_PING_INTERVAL", "ping_intervall", "ping"])
def test_an_option_that_is_nearly_one_is_refused_with_the_one_that_was_meant(name):
    with pytest.raises(UsageError, match=r"\(did you mean 'ping_interval'\?\)"):
        Protoo(**{name: 5})


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("localhost:6379", "it has no scheme, as redis://host:6379/0 has"),
        ("amqp://localhost", "amqp:// is none of them"),
        ("redis:///0", "it names no host"),
        ("redis://host:redis", "port could not be cast to integer value as 'redis'"),
        ("redis+sentinel://a:26379", "it does not name the service that the sentinels watch"),
        ("unix://redis.sock", "it names no file, as unix:///run/redis.sock does"),
        ("redis://host/first", "its database is 'first', and not a number"),
        ("redis://host/-1", "its database is '-1', and not a number"),
        ("redis://host/0/1", "its database is '0/1', and not a number"),
        ("redis://host?db=one", "its database is 'one', and not a number"),
        ("unix:///run/redis.sock?db=x", "its database is 'x', and not a number"),
        ("redis+sentinel://a:26379/mymaster/x", "its database is 'x', and not a number"),
    ],
)
def test_the_fault_of_a_url_of_redis_is_told(url, fault):
    with pytest.raises(UsageError) as caught:
        load(cluster_url=url)

    assert f"({fault}" in str(caught.value)


def test_the_password_in_a_url_that_is_wrong_is_not_shown():
    with pytest.raises(UsageError) as caught:
        load(cluster_url="amqp://shop:s3cret@mq.example/0")

    assert "s3cret" not in str(caught.value)
    assert "'amqp://shop:***@mq.example/0'" in str(caught.value)


def test_a_cluster_needs_packages_and_the_error_tells_how_to_install_them(monkeypatch):
    # As in an environment without them: None forbids the import of a module.
    monkeypatch.setitem(sys.modules, "hiredis", None)
    with pytest.raises(UsageError, match=r"needs hiredis.*pip install protoo_flask\[redis\]"):
        Protoo(Flask("site"), cluster_url="redis://localhost")

    Protoo(Flask("site"))
