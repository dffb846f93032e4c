"""The wire format: valid messages are read, and messages are written."""

from __future__ import annotations

import dataclasses
import json
from http import HTTPStatus

import pytest
from markupsafe import Markup, escape
from msgspec import UNSET

from protoo_flask.core.errors import Unsendable
from protoo_flask.core.wire.messages import MAX_ID, parse, serialize_request, serialize_response
from tests.core.wire.messages import REQUEST, RESPONSE, encode

# Reading


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


# Writing


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
