"""flask protoo peers, send and disconnect: the peers of a site, from a terminal."""

from __future__ import annotations

import contextlib
import json

import pytest
from flask import Flask

from protoo_flask import Protoo

from .cluster.in_process import Hub
from .site_nodes import make_nodes
from .test_commands import run


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
def make_node(hub, monkeypatch):
    yield from make_nodes(hub, monkeypatch)


@pytest.fixture
def site(make_node):
    """A worker with three devices of two users."""
    node = make_node()
    node.devices = {
        ("alice", "a1"): node.connect("alice", "a1"),
        ("bob", "b1"): node.connect("bob", "b1", {"name": "Bob"}),
        ("bob", "b2"): node.connect("bob", "b2"),
    }
    return node


@pytest.fixture
def terminal(make_node, site):
    return make_node().app


def taken(site):
    """Return the methods that each device has got."""
    site.hub.run()
    return {
        name: [message["method"] for message in link.take_all()]
        for name, link in site.devices.items()
    }


# Peers ------------------------------------------------------------------------------------


def test_peers_prints_all_devices_in_order(terminal, site):
    code, output = run(terminal, "peers")
    assert code == 0
    header, *rows, end = output.splitlines()
    assert header.split() == ["username", "uuid", "state", "since", "worker", "data"]
    cells = [row.split() for row in rows]
    assert [row[:3] for row in cells] == [
        ["alice", "a1", "online"],
        ["bob", "b1", "online"],
        ["bob", "b2", "online"],
    ]
    assert {row[5] for row in cells} == {site.cluster.node}
    assert json.loads(" ".join(cells[1][6:])) == {"name": "Bob"}
    assert end == "3 devices of 2 users at 1 worker"


def test_peers_prints_the_devices_of_one_user(terminal):
    code, output = run(terminal, "peers", "alice")
    assert code == 0
    assert output.endswith("\n1 device of 1 user at 1 worker\n")
    assert "bob" not in output


def test_peers_says_that_nobody_is_there(make_node):
    terminal = make_node().app
    assert run(terminal, "peers") == (0, "nobody is online\n")
    assert run(terminal, "peers", "bob") == (0, "bob is offline\n")


def test_names_and_data_cannot_move_the_cursor_of_the_terminal(make_node):
    node = make_node()
    node.connect("eve\x1b[2J", "e1", "x" * 100)
    code, output = run(make_node().app, "peers")
    assert code == 0
    assert "\x1b" not in output
    assert "eve\\x1b[2J" in output
    assert "x" * 40 not in output


# Sending ------------------------------------------------------------------------------------


def test_send_sends_a_notification_to_all_devices_of_a_user(terminal, site):
    code, output = run(terminal, "send", "bob", "news", '{"title": "Hi"}')
    assert (code, output) == (0, "sent to 2 devices\n")
    assert taken(site) == {("alice", "a1"): [], ("bob", "b1"): ["news"], ("bob", "b2"): ["news"]}


def test_send_sends_to_one_device(terminal, site):
    code, output = run(terminal, "send", "bob", "news", "--uuid", "b2")
    assert (code, output) == (0, "sent to 1 device\n")
    assert taken(site)["bob", "b1"] == []


def answer(site, statuses):
    """Have the devices of bob answer the request that they get, when all nodes have a rest."""

    def answer_all():
        for uuid, status in statuses.items():
            link = site.devices["bob", uuid]
            for message in link.take_all():
                response = {"id": message["id"], "status": status, "reason": "so", "data": {"n": 1}}
                link.inbox.receive(json.dumps(response).encode())

    site.hub.clock.on_wait.append(answer_all)


def test_send_prints_the_answers_to_a_request(terminal, site):
    answer(site, {"b1": 200, "b2": 204})
    code, output = run(terminal, "send", "bob", "ping", "--request")
    assert code == 0
    assert output.splitlines() == ['b1: 200 so {"n": 1}', 'b2: 204 so {"n": 1}']


def test_a_request_that_a_device_refuses_is_an_error_for_the_shell(terminal, site):
    answer(site, {"b1": 200, "b2": 403})
    code, output = run(terminal, "send", "bob", "ping", "--request")
    assert code == 1
    assert output.splitlines() == ['b1: 200 so {"n": 1}', 'b2: 403 so {"n": 1}']


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["carol", "news"], "Error: carol is offline"),
        (["bob", "news", "--uuid", "b9"], "Error: bob is offline at b9"),
        (["bob", "news", "{title: Hi}"], "the data is no JSON: "),
        (["bob", "news", "[1]"], "the data is an object, like "),
    ],
)
def test_send_says_why_nothing_is_sent(terminal, site, arguments, text):
    code, output = run(terminal, "send", *arguments)
    assert code != 0
    assert text in output
    assert not any(taken(site).values())


# Disconnecting --------------------------------------------------------------------------------


def test_disconnect_closes_all_connections_of_a_user(terminal, site):
    code, output = run(terminal, "disconnect", "bob")
    assert (code, output) == (0, "closed 2 connections\n")
    site.hub.run()
    assert site.devices["bob", "b1"].closed == (3001, "authorization revoked")
    assert site.devices["bob", "b2"].closed == (3001, "authorization revoked")
    assert site.devices["alice", "a1"].closed is None


def test_disconnect_closes_one_connection(terminal, site):
    code, output = run(terminal, "disconnect", "bob", "--uuid", "b1")
    assert (code, output) == (0, "closed 1 connection\n")
    site.hub.run()
    assert site.devices["bob", "b2"].closed is None


# Without a cluster ------------------------------------------------------------------------------

COMMANDS = [["peers"], ["send", "bob", "news"], ["disconnect", "bob"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_without_the_setting_a_command_names_it(command):
    app = Flask("site")
    Protoo(app)
    code, output = run(app, *command)
    assert code == 1
    assert output.startswith("Error: this process cannot reach the peers of the server")
    assert 'PROTOO_CLUSTER_URL = "redis://' in output


def test_a_redis_that_cannot_be_reached_is_told_once(caplog):
    app = Flask("site")
    app.config["PROTOO_CLUSTER_URL"] = "redis://127.0.0.1:1/0"
    with contextlib.closing(Protoo(app)):
        code, output = run(app, "peers")
    assert code == 1
    assert len(output.splitlines()) == 1
    assert output.startswith("Error: the cluster cannot be reached: Redis at redis://127.0.0.1:1/0")
    assert caplog.messages == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_while_the_directory_is_away_a_command_says_why(make_node, hub, command):
    terminal = make_node().app
    hub.go_away()
    code, output = run(terminal, *command)
    assert code == 1
    assert output.startswith("Error: the cluster cannot be reached: ")
    hub.come_back()


def test_a_setting_that_cannot_work_is_an_error_without_a_traceback():
    app = Flask("site")
    Protoo(app)
    app.config["PROTOO_CLUSTER_URL"] = "localhost"
    code, output = run(app, "peers")
    assert code == 1
    assert output.startswith("Error: PROTOO_CLUSTER_URL is None, or the URL of a Redis")
