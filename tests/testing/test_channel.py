"""The connection through memory: reading stops and goes on as with a socket."""

from __future__ import annotations

import gevent.event

from protoo_flask.core.backlog import MAX_BACKLOG


def test_a_client_that_sends_more_than_may_wait_is_read_later(protoo):
    gate = gevent.event.Event()
    handled = []

    @protoo.put("/gate")
    def wait(req, next):
        gate.wait()
        handled.append(req.data["n"])
        req.reply(200)

    alice = protoo.test_client(username="alice")
    size = 50_000
    count = 2 * MAX_BACKLOG // size
    sent = [alice.send("put", "/gate", {"n": n, "x": "x" * size}) for n in range(count)]
    assert len(alice._link.channel._input) > size, "the server has not stopped reading"
    alice.expect_nothing()
    gate.set()
    assert [request.wait().status for request in sent] == [200] * count
    assert handled == list(range(count))


def test_what_was_sent_before_the_connection_broke_is_handled(protoo):
    handled = []

    @protoo.put("/note")
    def note(req, next):
        handled.append(req.data)

    alice = protoo.test_client(username="alice")
    alice._send_message({"method": "put", "path": "/note", "data": {"n": 1}})
    alice.drop()
    assert handled == [{"n": 1}]
    alice.reconnect()
    assert alice.request("get", "/echo").status == 200


def test_many_messages_in_one_read_are_all_handled(protoo):
    alice = protoo.test_client(username="alice")
    for n in range(1000):
        alice._send_message({"method": "get", "path": "/echo", "id": 10**6 + n})
    alice.expect_bad_message()  # the client does not know these ids
    protoo.test_clock.settle()
    assert len(alice.inbox) == 999
    alice.inbox.clear()
