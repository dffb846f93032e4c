"""A request: its fields, the values kept with it, and its responses."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from protoo_flask.core.errors import AlreadyReplied, Unsendable, UsageError
from protoo_flask.core.request import Request
from protoo_flask.core.response import Response
from tests.fakes import Core


def receive(path="/", id=7):
    """Return a request that a client has sent and nobody has answered, and that client."""
    requests = []
    core = Core()
    core.router.use(lambda req, next: requests.append(req))
    client = core.connect()
    client.send({"method": "get", "path": path, **({} if id is None else {"id": id})})
    return requests[0], client


def keep(requests):
    """Return a handler that leaves its requests unanswered, for the test to answer."""
    return lambda req, next: requests.append(req)


# Fields


def test_a_received_request_has_the_fields_that_its_peer_sent():
    core = Core()
    requests = []
    core.router.use(keep(requests))
    alice = core.connect("alice", "a1")
    alice.send({"method": "put", "path": "/a/b", "id": 7, "data": {"n": 1}, "sender": "mallory"})
    (request,) = requests
    assert (request.method, request.path, request.id) == ("put", "/a/b", 7)
    assert (request.original_path, request.base_path) == ("/a/b", "")
    assert (request.data, request.params, request.route) == ({"n": 1}, {}, None)
    assert request.sender == {"username": "alice", "uuid": "a1"}
    assert request.peer is alice.peer
    assert request.app is core.owner
    assert not request.ended
    assert not request.is_notification
    assert repr(request) == "<Request put /a/b 7>"


@pytest.mark.parametrize("fields", ["", ', "data": null', ', "data": {}'])
def test_a_request_without_data_has_an_empty_dict(fields):
    core = Core()
    core.router.get("/", lambda req, next: req.reply(200, data={"data": req.data}))
    alice = core.connect()
    alice.send_raw(b'{"method": "get", "path": "/", "id": 7%s}' % fields.encode())
    assert alice.take()["data"] == {"data": {}}


def test_a_request_can_be_made_from_a_method_and_data():
    request = Request("get", {"n": 1})
    assert (request.method, request.data, request.id, request.sender) == (
        "get",
        {"n": 1},
        None,
        None,
    )
    assert Request("get").data == {}
    assert Request("get").data is not Request("get").data


def test_a_value_set_on_a_request_can_be_read_again_and_others_are_none():
    request = Request("get")
    assert request.get("user") is None
    request.set("user", "alice")
    request.set("user", "bob")
    request.set("room", 7)
    assert (request.get("user"), request.get("room")) == ("bob", 7)
    assert request.get("other") is None


# Responses


def test_a_reply_has_status_reason_and_data():
    request, client = receive()
    request.reply(200, "OK", {"n": 1})
    assert client.take() == {"status": 200, "reason": "OK", "id": 7, "data": {"n": 1}}
    assert request.ended


def test_reason_and_data_may_be_left_out():
    request, client = receive()
    request.reply(486)
    assert client.take() == {"status": 486, "reason": "", "id": 7, "data": {}}


def test_any_number_of_provisional_replies_comes_before_the_final_one():
    request, client = receive()
    for status in (100, 180, 180, 199):
        request.reply(status)
        assert not request.ended
    request.reply(200)
    assert [answer["status"] for answer in client.take_all()] == [100, 180, 180, 199, 200]


def test_after_the_final_reply_a_logger_finds_it_in_the_request():
    request, _ = receive()
    request.reply(180)
    assert request.response is None
    request.reply(486, "busy")
    assert (request.response.status, request.response.reason) == (486, "busy")


@pytest.mark.parametrize("status", [200, 299, 300, 404, 699])
@pytest.mark.parametrize("late", [100, 200, 500])
def test_nothing_can_be_replied_after_the_final_reply(status, late):
    request, client = receive()
    request.reply(status)
    with pytest.raises(AlreadyReplied, match=f"{late} 'late' came too late"):
        request.reply(late, "late")
    with pytest.raises(UsageError):
        request.reply(Response(late))
    assert len(client.take_all()) == 1


@pytest.mark.parametrize("status", [99, 700, 0, -200, 200.0, "200", True, None, [200]], ids=repr)
def test_a_status_that_is_none_raises_and_leaves_the_request_open(status):
    request, client = receive()
    with pytest.raises(UsageError, match="a status is an integer from 100 to 699"):
        request.reply(status)
    assert client.take_all() == []
    assert not request.ended
    request.reply(200)
    assert client.take()["status"] == 200


def test_a_reason_that_is_no_string_raises_and_leaves_the_request_open():
    request, client = receive()
    with pytest.raises(UsageError, match="a reason is a string"):
        request.reply(200, {"n": 1})
    assert client.take_all() == []
    assert not request.ended


@pytest.mark.parametrize(
    ("reason", "data"),
    [
        ("OK", {"x": object()}),
        ("OK", [1]),
        ("OK", "text"),
        ("OK", 0),
        ("\ud800", {"x": object()}),
    ],
    ids=["an object", "a list", "a string", "zero", "an object beside a lone surrogate"],
)
@pytest.mark.parametrize("status", [100, 200])
def test_data_that_cannot_be_sent_raises_and_leaves_the_request_open(status, reason, data):
    request, client = receive()
    with pytest.raises(Unsendable):
        request.reply(status, reason, data)
    assert client.take_all() == []
    assert not request.ended
    request.reply(200)
    assert client.take()["status"] == 200


def test_a_status_may_be_an_http_status():
    request, client = receive()
    request.reply(HTTPStatus.FORBIDDEN, HTTPStatus.FORBIDDEN.phrase)
    assert client.take() == {"status": 403, "reason": "Forbidden", "id": 7, "data": {}}


def test_a_response_can_be_made_first_and_sent_later():
    request, client = receive()
    response = request.create_response(200, "OK", {"n": 1})
    assert client.take_all() == []
    assert response.id == 7
    request.reply(response)
    assert client.take() == {"status": 200, "reason": "OK", "id": 7, "data": {"n": 1}}


def test_a_response_to_another_request_is_sent_with_the_id_of_this_one():
    request, client = receive()
    request.reply(Response(200, "OK", id=99))
    assert client.take()["id"] == 7


def test_answering_a_notification_sends_nothing_but_ends_it():
    request, client = receive(id=None)
    request.reply(100)
    assert not request.ended
    request.reply(200)
    assert request.ended
    with pytest.raises(AlreadyReplied):
        request.reply(200)
    assert client.take_all() == []


def test_a_request_made_here_cannot_be_answered():
    with pytest.raises(UsageError, match="only a received one is answered"):
        Request("get").reply(200)
