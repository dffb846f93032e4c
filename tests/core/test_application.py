"""The application: it disconnects peers, and closes every link."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import UsageError
from protoo_flask.core.request import Request
from tests.fakes import Core


@pytest.mark.parametrize(
    ("uuid", "gone"), [(None, ["a1", "a2"]), ("a2", ["a2"]), ("a3", [])], ids=repr
)
def test_disconnect_closes_the_devices_of_a_user_and_says_how_many(uuid, gone):
    core = Core()
    clients = [core.connect("alice", "a1"), core.connect("alice", "a2"), core.connect("bob", "a1")]
    assert core.application.disconnect("alice", uuid, 3001, "banned") == len(gone)
    closed = [client for client in clients if client.link.closed]
    assert [client.peer.uuid for client in closed] == gone
    assert all(client.link.closed == (3001, "banned") for client in closed)
    assert all(not client.peer.online for client in closed)


def test_disconnecting_a_user_who_is_not_there_is_no_error():
    assert Core().application.disconnect("nobody", None, 3001, "banned") == 0


def test_disconnecting_nobody_in_particular_does_not_disconnect_everybody():
    core = Core()
    alice = core.connect()
    with pytest.raises(UsageError, match="takes a string, not None"):
        core.application.disconnect(None, None, 3001, "logged out")
    assert alice.peer.online


def test_a_handler_may_disconnect_its_own_peer():
    core = Core()

    @core.router.get("/")
    def disconnect(req, next):
        core.application.disconnect(req.peer.username, None, 3001, "bye")
        req.reply(200)

    alice = core.connect()
    alice.start_request("get", "/")
    assert alice.link.closed == (3001, "bye")
    assert alice.take_all() == core.framework.errors == []


def test_close_closes_every_link_with_1001():
    core = Core()
    clients = [core.connect("alice", "a1"), core.connect("bob", "b1")]
    told = []
    clients[0].peer.send(Request("get"), told.append)
    core.application.close()
    assert [client.link.closed for client in clients] == [(1001, "shutting down")] * 2
    assert core.application.directory.find() == []
    assert [response.status for response in told] == [410]
    assert core.scheduler.pending_timers == 0
