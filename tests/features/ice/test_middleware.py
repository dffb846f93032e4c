"""ice_servers: the STUN and TURN servers that a client gets."""

from __future__ import annotations

import pytest

from protoo_flask import Protoo
from protoo_flask.core.errors import UsageError
from protoo_flask.middleware import ice_servers
from tests.joining import make_app

STUN = {"urls": "stun:s.example"}
TURN = {"urls": ["turn:s.example", "turns:s.example"]}
OWN = {"urls": "turn:other.example", "username": "u", "credential": "c"}
MADE = {**TURN, "username": "1433895918:alice", "credential": "RqMvcGPYTJMGThVLSi4amT4zFtI="}


def ask(app, username="alice", path="/ice"):
    protoo = app.extensions["protoo"].protoo
    with protoo.test_client(app.test_client(), username=username) as client:
        return client.request("get", path)


def make_site(protoo=None, *, ttl=600, **config):
    app = make_app()
    app.config.update(config)
    if protoo is None:
        protoo = Protoo()
        protoo.use("/ice", ice_servers(protoo, ttl, now=lambda: 1433895318.9))
    protoo.init_app(app)
    return app


@pytest.mark.parametrize(
    ("servers", "secret", "expected", "ttl"),
    [
        ([], None, [], None),
        ([], "north", [], None),
        ([STUN], "north", [STUN], None),
        ([OWN], None, [OWN], None),
        ([OWN], "north", [OWN], None),
        ([STUN, TURN, OWN], "north", [STUN, MADE, OWN], 600),
        ((TURN,), "north", [MADE], 600),
    ],
)
def test_a_client_gets_the_servers_and_the_ttl(servers, secret, expected, ttl):
    answer = ask(make_site(PROTOO_ICE_SERVERS=servers, PROTOO_TURN_SECRET=secret))
    assert (answer.status, answer.reason) == (200, "OK")
    assert answer.data == {"iceServers": expected, "ttl": ttl}


def test_the_settings_are_not_changed():
    app = make_site(PROTOO_ICE_SERVERS=[dict(TURN)], PROTOO_TURN_SECRET="north")
    ask(app)
    assert app.config["PROTOO_ICE_SERVERS"] == [TURN]


def test_apps_that_share_a_protoo_have_separate_servers():
    protoo = Protoo()
    protoo.use("/ice", ice_servers(protoo))
    here = make_site(protoo, PROTOO_ICE_SERVERS=[STUN])
    there = make_site(protoo, PROTOO_ICE_SERVERS=[OWN])
    assert ask(here).data["iceServers"] == [STUN]
    assert ask(there).data["iceServers"] == [OWN]


def test_by_default_credentials_are_good_for_a_day():
    protoo = Protoo(ice_servers=[TURN], turn_secret="north")
    protoo.use("/ice", ice_servers(protoo, now=lambda: 1000.0))
    data = ask(make_site(protoo), "bob").data
    assert data["ttl"] == 86400
    assert data["iceServers"][0]["username"] == "87400:bob"


def test_nothing_else_is_below_the_mount():
    assert ask(make_site(), path="/ice/x").status == 404


@pytest.mark.parametrize("ttl", [0, -1, True, 1.5, "600", None])
def test_a_ttl_that_is_not_a_positive_integer_is_refused(ttl):
    with pytest.raises(UsageError, match="an integer of at least 1, not"):
        ice_servers(Protoo(), ttl)


def test_wrong_servers_are_refused_when_the_app_is_initialised():
    app = make_app()
    app.config["PROTOO_ICE_SERVERS"] = [TURN]
    with pytest.raises(UsageError, match="PROTOO_TURN_SECRET"):
        Protoo(app)
    assert "protoo" not in app.extensions
    Protoo(app, turn_secret="north")


@pytest.mark.parametrize("connected", [False, True])
def test_the_servers_and_the_secret_may_change_while_the_site_runs(caplog, connected):
    app = make_site(PROTOO_ICE_SERVERS=[STUN])
    if connected:
        assert ask(app).data["iceServers"] == [STUN]
    app.config.update(PROTOO_ICE_SERVERS=[TURN], PROTOO_TURN_SECRET="north")
    assert ask(app).data == {"iceServers": [MADE], "ttl": 600}
    assert caplog.records == []


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"PROTOO_ICE_SERVERS": [TURN]}, r"PROTOO_ICE_SERVERS\[0\] has a \"turn:\" URL"),
        ({"PROTOO_ICE_SERVERS": None}, "PROTOO_ICE_SERVERS is a list"),
        ({"PROTOO_TURN_SECRET": 7}, "PROTOO_TURN_SECRET is the secret"),
    ],
)
def test_a_change_that_cannot_work_is_a_500_with_the_name_of_the_setting_in_the_log(
    caplog, config, name
):
    app = make_site(PROTOO_ICE_SERVERS=[STUN])
    assert ask(app).status == 200
    app.config.update(config)
    assert ask(app).status == 500
    (record,) = caplog.records
    with pytest.raises(UsageError, match=name):
        raise record.exc_info[1]
