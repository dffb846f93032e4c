"""An inbox: bad messages are answered and counted, ids checked, responses handed on."""

from __future__ import annotations

import pytest

from tests.fakes import Core


def keep(requests):
    """Return a handler that leaves its requests unanswered, for the test to answer."""
    return lambda req, next: requests.append(req)


# Bad messages are answered


@pytest.mark.parametrize(
    ("payload", "id", "reason"),
    [
        (b"hello", 0, "message is not JSON: "),
        (b"[]", 0, "message must be a JSON object"),
        (b'{"method": "get", "path": "/", "id": "7"}', 0, "id must be an integer"),
        (b'{"method": "get", "path": "x", "id": 7}', 7, 'path must start with "/"'),
        (b'{"method": "", "path": "/", "id": 7}', 7, "method must be a non-empty string"),
        (b'{"status": 99, "id": 7}', 7, "status must be an integer"),
    ],
    ids=["not JSON", "no object", "bad id", "bad path", "bad method", "bad response"],
)
def test_a_bad_message_is_answered_with_400_and_the_reason(payload, id, reason):
    alice = Core().connect()
    alice.send_raw(payload)
    answer = alice.take()
    assert (answer["status"], answer["id"], answer["data"]) == (400, id, {})
    assert answer["reason"].startswith(reason)


def test_a_bad_notification_is_answered_too():
    alice = Core().connect()
    alice.notify("get", "no slash")
    assert (alice.take()["id"], alice.link.closed) == (0, None)


# Pings are answered at once


@pytest.mark.parametrize(
    "payload",
    [
        b'{"method": "ping", "id": 7}',
        b'{"id":7,"method":"ping"}',
        b'{ "method" : "ping" , "id" : 7, "data": {"a": 1}, "unknown": []}',
    ],
)
def test_a_ping_is_answered_and_not_routed(payload):
    core = Core()
    core.router.use(lambda req, next: req.reply(500, "routed"))
    alice = core.connect()
    for _ in range(100):
        alice.send_raw(payload)
        assert alice.take() == {"status": 200, "reason": "pong", "id": 7, "data": {}}
    assert alice.link.closed is None


def test_a_ping_does_not_wait_for_the_handlers_of_earlier_requests():
    core = Core()
    handled: list[str] = []

    @core.router.get("/slow")
    def slow(req, next):
        alice.send_raw(b'{"method": "ping", "id": 8}')
        assert alice.take()["id"] == 8
        handled.append("slow")
        req.reply(200)

    alice = core.connect()
    alice.send_raw(b'{"method": "get", "path": "/slow", "id": 7}')
    assert alice.take() == {"status": 200, "reason": "", "id": 7, "data": {}}
    assert handled == ["slow"]


@pytest.mark.parametrize("id", [b"", b', "id": 0', b', "id": "7"', b', "id": null'])
def test_a_ping_without_a_usable_id_is_a_bad_message(id):
    alice = Core().connect()
    alice.send_raw(b'{"method": "ping"' + id + b"}")
    assert alice.take()["status"] == 400


def test_a_ping_with_a_path_is_a_request_like_any_other():
    core = Core()
    core.router.use(lambda req, next: req.reply(202, req.method))
    assert core.connect().request("ping", "/")["status"] == 202


def test_a_binary_message_is_answered_with_400():
    alice = Core().connect()
    alice.inbox.receive_binary()
    answer = alice.take()
    assert (answer["status"], answer["id"]) == (400, 0)
    assert "binary" in answer["reason"]


def test_after_a_bad_message_good_ones_are_handled_as_ever():
    core = Core()
    core.router.get("/", lambda req, next: req.reply(200))
    alice = core.connect()
    alice.send_raw(b"hello")
    alice.take()
    assert alice.request("get", "/")["status"] == 200


# Many bad messages close the connection


def violate(client, count):
    for _ in range(count):
        client.send_raw(b"hello")


def test_the_20th_bad_message_within_a_minute_is_answered_and_closes_with_1008():
    core = Core()
    alice = core.connect()
    violate(alice, 19)
    core.scheduler.advance(60)
    assert alice.link.closed is None
    violate(alice, 1)
    assert alice.link.closed == (1008, "too many bad messages")
    assert len(alice.take_all()) == 20


def test_bad_messages_spread_over_more_than_a_minute_close_nothing():
    core = Core()
    alice = core.connect()
    for _ in range(100):
        violate(alice, 1)
        core.scheduler.advance(3.2)
    assert alice.link.closed is None
    assert len(alice.take_all()) == 100


def test_any_20_within_a_minute_count_not_only_those_of_the_first_minute():
    core = Core()
    alice = core.connect()
    violate(alice, 19)
    core.scheduler.advance(60.1)
    violate(alice, 19)
    assert alice.link.closed is None
    violate(alice, 1)
    assert alice.link.closed is not None


def test_all_kinds_of_violations_are_counted_together():
    core = Core()
    core.router.get("/", keep([]))
    alice = core.connect()
    alice.send({"method": "get", "path": "/", "id": 7})
    for _ in range(5):
        alice.inbox.receive_binary()
        alice.send_raw(b"hello")
        alice.send({"method": "get", "path": "x", "id": 1})
        assert alice.link.closed is None
        alice.send({"method": "get", "path": "/", "id": 7})
    assert alice.link.closed == (1008, "too many bad messages")


