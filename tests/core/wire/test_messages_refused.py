"""The wire format: bad messages are refused, with the reason and the id to answer with."""

from __future__ import annotations

import pytest

from protoo_flask.core.wire.messages import MAX_ID
from tests.core.wire.messages import REQUEST, RESPONSE, encode, refusal_of

ID_REASON = "id must be an integer from 1 to 9007199254740991"
METHOD_REASON = "method must be a non-empty string"
PATH_REASON = 'path must start with "/"'
STATUS_REASON = "status must be an integer from 100 to 699"
DATA_REASON = "data must be an object"
NEITHER_REASON = "method is missing: a request has a method and a path, a response a status"
DEEP = b"[" * 100_000 + b"]" * 100_000


# A message with a usable id


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method": ...}, NEITHER_REASON),
        ({"method": ""}, METHOD_REASON),
        ({"method": None}, METHOD_REASON),
        ({"method": 5}, METHOD_REASON),
        ({"method": ["message"]}, METHOD_REASON),
        ({"method": {}}, METHOD_REASON),
        ({"path": ...}, f"path is missing: {PATH_REASON}"),
        ({"path": ""}, PATH_REASON),
        ({"path": "users/bob"}, PATH_REASON),
        ({"path": " /users/bob"}, PATH_REASON),
        ({"path": "x\n/users/bob"}, PATH_REASON),
        ({"path": None}, PATH_REASON),
        ({"path": 5}, PATH_REASON),
        ({"path": ["/"]}, PATH_REASON),
        ({"data": []}, DATA_REASON),
        ({"data": "{}"}, DATA_REASON),
        ({"data": 0}, DATA_REASON),
        ({"data": False}, DATA_REASON),
    ],
    ids=repr,
)
def test_a_bad_request_is_refused_with_its_id_and_a_reason(changes, reason):
    error = refusal_of(encode(REQUEST, **changes))
    assert (error.id, error.reason, error.status) == (7, reason, 400)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": ...}, NEITHER_REASON),
        ({"status": 99}, STATUS_REASON),
        ({"status": 700}, STATUS_REASON),
        ({"status": -200}, STATUS_REASON),
        ({"status": 200.5}, STATUS_REASON),
        ({"status": "200"}, STATUS_REASON),
        ({"status": True}, STATUS_REASON),
        ({"status": None}, STATUS_REASON),
        ({"reason": None}, "reason must be a string"),
        ({"reason": 5}, "reason must be a string"),
        ({"data": []}, DATA_REASON),
        ({"data": "x"}, DATA_REASON),
    ],
    ids=repr,
)
def test_a_bad_response_is_refused_with_its_id_and_a_reason(changes, reason):
    error = refusal_of(encode(RESPONSE, **changes))
    assert (error.id, error.reason) == (7, reason)


def test_the_reason_for_a_value_deep_in_the_data_does_not_blame_the_data():
    payload = b'{"method": "a", "path": "/", "id": 7, "data": {"x": {"y": 1e999}}}'
    error = refusal_of(payload)
    assert error.id == 7
    assert "out of range" in error.reason


def test_a_bad_request_with_fields_of_a_response_is_blamed_for_what_is_wrong_in_the_request():
    error = refusal_of(encode(REQUEST, status=99, path="users"))
    assert (error.id, error.reason) == (7, PATH_REASON)


# A message without a usable id


@pytest.mark.parametrize("message", [REQUEST, RESPONSE], ids=["request", "response"])
@pytest.mark.parametrize(
    "id",
    [0, -1, MAX_ID + 1, 2**64, 10**40, 1.5, "7", True, None, [7], {"id": 7}],
    ids=repr,
)
def test_a_bad_id_is_refused_with_id_0(message, id):
    error = refusal_of(encode(message, id=id))
    assert (error.id, error.reason) == (0, ID_REASON)


def test_a_response_without_id_is_refused():
    error = refusal_of(encode(RESPONSE, id=...))
    assert (error.id, error.reason) == (0, f"id is missing: {ID_REASON}")


def test_a_bad_id_beside_something_else_that_is_bad_is_no_usable_id():
    error = refusal_of(encode(REQUEST, id="7", method=""))
    assert error.id == 0


@pytest.mark.parametrize(
    "payload",
    [b"null", b"true", b"7", b'"text"', b"[]", b'[{"method": "get"}]', DEEP],
    ids=["null", "true", "number", "string", "list", "list of messages", "deep list"],
)
def test_json_that_is_no_object_is_refused(payload):
    error = refusal_of(payload)
    assert (error.id, error.reason) == (0, "message must be a JSON object")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b" ",
        b"hello",
        b"{",
        b"\xff",
        b"\xef\xbb\xbf{}",
        encode(REQUEST)[:-1],
        encode(REQUEST) + b"x",
        encode(REQUEST) + encode(REQUEST),
        b"{'method': 'get', 'path': '/'}",
        b'{"method": "get", "path": "/", "data": {"x": NaN}}',
        b'{"method": "get", "path": "/", "data": {"x": Infinity}}',
        b'{"method": "get", "path": "/", "data": {"x": -Infinity}}',
        b'{"method": "get", "path": "/", "data": {"x": 01}}',
        b'{"method": "get", "path": "/", "data": {"x": "\n"}}',
        b'{"method": "get", "path": "/", "data": {"x": "\\ud800"}}',
        b'{"method": "get", "path": "/", "data": {"x": "\xed\xa0\x80"}}',
        b'{"method": "get", "path": "/", "data": {"\xff": 1}}',
        b'{"method": "get", "path": "/\xff", "id": 1}',
        b'{"method": 5, "path": "/"',
        b'{"status": 1, "method": "get", "path": "/\xff"}',
        b'{"status": 1, "method": "get", "path": "/", "data": {"x": "\\ud800"}}',
    ],
    ids=repr,
)
def test_what_is_not_json_is_refused(payload):
    error = refusal_of(payload)
    assert error.id == 0
    assert error.reason.startswith("message is not JSON: ")


@pytest.mark.parametrize(
    "payload",
    [
        b'{"method": "a", "path": "/", "data": {"x": %s}}' % DEEP,
        b'{"unknown": %s, "method": "a", "path": "/"}' % DEEP,
        b'{"method": 5, "data": {"x": %s}}' % DEEP,
        b'{"status": 1, "method": "a", "path": "/", "data": {"x": %s}}' % DEEP,
        b'{"method": "", "id": %s}' % DEEP,
    ],
    ids=["data", "unknown field", "behind a bad field", "behind a foreign field", "id"],
)
def test_a_message_nested_too_deeply_is_refused(payload):
    assert refusal_of(payload).reason == "message is nested too deeply"
