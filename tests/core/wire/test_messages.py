"""The wire format: what is read, what is refused and why, what is written."""

from __future__ import annotations

import dataclasses
import json
from http import HTTPStatus
from operator import attrgetter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markupsafe import Markup, escape
from msgspec import UNSET, DecodeError

from protoo_flask.core.errors import BadMessage, Unsendable
from protoo_flask.core.wire.messages import (
    MAX_ID,
    _parse_as_claimed,
    parse,
    serialize_request,
    serialize_response,
)

REQUEST = {"method": "message", "path": "/users/bob", "id": 7, "data": {"text": "hi"}}
RESPONSE = {"status": 200, "reason": "OK", "id": 7, "data": {"n": 1}}

ID_REASON = "id must be an integer from 1 to 9007199254740991"
METHOD_REASON = "method must be a non-empty string"
PATH_REASON = 'path must start with "/"'
STATUS_REASON = "status must be an integer from 100 to 699"
DATA_REASON = "data must be an object"
NEITHER_REASON = "method is missing: a request has a method and a path, a response a status"

DEEP = b"[" * 100_000 + b"]" * 100_000


def encode(message, **changes):
    """Write ``message`` as JSON with some fields changed, or left out when ``...``."""
    changed = {**message, **changes}
    return json.dumps({key: value for key, value in changed.items() if value is not ...}).encode()


def refusal_of(payload):
    with pytest.raises(BadMessage) as caught:
        parse(payload)
    return caught.value


# What is accepted


def test_a_request_is_read_with_all_its_fields():
    message = parse(encode(REQUEST))
    assert message.method == "message"
    assert message.path == "/users/bob"
    assert message.id == 7
    assert message.data == {"text": "hi"}
    assert message.status is UNSET


def test_a_response_is_read_with_all_its_fields():
    message = parse(encode(RESPONSE))
    assert message.method is UNSET
    assert message.status == 200
    assert message.reason == "OK"
    assert message.id == 7
    assert message.data == {"n": 1}


def test_a_request_without_id_is_a_notification():
    assert parse(encode(REQUEST, id=...)).id is UNSET


def test_a_response_may_have_no_reason():
    assert parse(encode(RESPONSE, reason=...)).reason == ""


@pytest.mark.parametrize("message", [REQUEST, RESPONSE], ids=["request", "response"])
@pytest.mark.parametrize("data", [..., None], ids=["missing", "null"])
def test_data_may_be_missing_or_null(message, data):
    assert not parse(encode(message, data=data)).data


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        (REQUEST, {"id": 1}),
        (REQUEST, {"id": MAX_ID}),
        (REQUEST, {"method": "x"}),
        (REQUEST, {"method": "каждый метод"}),
        (REQUEST, {"path": "/"}),
        (REQUEST, {"path": "//"}),
        (REQUEST, {"path": "/a b\n\0?#%"}),
        (REQUEST, {"data": {}}),
        (RESPONSE, {"status": 100}),
        (RESPONSE, {"status": 699}),
        (RESPONSE, {"reason": ""}),
        (RESPONSE, {"id": MAX_ID}),
    ],
    ids=repr,
)
def test_boundary_values_are_accepted(message, changes):
    read = parse(encode(message, **changes))
    for name, value in changes.items():
        assert getattr(read, name) == value


@pytest.mark.parametrize(
    ("message", "extra"),
    [
        (REQUEST, {"sender": {"username": "mallory", "uuid": "m"}}),
        (REQUEST, {"sender": 5, "unknown": [1, {"x": None}]}),
        (REQUEST, {"status": "no status", "reason": 5}),
        (RESPONSE, {"path": 5, "unknown": True}),
    ],
    ids=["sender", "anything", "fields of a response", "fields of a request"],
)
def test_fields_that_mean_nothing_are_ignored(message, extra):
    assert parse(encode(message, **extra)) == parse(encode(message))


def test_what_has_a_method_is_a_request_even_with_a_status():
    assert parse(encode({**RESPONSE, **REQUEST})).method == "message"


def test_the_last_of_two_fields_with_the_same_name_counts():
    assert parse(b'{"method": "a", "path": "/", "id": 1, "id": 2}').id == 2


@pytest.mark.parametrize("number", [2**64, 10**40, -(2**63) - 1])
def test_integers_of_any_size_are_read_and_written_as_they_are(number):
    message = parse(encode(REQUEST, data={"n": number}))
    assert json.loads(serialize_request("m", 1, message.data))["data"] == {"n": number}


# What is refused: a message with a usable id


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


# What is refused: no usable id


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


# What is written


