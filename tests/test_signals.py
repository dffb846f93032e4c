"""Signals and on(): the arguments and contexts of receivers, and receivers that fail."""

from __future__ import annotations

import contextlib

import pytest
from flask import current_app, has_request_context, request, session

from protoo_flask import Peer, Protoo, signals
from protoo_flask.core.errors import UsageError
from protoo_flask.site.flask_framework import EVENTS, FOREIGN_EVENTS
from protoo_flask.testing import finish

from .joining import make_app


class Site:
    """A Flask app with a Protoo, and test clients."""

    def __init__(self, protoo=None, name="site"):
        self.app = make_app(name)
        self.protoo = Protoo() if protoo is None else protoo
        self.protoo.init_app(self.app)

    def connect(self):
        return self.protoo.test_client(self.app.test_client(), username="alice", uuid="a1")


@pytest.fixture
def site():
    site = Site()
    yield site
    finish(site.app)


@contextlib.contextmanager
def receiver(signal, function, sender):
    with signal.connected_to(function, sender=sender):
        yield


def test_receivers_are_told_by_keyword_and_listeners_by_position(site):
    told = []
    site.protoo.on("online", lambda *args: told.append(("listener", *args)))
    site.protoo.on("user_online", lambda *args: told.append(("listener", *args)))

    def hear(app, **arguments):
        told.append((app, arguments))

    with receiver(signals.peer_online, hear, site.app):
        with receiver(signals.user_online, hear, site.app):
            peer = site.connect().peer

    assert isinstance(peer, Peer)
    assert told == [
        (site.app, {"peer": peer}),
        ("listener", peer),
        (site.app, {"username": "alice"}),
        ("listener", "alice"),
    ]


def test_every_event_of_on_is_a_signal():
    names = [name for name in vars(signals) if name.startswith(("peer_", "user_", "routing_"))]
    assert sorted(EVENTS.values()) == sorted(names)


def test_departures_are_told_to_the_peers_own_listeners_too(site):
    told = []
    site.protoo.on("offline", lambda peer: told.append("any"))
    site.protoo.on("user_offline", told.append)
    alice = site.connect()
    alice.peer.on("offline", lambda peer: told.append("own"))

    alice.close()

    assert told == ["own", "any", "alice"]


def test_an_error_that_nobody_handles_is_told(site):
    told = []
    error = ValueError("no")

    @site.protoo.get("/fail")
    def fail(req, next):
        raise error

    site.protoo.on("routing_error", lambda error, req: told.append((error, req.path)))
    site.connect().request("get", "/fail")

    assert told == [(error, "/fail")]


def test_an_error_that_somebody_handles_is_not_told(site):
    told = []

    @site.protoo.get("/fail")
    def fail(req, next):
        raise ValueError("no")

    @site.protoo.errorhandler
    def handle(error, req, next):
        req.reply(400)

    site.protoo.on("routing_error", lambda error, req: told.append(error))
    assert site.connect().request("get", "/fail").status == 400

    assert told == []


def test_listeners_run_in_the_contexts_of_the_peers_handshake(site):
    told = []
    site.protoo.on("online", lambda peer: told.append((request.args["uuid"], session["username"])))
    site.protoo.on(
        "user_online", lambda username: told.append((current_app.name, has_request_context()))
    )

    site.connect()

    assert told == [("a1", "alice"), ("site", False)]


def test_a_receiver_that_fails_is_logged_and_keeps_nobody_from_being_told(site, caplog):
    told = []

    def fail(*args, **arguments):
        raise ValueError("no")

    site.protoo.on("online", fail)
    site.protoo.on("online", lambda peer: told.append("second"))
    with receiver(signals.peer_online, fail, site.app):
        site.connect()

    assert told == ["second"]
    errors = [record for record in caplog.records if record.exc_info]
    assert [str(record.exc_info[1]) for record in errors] == ["no", "no"]
    place = f"({__file__}:{fail.__code__.co_firstlineno})"
    name = test_a_receiver_that_fails_is_logged_and_keeps_nobody_from_being_told.__name__
    for record in errors:
        assert record.message.startswith(f"error in {__name__}.{name}.fail {place}, called with ")
        assert "function" not in record.message


