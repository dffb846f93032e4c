"""Invalid messages, frames, the size limit and compression, through a real server."""

from __future__ import annotations

import json

import pytest

from .clients import BINARY, CLOSE, PING, PONG, TEXT, eventually


def padded(size: int) -> bytes:
    message = {"method": "get", "path": "/echo", "id": 1, "data": {}, "pad": ""}
    missing = size - len(json.dumps(message))
    return json.dumps({**message, "pad": missing * "x"}).encode()


@pytest.mark.parametrize(
    ("payload", "id", "reason"),
    [
        ("nonsense", 0, "message is not JSON"),
        ("", 0, "message is not JSON"),
        ('{"method": "get", "path": "/echo", "id": 1} ?', 0, "message is not JSON"),
        ("[]", 0, "message must be a JSON object"),
        ("null", 0, "message must be a JSON object"),
        ('"get"', 0, "message must be a JSON object"),
        ("{}", 0, "method is missing"),
        ('{"id": 5}', 5, "method is missing"),
        ('{"method": "", "path": "/", "id": 5}', 5, "method must be a non-empty string"),
        ('{"method": 1, "path": "/", "id": 5}', 5, "method must be a non-empty string"),
        ('{"method": "get", "id": 5}', 5, "path is missing"),
        ('{"method": "get", "path": "echo", "id": 5}', 5, 'path must start with "/"'),
        ('{"method": "get", "path": null, "id": 5}', 5, 'path must start with "/"'),
        ('{"method": "get", "path": "/", "id": 0}', 0, "id must be an integer"),
        ('{"method": "get", "path": "/", "id": -1}', 0, "id must be an integer"),
        ('{"method": "get", "path": "/", "id": 9007199254740992}', 0, "id must be an integer"),
        ('{"method": "get", "path": "/", "id": "5"}', 0, "id must be an integer"),
        ('{"method": "get", "path": "/", "id": true}', 0, "id must be an integer"),
        ('{"method": "get", "path": "/", "id": 5.0}', 5, "id must be an integer"),
        ('{"method": "get", "path": "/", "id": 5, "data": []}', 5, "data must be an object"),
        ('{"method": "get", "path": "/", "id": 5, "data": "x"}', 5, "data must be an object"),
        ('{"method": "get", "path": "/", "id": 5, "data": {"n": NaN}}', 0, "message is not JSON"),
        ('{"status": 99, "id": 5}', 5, "status must be an integer from 100 to 699"),
        ('{"status": 200}', 0, "id is missing"),
        ('{"status": 200, "id": 5, "reason": 7}', 5, "reason must be a string"),
        (b"binary", 0, "binary messages have no meaning here"),
    ],
)
def test_bad_input_is_always_answered(site, alice, payload, id, reason):
    with site.connect(alice) as a:
        a.connection.send(payload)
        answer = a.receive()
        assert (answer["status"], answer["id"]) == (400, id)
        assert answer["reason"].startswith(reason)
        a.nothing_came()


def test_data_may_be_null(site, alice):
    with site.connect(alice) as a:
        a.send({"method": "get", "path": "/echo", "id": 1, "data": None})
        assert a.receive()["data"] == {}


# Half an emoji -------------------------------------------------------------------------------


def test_half_an_emoji_is_delivered_as_u_fffd(site, alice, bob):
    with site.connect(alice) as a, site.connect(bob) as b:
        path = f"/users/{bob}"
        # json.dumps writes an escape, as JSON.stringify does.
        id = a.start("message", path, {"\ud83d": [{"text": "hi \ud83d"}], "ok": "\U0001f600"})
        message = b.expect("message")
        assert message["data"] == {"\ufffd": [{"text": "hi \ufffd"}], "ok": "\U0001f600"}
        b.respond(message, 200, "got \ude00", text="\ude00\ud83d")
        answer = a.receive()
        assert (answer["id"], answer["reason"]) == (id, "got \ufffd")
        assert answer["data"] == {"text": "\ufffd\ufffd"}

        a.notify("message", path, {"text": "\ud83d"})
        assert b.expect("message")["data"] == {"text": "\ufffd"}
        answer = a.request("get \ud83d", "/\ud83d")
        assert (answer["status"], answer["reason"]) == (404, "not found")