def test_a_request_is_written_compactly_and_without_a_path():
    written = serialize_request("message", 7, {"text": "é"}, {"username": "al", "uuid": "a1"})
    assert written.decode() == (
        '{"method":"message","id":7,"data":{"text":"é"},"sender":{"username":"al","uuid":"a1"}}'
    )


def test_a_notification_is_written_without_id():
    assert serialize_request("presence", None, {}) == b'{"method":"presence","data":{}}'


def test_a_response_is_written_with_all_its_fields_even_if_empty():
    assert serialize_response(200, "", 7, {}) == b'{"status":200,"reason":"","id":7,"data":{}}'


def contains_itself():
    data = {}
    data["self"] = data
    return data


@pytest.mark.parametrize(
    "data",
    [
        [],
        "text",
        {"x": object()},
        {"x": 1j},
        {"x": "\ud800"},
        {"\ud800": 1},
        {None: 1},
        {(1, 2): 1},
        contains_itself(),
    ],
    ids=[
        "a list",
        "a string",
        "an object",
        "a complex number",
        "a lone surrogate",
        "a lone surrogate in a key",
        "None as a key",
        "a tuple as a key",
        "a circle",
    ],
)
def test_data_that_is_not_json_is_unsendable(data):
    with pytest.raises(Unsendable, match="data"):
        serialize_response(200, "", 1, data)
    with pytest.raises(Unsendable, match="data"):
        serialize_request("get", 1, data)


def test_what_is_nearly_json_is_written_as_json():
    @dataclasses.dataclass
    class Point:
        x: int

    data = {"point": Point(1), "tuple": (1, 2), 3: None}
    assert serialize_request("get", None, data) == (
        b'{"method":"get","data":{"point":{"x":1},"tuple":[1,2],"3":null}}'
    )


def test_subclasses_of_strings_and_numbers_are_written_as_what_they_are():
    class Metres(float): ...

    data = {"html": escape("<b>"), Markup("key"): Metres(1.5), "status": HTTPStatus.OK}
    assert serialize_response(200, Markup("&lt;"), 1, data) == (
        b'{"status":200,"reason":"&lt;","id":1,"data":{"html":"&lt;b&gt;","key":1.5,"status":200}}'
    )


# Whatever comes

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
likely_values = json_values | st.sampled_from(["get", "/", "/a", 1, 7, 200, 99, {}, {"a": [1]}])
likely_messages = st.dictionaries(
    st.sampled_from(["method", "path", "status", "reason", "id", "data", "sender"]), likely_values
)


def read(payload):
    """Read a message; returns it, or the error when it is refused."""
    try:
        return parse(payload)
    except BadMessage as error:
        return error


def read_as_declared(payload):
    """Read a message by the structs that are for requests and for responses only."""
    try:
        return _parse_as_claimed(payload)
    except BadMessage as error:
        return error
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None


def is_utf8(payload):
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def assert_read_or_refused(payload):
    """Nothing but BadMessage is raised, and what is accepted can be passed on."""
    message = read(payload)
    declared = read_as_declared(payload)
    if isinstance(message, BadMessage):
        # Text that is not UTF-8 (no transport hands it over) is noticed in the field that is
        # decoded first, which need not be the same in both readings.
        if declared is not None and is_utf8(payload):
            assert (str(declared), declared.id) == (str(message), message.id)
    else:
        essence = attrgetter("method", "path", "id", "data")
        if message.method is UNSET:
            essence = attrgetter("status", "reason", "id", "data")
        assert essence(message) == essence(declared)
    if isinstance(message, BadMessage):
        assert 0 <= message.id <= MAX_ID
        assert json.loads(serialize_response(400, message.reason, message.id, {}))["reason"]
        return
    data = message.data or {}
    if message.method is UNSET:
        written = serialize_response(message.status, message.reason, message.id, data)
    else:
        written = serialize_request(message.method, None, data)
    assert json.loads(written)["data"] == data


any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@any_speed
@given(st.binary())
def test_no_bytes_make_parse_raise_anything_but_bad_message(payload):
    assert_read_or_refused(payload)


@any_speed
@given(likely_messages | json_values, st.booleans())
def test_no_json_makes_parse_raise_anything_but_bad_message(value, ascii_only):
    payload = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert_read_or_refused(payload)


@any_speed
@given(likely_messages, st.data())
def test_no_damaged_message_makes_parse_raise_anything_but_bad_message(message, data):
    payload = bytearray(json.dumps(message).encode())
    position = data.draw(st.integers(0, len(payload) - 1))
    payload[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    assert_read_or_refused(bytes(payload))