def test_receivers_of_another_app_are_not_told():
    protoo = Protoo()
    site, other = Site(protoo, "site"), Site(protoo, "other")
    told = []
    with receiver(signals.peer_online, lambda app, peer: told.append(app.name), other.app):
        site.connect()
        assert told == []
        other.connect()
    finish(site.app)
    finish(other.app)

    assert told == ["other"]


def test_on_is_a_call_or_a_decorator():
    protoo = Protoo()

    @protoo.on("online")
    def first(peer):
        """Not changed by the decorator."""

    def second(peer):
        """Nor is this one."""

    assert protoo.on("online", second) is second
    assert protoo.listeners == {"peer_online": [first, second]}


@pytest.mark.parametrize(
    ("event", "hint"),
    [
        ("offlin", "; did you mean 'offline'?"),
        ("user-online", "; did you mean 'user_online'?"),
        ("connect", "; did you mean 'online'?"),
        ("Connection", "; did you mean 'online'?"),
        ("join", "; did you mean 'online'?"),
        ("peer_online", "; did you mean 'online'?"),
        ("disconnected", "; did you mean 'offline'?"),
        ("close", "; did you mean 'offline'?"),
        ("peer_disconnect", "; did you mean 'disconnect'?"),
        ("reconnected", "; did you mean 'reconnect'?"),
        ("error", "; did you mean 'routing_error'?"),
        ("user joined", "; did you mean 'user_online'?"),
        ("message", "; requests are handled by @protoo.message(path)"),
        ("xyz", ""),
        (7, ""),
    ],
)
def test_an_unknown_event_is_rejected_with_those_that_there_are(event, hint):
    with pytest.raises(UsageError) as caught:
        Protoo().on(event, print)

    assert str(caught.value) == (
        "on(event, fn) knows online, disconnect, reconnect, offline, user_online, "
        f"user_offline, routing_error, not {event!r}{hint}"
    )


def test_every_name_of_others_leads_to_an_event():
    assert set(FOREIGN_EVENTS.values()) <= set(EVENTS)
    assert not set(FOREIGN_EVENTS) & set(EVENTS)


@pytest.mark.parametrize(
    ("event", "hint"),
    [
        ("connect", "; did you mean 'reconnect'?"),
        ("close", "; did you mean 'offline'?"),
        ("ofline", "; did you mean 'offline'?"),
        ("xyz", ""),
    ],
)
def test_an_unknown_event_of_a_peer_is_rejected_with_a_suggestion(site, event, hint):
    with pytest.raises(UsageError) as caught:
        site.connect().peer.on(event, print)
    assert str(caught.value).endswith(f", not {event!r}{hint}")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("peer_connect", "; did you mean peer_online?"),
        ("peer_offlin", "; did you mean peer_offline?"),
        ("user_left", "; did you mean user_offline?"),
        ("xyz", ""),
    ],
)
def test_an_unknown_signal_is_an_error_with_those_that_there_are(name, hint):
    with pytest.raises(AttributeError) as caught:
        getattr(signals, name)
    assert str(caught.value) == (
        "protoo_flask.signals has peer_online, peer_disconnect, peer_reconnect, peer_offline, "
        f"user_online, user_offline, routing_error, not {name!r}{hint}"
    )
    assert not hasattr(signals, "__path__")


@pytest.mark.parametrize("grace_period", [0, 5])
def test_a_listener_that_is_never_called_without_a_grace_period_is_warned_of(caplog, grace_period):
    app = make_app()
    protoo = Protoo(app, disconnect_grace_period=grace_period)
    protoo.on("online", print)
    protoo.on("disconnect", print)
    for _ in range(2):
        protoo.test_client(username="alice")
    finish(app)
    text = (
        'on("disconnect") never calls builtins.print without PROTOO_DISCONNECT_GRACE_PERIOD: a '
        'connection that drops is "offline" at once'
    )
    assert [record.getMessage() for record in caplog.records] == ([] if grace_period else [text])


def test_a_listener_must_be_a_plain_function():
    async def listen(peer):
        """Nobody would await it."""

    for function in (3, listen):
        with pytest.raises(UsageError):
            Protoo().on("online", function)
        with pytest.raises(UsageError):
            Protoo().on("online")(function)
