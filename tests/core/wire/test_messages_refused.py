"""The wire format: bad messages are refused, with the reason and the id to answer with."""

from __future__ import annotations

import sys

import pytest

from protoo_flask.core.wire.messages import MAX_ID
from protoo_flask.core.wire.nesting import MAX_DEPTH
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


def test_the_reason_for_a_bad_request_names_a_field_of_requests():
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
        b'{"method": "get", "path": "/", "data": {"x": "\\ud800}}',
        b'{"method": "get", "path": "/", "data": {"x": "\\ud8"}}',
        b'{"method": "get", "path": "/", "data": {"x": "\xed\xa0\x80"}}',
        b'{"method": "get", "path": "/", "data": {"\xff": 1}}',
        b'{"method": "get", "path": "/\xff", "id": 1}',
        b'{"method": 5, "path": "/"',
        b'{"status": 1, "method": "get", "path": "/\xff"}',
        b'{"status": 1, "method": "get", "path": "/", "data": {"x": "\\ud800", }}',
    ],
    ids=repr,
)
def test_text_that_is_not_json_is_refused(payload):
    error = refusal_of(payload)
    assert error.id == 0
    assert error.reason.startswith("message is not JSON: ")


# Nesting


def nested(levels, inner=b"", opening=b"[", closing=b"]"):
    return levels * opening + inner + levels * closing


@pytest.mark.parametrize(
    ("payload", "id"),
    [
        (b'{"method": "a", "path": "/", "id": 7, "data": {"x": %s}}', 7),
        (b'{"data": {"x": %s}, "id": 7, "path": "/", "method": "a"}', 7),
        (b'{"unknown": {"x": %s, "id": 8}, "method": "a", "path": "/", "id": 7}', 7),
        (b'{"method": 5, "data": {"x": %s}, "id": 7}', 7),
        (b'{"data": {"x": %s}, "id": 7}', 7),
        (b'{"status": 1, "method": "a", "path": "/", "data": {"x": %s}, "id": 7}', 7),
        (b'{"status": 200, "data": {"x": %s}, "reason": "", "id": 7}', 7),
        (b'{"id": 8, "data": {"x": %s}, "status": 200, "\\u0069d": 7}', 7),
        (b' \n{"x": {"x": %s}, "y": "\\ud83d]}\\"", "z": "{", "id"\t:\r7 } ', 7),
        (b'{"id": 7, "data": [{}, {"id": 9}, {"x": [%s], "y": []}, {}], "x": -1.5e3}', 7),
        (b'{"method": "a", "path": "/", "data": {"x": %s}}', 0),
        (b'{"method": "", "id": {"x": %s}}', 0),
        (b'{"id": {"x": %s}, "id": 7}', 7),
        (b'{"id": 7, "id": {"x": %s}}', 0),
        (b'{"data": {"x": %s, "id": 7}, "x": "\\"id\\": 7", "id": "7"}', 0),
    ],
)
@pytest.mark.parametrize(
    "deep",
    [
        nested(1100),
        nested(30_000),
        nested(400_000),
        nested(5000, b"0", b'{"":', b"}"),
        nested(3000, b"1", b'[{"id": 5, "]": ', b'}, "{\\\\"]'),
        nested(600, b"1", b"[ \n\t", b" ]\r") + b', "z": [' + b"[], {}," * 1000 + b"1]",
    ],
    ids=["1100", "30000", "400000", "objects", "both", "deep and wide"],
)
def test_a_message_nested_too_deeply_is_refused_with_its_id(payload, id, deep):
    error = refusal_of(payload % deep)
    assert error.id == id
    assert error.reason.startswith("message is nested too deeply: it has ")
    assert error.reason.endswith(f" levels, and at most {MAX_DEPTH} are read")


@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"": ', b"}")], ids=["lists", "objects"])
def test_the_reason_tells_the_depth_from_the_first_level_beyond_the_limit(brackets):
    inner = nested(MAX_DEPTH - 1, b"0", *brackets)
    error = refusal_of(b'{"method": "m", "path": "/", "id": 7, "data": {"x": %s}}' % inner)
    depth = MAX_DEPTH + 1
    assert (error.id, error.reason) == (
        7,
        f"message is nested too deeply: it has {depth} levels, and at most {MAX_DEPTH} are read",
    )


