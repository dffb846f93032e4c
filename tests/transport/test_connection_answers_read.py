"""Pings tell the core which answers a client has read."""

from __future__ import annotations

from .wire import CLOSE, PATIENCE, PING, PONG, Frame, close_frame, frame


def answer_all(site):
    site.router.get(lambda req, next: req.reply(200))


def leave(client):
    """End the grace period before it begins."""
    client.send_bytes(close_frame(1000))
    while client.receive().opcode != CLOSE:
        pass  # an answer may come twice: unsent before, and as that to the repetition
    client.close()
    client.wait_for_end()


def remembered(site):
    return len(site.peer().requests.answers)


def test_a_ping_behind_an_answer_has_a_payload_and_its_pong_forgets_the_answer(make_site):
    site = make_site(grace_period=60)
    answer_all(site)
    client = site.connect(ping_interval=60)
    connection = client.connection
    client.request("get")
    connection.keep_alive()
    assert client.receive() == Frame(PING, b"1")
    assert remembered(site) == 1
    client.send_bytes(frame(PONG, b""))
    client.request("get")
    assert remembered(site) == 2
    client.send_bytes(frame(PONG, b"1"))
    assert client.request("put")["status"] == 404
    assert remembered(site) == 2  # the second one, and that of the last request
    connection.keep_alive()
    assert client.receive() == Frame(PING, b"3")
    client.send_bytes(frame(PONG, b"3"))
    client.send_bytes(frame(PING, b"done"))
    assert client.receive() == Frame(PONG, b"done")
    assert remembered(site) == 0
    leave(client)


def test_a_slow_reader_finds_its_answer_after_any_number_of_intervals(make_site):
    site = make_site(grace_period=60)
    handled = []
    answered = site.world.loop.event()

    def handle(req, next):
        handled.append(req.id)
        for _ in range(10):
            req.peer.notify("note", {"text": "x" * 50_000})
        req.reply(200)
        answered.set()

    site.router.get(handle)
    slow = site.connect(ping_interval=60, buffers=8192)
    id = slow.send_request("get")
    slow.send_bytes(frame(PING, b"?"))  # it sends, so it lives
    if site.world.loop.preempts:
        # Before, the server may still be about to connect it, and no ping is due.
        assert answered.wait(PATIENCE)
    for _ in range(5):
        slow.connection._heard = True
        slow.connection.keep_alive()
    slow.reset()
    again = site.connect()
    again.send({"method": "get", "path": "/", "id": id, "data": {}})
    message = again.take()
    while "status" not in message:
        message = again.take()
    assert (message["id"], message["status"]) == (id, 200)
    assert handled == [id]
    leave(again)