def test_a_handler_may_send_half_an_emoji_from_a_database(site, alice):
    with site.connect(alice) as a:
        id = a.start("get", "/half")
        text = "hi \ufffd"
        assert a.receive() == {"method": text, "data": {text: [text]}}
        request = a.receive()
        assert (request["method"], request["data"]) == (text, {text: [text]})
        a.respond(request, 200)
        assert a.receive() == {"status": 180, "reason": text, "id": id, "data": {}}
        assert a.receive() == {"status": 200, "reason": text, "id": id, "data": {text: [text]}}
        assert a.request("get", "/half-refused")["reason"] == "busy \ufffd"
        a.start("get", "/half-closed")
        assert a.wait_for_close() == (3456, "bye \ufffd")


# Nesting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1100, 12_000, 30_000])
@pytest.mark.parametrize(
    "message",
    [
        '{"method": "get", "path": "/echo", "id": 5, "data": {"x": %s}}',
        '{"data": {"x": %s}, "id": 5, "path": "/echo", "method": "get"}',
        '{"data": {"x": %s}, "status": 200, "id": 5}',
    ],
    ids=["request", "request, the id last", "response"],
)
def test_a_message_nested_too_deeply_is_refused_with_its_id(site, alice, message, levels):
    with site.connect(alice) as a:
        a.connection.send(message % (levels * "[" + levels * "]"))
        reason = f"nested too deeply: it has {levels + 2} levels, and at most 500 are read"
        assert a.receive() == {"status": 400, "reason": f"message is {reason}", "id": 5, "data": {}}
        a.nothing_came()


def test_data_of_500_levels_is_delivered(site, alice, bob):
    data = {"x": json.loads(498 * "[" + 498 * "]")}
    with site.connect(alice) as a, site.connect(bob) as b:
        assert a.request("get", "/echo", data)["data"] == data
        id = a.start("message", f"/users/{bob}", data)
        message = b.expect("message")
        assert message["data"] == data
        b.respond(message, 200, "OK", **data)
        answer = a.receive()
        assert (answer["id"], answer["data"]) == (id, data)


def test_a_handler_that_replies_with_data_nested_too_deeply_is_told_so(server, site, alice):
    with site.connect(alice) as a:
        answer = a.request("get", "/nested/100000")
        assert (answer["status"], answer["reason"]) == (500, "internal server error")
        server.expect_traceback("data cannot be written as JSON: it is nested too deeply")
        a.nothing_came()


# Numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", ["", "-"])
def test_integers_are_delivered_exactly(site, alice, sign):
    edges = [2**53, 2**63, 2**64, 2**65, 2**64 + 10**18, 2 * 10**19, 10**30, 10**400]
    numbers = [int(f"{sign}{edge + step}") for edge in edges for step in (-1, 0, 1)]
    numbers.append(int(f"{sign}19933688932870350000"))
    with site.connect(alice) as a:
        assert a.request("get", "/echo", {"n": numbers})["data"] == {"n": numbers}


@pytest.mark.parametrize("number", ["1e999", "-1E400", "1" * 5000])
def test_a_number_that_python_does_not_take_is_refused_with_the_id(site, alice, number):
    with site.connect(alice) as a:
        a.connection.send(
            f'{{"method": "get", "path": "/echo", "data": {{"n": {number}}}, "id": 5}}'
        )
        answer = a.receive()
        assert (answer["status"], answer["id"]) == (400, 5)
        assert "out of range" in answer["reason"]
        a.nothing_came()


# Order and limits ----------------------------------------------------------------------------


def test_an_id_in_progress_may_not_be_used_again(site, alice):
    with site.connect(alice) as a:
        asking = a.start("get", f"/ask/{alice}")
        question = a.expect("question")
        a.send({"method": "get", "path": "/echo", "id": asking})
        answer = a.receive()
        assert (answer["status"], answer["id"]) == (400, asking)
        assert "in progress" in answer["reason"]
        a.respond(question, 200)
        assert a.receive()["status"] == 200


