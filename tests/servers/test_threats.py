"""The attacks of docs/threat-model.md by clients and pages, on real servers."""

from __future__ import annotations

import json

import pytest

from .clients import TEXT


def address(username, uuid="a1"):
    return {"username": username, "uuid": uuid}


@pytest.fixture
def carol(alice):
    return alice.replace("alice", "carol")


# The sender


@pytest.mark.parametrize("has_id", [True, False], ids=["request", "notification"])
@pytest.mark.parametrize("forged", [address("admin"), None, "admin", {"username": ["admin"]}])
def test_a_sender_cannot_be_forged(site, alice, bob, has_id, forged):
    with site.connect(alice) as a, site.connect(bob) as b:
        message = {"method": "message", "path": f"/users/{bob}", "sender": forged, "data": {"n": 1}}
        a.send({**message, "id": 7} if has_id else message)
        received = b.expect("message")
        assert received["sender"] == address(alice)
        assert received["data"] == {"n": 1}


def test_a_member_that_is_given_twice_forges_nothing(site, alice, bob):
    # The one parser might take the first, and the other one the last.
    with site.connect_raw(alice) as raw, site.connect(bob) as b:
        forged = ['"sender": {"username": "admin"}', '"sender": {"username": "root"}']
        text = f'{{{forged[0]}, "method": "message", "path": "/users/{bob}", {forged[1]}}}'
        raw.send_frame(TEXT, text.encode())
        assert b.expect("message")["sender"] == address(alice)


def test_nobody_can_answer_for_another(site, alice, bob, carol):
    with site.connect(alice) as a, site.connect(bob) as b, site.connect(carol) as c:
        id = a.start("message", f"/users/{bob}", {})
        request = b.expect("message")
        for guess in (request["id"], request["id"] - 1, id):
            c.send({"status": 200, "reason": "forged", "id": guess, "data": {}})
        c.nothing_came()
        b.respond(request, 200, "of Bob")
        assert a.receive()["reason"] == "of Bob"


def test_the_uuid_of_another_user_is_a_device_of_ones_own(site, alice, bob):
    with site.connect(alice, "phone") as a, site.connect(bob, "phone") as b:
        a.nothing_came()
        b.nothing_came()
        assert site.get(f"/peers?username={alice}") == [f"{alice}/phone"]


# Other users' calls and rooms


def test_a_stranger_is_not_let_into_a_call(site_at, alice, bob, carol):
    phone = site_at("/phone")
    with phone.connect(alice) as a, phone.connect(bob) as b, phone.connect(carol) as c:
        a.start("session", f"/users/{bob}", {})
        path = a.receive()["data"]["sessionPath"]
        ring = b.expect("session")
        for method in ("end", "icecandidate", "update", "hold", "message"):
            assert c.request(method, path)["status"] == 403
        b.respond(ring, 200)
        assert a.receive()["status"] == 200


def test_a_stranger_is_not_let_into_a_room(site_at, alice, bob, carol):
    meeting = site_at("/meeting")
    path = f"/chat/rooms/of-{alice}"
    with meeting.connect(alice) as a, meeting.connect(carol) as c:
        assert a.request("session", path)["status"] == 200
        for method in ("message", "private", "end", "kick"):
            assert c.request(method, path, {"peer": address(alice)})["status"] in (403, 404)
        a.nothing_came()


# Pages of other sites


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "file://",
        "http://{host}.evil.example",
        "http://{host}@evil.example",
        "http://evil.example#{host}",
        "http://evil.example/{host}",
        "http://evil.example?{host}",
        "http://evil.example\\@{host}",
        "http://{host}, http://evil.example",
        "http://127.0.0.1",
        "http://localhost:1",
        "ftp://{host}",
        "//{host}",
        "{host}",
        " ",
        "",
    ],
)
def test_a_page_of_another_site_with_the_cookie_of_a_user_is_refused(site, alice, origin):
    cookie = site.login(alice)
    assert site.knock(Cookie=cookie, Origin=f"http://{site.host}").status == 101
    answer = site.knock(Cookie=cookie, Origin=origin.replace("{host}", site.host))
    assert answer.status == 403
    assert "Set-Cookie" not in answer.headers
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_page_whose_name_leads_here_has_no_login(site, alice):
    # DNS rebinding: its Origin fits its Host, and the cookies of the site are not sent along.
    site.login(alice)
    answer = site.knock(Host="evil.example", Origin="http://evil.example")
    assert (answer.status, "not logged in" in answer.text) == (403, True)


# Paths


@pytest.mark.parametrize(
    "path",
    [
        "/vault/gold",
        "/VAULT/gold",
        "/vault/gold/",
        "/vault//gold",
        "//vault/gold",
        "/vault/./gold",
        "/x/../vault/gold",
        "/vault/../vault/gold",
        "/./vault/gold",
        "/%76ault/gold",
        "/vault%2fgold",
        "/vault%2Fgold",
        "/vault%00/gold",
        "/vault/gold?x",
        "/vault/gold#x",
        "/vault;x/gold",
        "/vault\\gold",
        "\\vault\\gold",
        "/vault /gold",
        "/ vault/gold",
        "/v\u0430ult/gold",
        "/\uff56ault/gold",
        "/%2576ault/gold",
        "/vault/%2e%2e/gold",
        "/vault/" + "a/" * 5000 + "gold",
    ],
)
def test_no_spelling_of_a_path_goes_round_a_guard(site, alice, path):
    with site.connect(alice) as client:
        assert client.request("get", path)["status"] in (400, 403, 404, 414)
        client.nothing_came()


# Size and depth


@pytest.mark.parametrize("text", ["[" * 60_000, '{"a":' * 12_000, '{"data":' + "[" * 60_000])
def test_deep_json_is_answered_and_harms_nobody(site, alice, bob, text):
    with site.connect_raw(alice) as raw, site.connect(bob) as b:
        raw.send_frame(TEXT, text.encode())
        assert raw.read_message()["status"] == 400
        raw.send_request("get", "/echo", 5, n=1)
        assert raw.read_message()["id"] == 5
        b.nothing_came()


def test_a_message_that_is_too_big_is_refused_before_it_has_come(site, alice, bob):
    with site.connect_raw(alice) as raw, site.connect(bob) as b:
        # The head of a frame of 2**62 bytes, and little of its content. Most servers need only the
        # head; simple-websocket counts what comes.
        raw.send_bytes(b"\x81\xff" + (2**62).to_bytes(8, "big") + bytes(4) + b"x" * 70_000)
        assert raw.read_close()[0] == 1009
        b.nothing_came()


def test_the_largest_message_is_taken_and_one_byte_more_is_not(site, alice):
    def fill(size):
        empty = json.dumps({"method": "get", "path": "/echo", "id": 1, "data": {"x": ""}})
        return empty.replace('""', f'"{"x" * (size - len(empty))}"').encode()

    with site.connect(alice) as client:
        client.connection.send(fill(65536).decode())
        assert client.receive()["status"] == 200
        client.connection.send(fill(65537).decode())
        assert client.wait_for_close()[0] == 1009