def test_each_link_has_violations_of_its_own():
    core = Core()
    first = core.connect("alice", "a1")
    violate(first, 19)
    second, other = core.connect("alice", "a1"), core.connect("alice", "a2")
    violate(second, 1)
    violate(other, 1)
    assert second.link.closed is other.link.closed is None


def test_late_responses_and_unanswered_requests_are_no_violations():
    alice = Core().connect()
    for id in range(1, 101):
        alice.send({"status": 200, "id": id})
        alice.request("get", "/nowhere")
    assert alice.link.closed is None


# Ids


def test_an_id_still_in_progress_is_refused_and_the_first_request_goes_on():
    core = Core()
    requests = []
    core.router.get("/", keep(requests))
    alice = core.connect()
    message = {"method": "get", "path": "/", "id": 7}
    alice.send(message)
    alice.send(message)
    assert alice.take() == {
        "status": 400,
        "reason": "id 7 is that of a request still in progress",
        "id": 7,
        "data": {},
    }
    (request,) = requests
    request.reply(200, "done")
    assert alice.take()["reason"] == "done"


def test_an_id_stays_in_progress_after_a_provisional_response_and_is_free_after_the_final_one():
    core = Core()
    requests = []
    core.router.get("/", keep(requests))
    alice = core.connect()
    message = {"method": "get", "path": "/", "id": 7}
    alice.send(message)
    requests[0].reply(100, "trying")
    alice.send(message)
    assert [answer["status"] for answer in alice.take_all()] == [100, 400]
    requests[0].reply(404)
    alice.send(message)
    assert len(requests) == 2
    requests[1].reply(200)
    assert [answer["status"] for answer in alice.take_all()] == [404, 200]


def test_an_id_is_free_again_inside_of_the_reply():
    core = Core()
    core.router.get("/", lambda req, next: req.reply(200))
    alice = core.connect()
    send = alice.link.send

    def send_and_hear_again(payload, id=None):
        # A client may be that quick.
        alice.link.send = send
        assert send(payload)
        alice.send({"method": "get", "path": "/", "id": 7})
        return True

    alice.link.send = send_and_hear_again
    alice.send({"method": "get", "path": "/", "id": 7})
    assert [answer["status"] for answer in alice.take_all()] == [200, 200]


def test_an_answer_that_cannot_be_sent_leaves_its_id_in_progress():
    core = Core()
    requests = []
    core.router.get("/", keep(requests))
    alice = core.connect()
    alice.send({"method": "get", "path": "/", "id": 7})
    with pytest.raises(TypeError):
        requests[0].reply(200, "OK", {"x": object()})
    alice.send({"method": "get", "path": "/", "id": 7})
    assert alice.take()["status"] == 400


def test_notifications_have_no_id_that_could_be_in_progress():
    core = Core()
    requests = []
    core.router.get("/", keep(requests))
    alice = core.connect()
    alice.notify("get", "/")
    alice.notify("get", "/")
    assert [request.id for request in requests] == [None, None]
    assert requests[0].is_notification


def test_the_ids_of_both_sides_have_nothing_to_do_with_each_other():
    core = Core(first_id=lambda: 1)
    core.router.get("/", lambda req, next: told.append(req.peer.send(req)))
    told = []
    alice = core.connect()
    alice.send({"method": "get", "path": "/", "id": 1})
    assert alice.take()["id"] == 1
    alice.send({"status": 200, "id": 1})
    assert told[0].response.status == 200


# Long paths


@pytest.mark.parametrize("length", [4097, 65536])
def test_a_path_that_is_too_long_is_answered_414_without_looking_at_it(length):
    core = Core(response_timeout=30)
    requests = []
    core.router.use(keep(requests))
    alice = core.connect()
    answer = alice.request("get", "/" + "a" * (length - 1))
    assert (answer["status"], answer["reason"]) == (414, "a path has at most 4096 characters")
    assert requests == []
    assert len(core.application.runtime.unanswered) == 0
    assert alice.link.closed is None


def test_the_longest_path_is_routed_and_its_length_counts_characters():
    core = Core()
    core.router.get("/:name", lambda req, next: req.reply(200, str(len(req.params["name"]))))
    assert core.connect().request("get", "/" + "é" * 4095)["reason"] == "4095"


def test_a_notification_whose_path_is_too_long_is_ignored():
    core, requests = Core(), []
    core.router.use(keep(requests))
    alice = core.connect()
    alice.notify("get", "/" * 5000)
    assert alice.take_all() == requests == []


def test_the_id_of_a_path_that_is_too_long_is_free_again():
    core = Core()
    core.router.use(lambda req, next: req.reply(200))
    alice = core.connect()
    alice.send({"method": "get", "path": "/" * 5000, "id": 7})
    alice.send({"method": "get", "path": "/", "id": 7})
    assert [answer["status"] for answer in alice.take_all()] == [414, 200]