def test_responses_without_a_request_are_ignored(site, alice):
    with site.connect(alice) as a:
        for n in range(30):
            a.send({"status": 200, "id": n + 1})
        a.nothing_came()


def test_twenty_bad_messages_end_the_connection(site, alice):
    with site.connect(alice) as a:
        for _ in range(20):
            a.connection.send("nonsense")
            assert a.receive()["status"] == 400
        assert a.wait_for_close() == (1008, "too many bad messages")
    eventually(lambda: site.get(f"/peers?username={alice}"), [])


def test_a_message_may_be_as_large_as_the_limit(site_at, alice):
    with site_at("/brisk").connect_raw(alice) as raw:
        raw.send_frame(TEXT, padded(1000))
        assert raw.read_message()["status"] == 200


def test_a_message_over_the_limit_ends_the_connection(site_at, alice):
    with site_at("/brisk").connect_raw(alice) as raw:
        raw.send_frame(TEXT, padded(1001))
        assert raw.read_close() == (1009, "a message has at most 1000 bytes")


@pytest.mark.parametrize("size", [1000, 1001])
def test_the_limit_applies_to_all_fragments_together(site_at, alice, size):
    message = padded(size)
    with site_at("/brisk").connect_raw(alice) as raw:
        raw.send_frame(TEXT, message[:400], first=0)
        raw.send_frame(0, message[400:800], first=0)
        raw.send_frame(0, message[800:])
        if size == 1000:
            assert raw.read_message()["status"] == 200
        else:
            assert raw.read_close()[0] == 1009


def test_the_default_limit_is_64_kib(site, alice):
    with site.connect(alice) as a:
        a.connection.send(padded(65536).decode())
        assert a.receive()["status"] == 200
        a.connection.send(padded(65537).decode())
        assert a.wait_for_close()[0] == 1009


def test_a_ping_between_two_fragments_is_answered(site, alice):
    message = padded(100)
    with site.connect_raw(alice) as raw:
        raw.send_frame(TEXT, message[:50], first=0)
        raw.send_frame(PING, b"still there?")
        raw.send_frame(0, message[50:])
        assert raw.read_frame() == (PONG, b"still there?")
        assert raw.read_message()["status"] == 200


@pytest.mark.parametrize(
    ("opcode", "payload", "first", "code"),
    [
        (TEXT, b"\xff\xfe", 0x80, 1007),
        (BINARY, b"", 0xC0, 1002),
        (3, b"", 0x80, 1002),
        (PING, 126 * b"x", 0x80, 1002),
        (CLOSE, b"\x03\xed", 0x80, 1002),
        (CLOSE, b"\x03", 0x80, 1002),
    ],
    ids=["no UTF-8", "reserved bit", "opcode", "long ping", "close 1005", "half a code"],
)
def test_a_broken_frame_ends_the_connection(site, alice, opcode, payload, first, code):
    with site.connect_raw(alice) as raw:
        raw.send_frame(opcode, payload, first=first)
        assert raw.read_close()[0] == code


def test_messages_are_compressed_if_both_sides_support_it(site, site_at, alice, bob):
    text = 500 * "all work and no play "
    squeezed = site_at("/squeezed")
    cookie = squeezed.login(alice)
    with squeezed.connect_with("?uuid=a1", "deflate", Cookie=cookie) as a:
        with squeezed.connect(bob) as b:
            assert "permessage-deflate" in a.connection.response.headers["Sec-WebSocket-Extensions"]
            assert "Sec-WebSocket-Extensions" not in b.connection.response.headers
            for _ in range(3):
                a.start("message", f"/users/{bob}", {"text": text})
                b.respond(b.expect("message"), 200, text)
                assert a.receive()["reason"] == text
    with site.connect_with("", "deflate", Cookie=site.login(alice)) as a:
        assert "Sec-WebSocket-Extensions" not in a.connection.response.headers


def test_replies_are_not_delayed_by_the_socket(site, alice):
    # Nagle's algorithm would hold back each reply until the previous one is acknowledged.
    with site.connect(alice) as a:
        assert a.request("get", "/no-delay")["data"] == {"no_delay": True}
