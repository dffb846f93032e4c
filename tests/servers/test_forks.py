"""Handlers that fork: the clients stay with the parent."""

from __future__ import annotations

import pytest

from .clients import Site
from .processes import KINDS, SITES, start

FORKING = "tests.servers.forking_site:create_app"


@pytest.fixture(scope="module", params=KINDS)
def forking_server(request):
    command, stop_signal = KINDS[request.param]
    command = [part.replace(SITES, FORKING) for part in command]
    environ = {"FLASK_APP": FORKING, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    server = start(request.param, command, stop_signal=stop_signal, **environ)
    yield server
    server.stop()
    assert server.complaints() == []


@pytest.fixture
def site(forking_server):
    return Site(forking_server.port)


def test_a_child_that_ends_tells_the_clients_nothing(site):
    with site.connect("alice") as a, site.connect("bob") as b:
        assert a.request("get", "/exit-hooks")["status"] == 200
        for client in (a, b):
            assert client.request("get", "/pid")["status"] == 200


def test_a_child_cannot_reach_the_clients_by_any_call(site):
    with site.connect("alice") as a, site.connect("bob") as b:
        assert a.request("get", "/multiprocessing")["data"] == {"code": 0}
        for client in (a, b):
            assert client.request("get", "/pid")["status"] == 200


def test_a_child_that_runs_the_hub_takes_no_message_of_the_clients(site):
    check_that_a_child_takes_no_message(site)


def test_an_app_that_was_loaded_before_the_server_was_forked_works():
    command = [part.replace(SITES, FORKING) for part in KINDS["gunicorn"][0]]
    server = start("gunicorn", [*command, "--preload"])
    try:
        check_that_a_child_takes_no_message(Site(server.port))
    finally:
        server.stop()
    assert server.complaints() == []


def check_that_a_child_takes_no_message(site):
    with site.connect("alice") as a, site.connect("bob") as b:
        parent = a.request("get", "/child/one/start")["data"]["pid"]
        for _ in range(50):
            for client in (a, b):
                assert client.request("get", "/pid")["data"] == {"pid": parent}
        assert b.request("get", "/child/one/end")["status"] == 200
        # The end of the child is not that of a connection.
        for client in (a, b):
            assert client.request("get", "/pid")["data"] == {"pid": parent}
