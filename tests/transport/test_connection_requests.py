"""Requests, replies and notifications, over real sockets and in every world."""

from __future__ import annotations

import json
from typing import Any

from protoo_flask.core.request import Request
from protoo_flask.transport.greenlets.fast_iteration import MAX_CORKED

from .connections import request
from .wire import BINARY, CONTINUATION, PATIENCE, PING, PONG, TEXT, Frame, close_frame, frame, text


def test_a_request_is_answered(site):
    site.router.get(lambda req, next: req.reply(200, "OK", {"you": req.peer.username}))
    client = site.connect()
    assert client.request("get") == {
        "status": 200,
        "reason": "OK",
        "id": 1,
        "data": {"you": "alice"},
    }
    assert client.request("put")["status"] == 404


def test_the_handshake_comes_first_even_if_a_listener_sends_at_once(site):
    site.framework.on_event.append(
        lambda event: event.name == "peer_online" and event.subject.notify("welcome")
    )
    client = site.connect()
    assert client.take() == {"method": "welcome", "data": {}}


def test_a_notification_is_handled_and_not_answered(site):
    seen = []
    site.router.use(lambda req, next: seen.append((req.method, req.id)) or next())
    client = site.connect()
    client.send({"method": "note", "path": "/"}, {"method": "note", "path": "/"})
    assert client.request("get")["status"] == 404
    assert seen == [("note", None), ("note", None), ("get", 1)]


def test_a_notification_to_many_peers_at_once_reaches_each_of_them(make_site):
    site = make_site(max_peers_per_user=200)

    def tell(req, next):
        for peer in site.application.directory.find("bob"):
            peer.notify("note", req.data)
        req.reply(200)

    site.router.get(tell)
    alice = site.connect()
    bobs = [site.connect("bob", f"b{number}") for number in range(3 * MAX_CORKED)]
    alice.send_request("get", text="hello")
    assert alice.take()["status"] == 200
    assert [bob.take()["data"]["text"] for bob in bobs] == ["hello"] * len(bobs)


def test_text_of_any_script_arrives_unchanged(site):
    site.router.get(lambda req, next: req.reply(200, "", req.data))
    client = site.connect()
    assert client.request("get", text="€ 😀 é \u0000")["data"] == {"text": "€ 😀 é \u0000"}


def test_a_message_may_come_byte_by_byte_and_in_fragments(site):
    site.router.get(lambda req, next: req.reply(200, "", req.data))
    client = site.connect()
    message = json.dumps(request(1, text="€€€"), ensure_ascii=False).encode()
    for part in (message[:70], message[70:71]):
        opcode = TEXT if part is message[:70] or part == message[:70] else CONTINUATION
        for byte in frame(opcode, part, fin=False):
            client.send_bytes(bytes((byte,)))
        client.send_bytes(frame(PING, b"between"))
        assert client.receive() == Frame(PONG, b"between")
    client.send_bytes(frame(CONTINUATION, message[71:]))
    assert client.take()["data"] == {"text": "€€€"}


def test_a_binary_message_is_answered_400_with_id_0(site):
    client = site.connect()
    client.send_bytes(frame(BINARY, b"\xff\x00"))
    response = client.take()
    assert (response["status"], response["id"]) == (400, 0)
    assert "binary" in response["reason"]
    assert client.request("get")["status"] == 404


def test_twenty_bad_messages_close_with_1008(site):
    client = site.connect()
    client.send_bytes(text("{") * 10 + frame(BINARY, b"") * 10 + text("{") * 10)
    assert [message["id"] for message in client.take_many(20)] == [0] * 20
    assert client.receive().close == (1008, "too many bad messages")
    client.send_bytes(close_frame(1008))
    client.take_end()


def test_the_sites_requests_are_answered_by_the_client(site):
    client = site.connect()
    transaction = site.peer().send(Request("ask", {"n": 1}))
    asked = client.take()
    assert asked == {"method": "ask", "id": 100, "data": {"n": 1}}
    client.respond(asked, 200, answer=42)
    assert transaction.wait(PATIENCE).data == {"answer": 42}


def test_responses_are_read_while_a_handler_waits_for_one(site):
    site.router.get(lambda req, next: req.reply(200, "", req.peer.request("ask").data))
    client = site.connect()
    for n in range(5):
        id = client.send_request("get")
        client.respond(client.take(), 200, n=n)
        response = client.take()
        assert (response["id"], response["data"]) == (id, {"n": n})


def test_a_handler_may_collect_provisional_and_final_responses(site):
    def collect(req, next):
        transaction = req.peer.send(Request("ask"))
        req.reply(200, "", {"statuses": [response.status for response in transaction]})

    site.router.get(collect)
    client = site.connect()
    client.send_request("get")
    asked = client.take()
    for status in (100, 180, 200):
        client.respond(asked, status)
    assert client.take()["data"] == {"statuses": [100, 180, 200]}


def test_requests_wait_for_an_online_listener_that_waits_for_a_response(make_site):
    site = make_site(parallel_requests=3)
    answers, order = [], []

    def ask(event: Any) -> None:
        if event.name == "peer_online":
            answers.append(event.subject.request("hello", timeout=PATIENCE).status)
            order.append("told")

    site.framework.on_event.append(ask)
    site.router.get(lambda req, next: (order.append(req.id), req.reply(200)))
    client = site.connect()
    hello = client.take()
    client.send(request(1), request(2), request(3))
    client.send({"status": 200, "id": hello["id"]})
    assert sorted(client.take()["id"] for _ in range(3)) == [1, 2, 3]
    assert answers == [200]
    assert order[0] == "told"