def test_a_message_is_refused_with_its_id_when_even_fewer_levels_cannot_be_followed():
    limit = sys.getrecursionlimit()
    if sys.version_info >= (3, 12):
        pytest.skip("a parser in C has a limit of its own, far above")
    sys.setrecursionlimit(450)
    try:
        error = refusal_of(b'{"data": {"x": %s}, "method": "", "id": 7}' % nested(440))
    finally:
        sys.setrecursionlimit(limit)
    assert error.id == 7
    assert "nested too deeply: it has 442 levels, and at most 441 are read" in error.reason


@pytest.mark.parametrize(
    "payload",
    [
        b'{"id": 7, "data": ' + b"[" * 5000,
        b'{"id": 7, "data": ' + b'{"x": ' * 5000 + b"}" * 4000,
        b'{"id": 7, "data": %s, "x' % nested(5000),
        b'{"id": 7, "data": %s, \\' % nested(5000),
        b'{"id": 7, "data": %s}]' % nested(5000),
        b'{"id": 7, "data": %s}}' % nested(5000),
        b'{"id": 7, "data": %s} {}' % nested(5000),
        b'{"id": 7 "data": %s}' % nested(5000),
        b'{"id": 07, "data": %s}' % nested(5000),
        b'{{"id": 7, "data": %s}}' % nested(5000),
    ],
)
def test_a_deep_text_that_is_not_json_is_refused_with_id_0(payload):
    assert refusal_of(payload).id == 0


@pytest.mark.parametrize(
    "text",
    [
        b'{"x": %s, "y": ' % nested(600) + b'"' * 60_000,
        b'{"x": %s, "y": ' % nested(600) + b'\\"' * 30_000,
        b'{"x": %s, "y": "' % nested(600) + b'\\"' * 30_000,
        b'{"x": %s, "y": "' % nested(600) + b"\\" * 60_001,
        b'{"x": %s, "y": "' % nested(600) + b"\\ud83d" * 10_000,
        b'{"x": "' + b"\\\\ud83d" * 10_000 + b"\\",
        b'{"x": "' + b"\\" * 60_000 + b"ud83d",
        b'{"x": %s' % nested(600) + b" " * 60_000,
        b'{"x": %s' % nested(600) + b"]" * 60_000,
        b"]" * 30_000 + b"[" * 30_000,
    ],
)
def test_hostile_text_takes_linear_time(text):
    # Not measured: quadratic time would be minutes.
    assert refusal_of(text * 5).id == 0


# Numbers


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("1e999", "Number out of range"),
        ("-1E400", "Number out of range"),
        ("1e99999999999999999999", "Number out of range"),
        ("1" * 4301, "Integer value out of range"),
        ("-" + "1" * 5000, "Integer value out of range"),
    ],
    ids=lambda text: text[:9],
)
@pytest.mark.parametrize("text", ["hi", r"\ud83d"])
def test_a_number_that_python_does_not_take_is_refused_with_the_id(number, reason, text):
    payload = f'{{"data": {{"t": "{text}", "n": {number}}}, "method": "a", "path": "/", "id": 7}}'
    error = refusal_of(payload.encode())
    assert (error.id, error.reason[: len(reason)]) == (7, reason)


@pytest.mark.parametrize(
    ("written", "id"),
    [("7.0", 7), ("70e-1", 7), ("7E0", 7), ("9007199254740991.0", MAX_ID), ("1e3", 1000)],
)
def test_an_id_that_is_not_written_as_an_integer_is_refused_with_its_value(written, id):
    for rest in ('"method": "a", "path": "/"', '"status": 200'):
        error = refusal_of(f'{{"id": {written}, {rest}}}'.encode())
        assert (error.id, error.reason) == (id, ID_REASON)


@pytest.mark.parametrize("written", ["0.0", "-7.0", "7.5", "9007199254740992.0", "1e400", "1e300"])
def test_a_number_that_is_no_id_is_no_usable_id(written):
    error = refusal_of(f'{{"id": {written}, "method": "a", "path": "/"}}'.encode())
    assert (error.id, error.reason) == (0, ID_REASON)
