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
from protoo_flask.core.wire.nesting import MAX_DEPTH
from tests.core.wire.messages import REQUEST, RESPONSE, encode, refusal_of

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
        (REQUEST, {"path": "/a b?#%~\xa0"}),
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


def test_a_message_with_a_method_is_a_request_even_with_a_status():
    assert parse(encode({**RESPONSE, **REQUEST})).method == "message"


def test_the_last_of_two_fields_with_the_same_name_counts():
    assert parse(b'{"method": "a", "path": "/", "id": 1, "id": 2}').id == 2


@pytest.mark.parametrize("number", [2**64, 10**40, -(2**63) - 1])
def test_integers_of_any_size_are_read_and_written_as_they_are(number):
    message = parse(encode(REQUEST, data={"n": number}))
    assert json.loads(serialize_request("m", 1, message.data))["data"] == {"n": number}


SURROGATES = [
    (r"\ud83d", "\ufffd"),
    (r"hi \uD83D", "hi \ufffd"),
    (r"\udE00 end", "\ufffd end"),
    (r"\ude00\ud83d", "\ufffd\ufffd"),
    (r"\ud83d\ud83d\ude00\ude00", "\ufffd\U0001f600\ufffd"),
    (r"\ud83d\u0041\u0000", "\ufffdA\0"),
    (r"\ud83d\n\"", '\ufffd\n"'),
    (r"\ud83d\\ude00", "\ufffd\\ude00"),
    (r"\\ud83d \\\ud83d", "\\ud83d \\\ufffd"),
    ("\U0001f600" + r"\ud83d", "\U0001f600\ufffd"),
]


@pytest.mark.parametrize(("written", "read"), SURROGATES, ids=repr)
def test_a_lone_surrogate_is_read_as_u_fffd_wherever_it_is(written, read):
    data = f'{{"{written}": ["{written}", {{"x": [{{"{written}": 1}}]}}]}}'
    extra = f'"sender": "{written}", "{written}": "{written}"'
    path = written.replace(r"\u0000", "+").replace(r"\n", "+")  # a path has no control characters
    request = f'{{{extra}, "method": "m{written}", "path": "/{path}", "id": 7, "data": {data}}}'
    expected = {read: [read, {"x": [{read: 1}]}]}
    message = parse(request.encode())
    path_read = read.replace("\0", "+").replace("\n", "+")
    assert (message.method, message.path) == ("m" + read, "/" + path_read)
    assert (message.id, message.data) == (7, expected)

    response = f'{{"status": 200, "reason": "{written}", "data": {data}, "id": 7, {extra}}}'
    message = parse(response.encode())
    assert (message.status, message.reason) == (200, read)
    assert (message.id, message.data) == (7, expected)

    notification = f'{{"method": "{written}", "path": "/", "data": {data}}}'
    message = parse(notification.encode())
    assert (message.method, message.id, message.data) == (read, UNSET, expected)


def test_a_bad_message_with_a_lone_surrogate_is_refused_with_its_id():
    error = refusal_of(rb'{"data": {"\ud83d": "\ude00"}, "method": "", "path": "/", "id": 7}')
    assert (error.id, error.reason) == (7, "method must be a non-empty string")


def nested(levels, kind):
    """Return a list or an object with so many levels, as JSON."""
    opening, closing = {"list": ("[", "]"), "object": ('{"x": ', "}")}[kind]
    return levels * opening + "0" * (kind == "object") + levels * closing


@pytest.mark.parametrize("kind", ["list", "object"])
@pytest.mark.parametrize("levels", [1, MAX_DEPTH - 1, MAX_DEPTH])
def test_data_with_the_greatest_depth_is_read_and_can_be_written(kind, levels):
    inner = nested(levels - 2, kind) if levels > 2 else "{}"
    text = f'{{"method": "m", "path": "/", "id": 7, "data": {{"x": {inner}}}}}'
    data = parse(text.encode()).data
    assert data == {"x": json.loads(inner)}
    assert json.loads(serialize_response(200, "", 7, data))["data"] == data


@pytest.mark.parametrize(
    "text",
    [
        "[" + "[], " * 10_000 + "[]]",
        "[" + '{"x": [1, {"y": 2}]}, ' * 5000 + "{}]",
        json.dumps("[" * 10_000),
        json.dumps(["{" * 400, '\\"' * 1000, "[" * 400]),
    ],
    ids=["wide", "wide objects", "brackets in a string", "brackets in strings"],
)
def test_many_brackets_are_no_depth(text):
    request = f'{{"method": "m", "path": "/", "id": 7, "data": {{"x": {text}}}}}'
    assert parse(request.encode()).data == {"x": json.loads(text)}


@pytest.mark.parametrize("name", [r"\u0069d", r"i\u0064", r"\u0069\u0064"])
def test_the_name_of_a_field_may_be_escaped(name):
    message = parse(rf'{{"{name}": 7, "method": "m", "path": "/"}}'.encode())
    assert message.id == 7


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
        {None: 1},
        {(1, 2): 1},
        contains_itself(),
    ],
    ids=[
        "a list",
        "a string",
        "an object",
        "a complex number",
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


def test_values_that_are_nearly_json_are_written_as_json():
    @dataclasses.dataclass
    class Point:
        x: int

    data = {"point": Point(1), "tuple": (1, 2), 3: None}
    assert serialize_request("get", None, data) == (
        b'{"method":"get","data":{"point":{"x":1},"tuple":[1,2],"3":null}}'
    )


def test_subclasses_of_strings_and_numbers_are_written_like_their_base_class():
    class Metres(float): ...

    data = {"html": escape("<b>"), Markup("key"): Metres(1.5), "status": HTTPStatus.OK}
    assert serialize_response(200, Markup("&lt;"), 1, data) == (
        b'{"status":200,"reason":"&lt;","id":1,"data":{"html":"&lt;b&gt;","key":1.5,"status":200}}'
    )


def test_a_lone_surrogate_is_written_as_u_fffd_wherever_it_is():
    @dataclasses.dataclass
    class Note:
        text: str

    half = "hi \ud83d"
    data = {
        half: [half, {"x": (Note(half),)}],
        "pair": "\ud83d\ude00",
        "html": escape(half),
        3: 1.5,
    }
    sender = {"username": half, "uuid": "\ude00"}
    mended = "hi \ufffd"
    expected = {
        mended: [mended, {"x": [{"text": mended}]}],
        "pair": "\U0001f600",
        "html": mended,
        "3": 1.5,
    }
    assert json.loads(serialize_request(half, 7, data, sender)) == {
        "method": mended,
        "id": 7,
        "data": expected,
        "sender": {"username": mended, "uuid": "\ufffd"},
    }
    assert json.loads(serialize_request(half, None, data)) == {"method": mended, "data": expected}
    assert json.loads(serialize_response(200, half, 7, data)) == {
        "status": 200,
        "reason": mended,
        "id": 7,
        "data": expected,
    }
    assert data["html"] == half


@pytest.mark.parametrize("value", [object(), {None: 1}], ids=["an object", "None as a key"])
def test_data_with_a_lone_surrogate_and_another_fault_is_unsendable(value):
    with pytest.raises(Unsendable, match="data cannot be written as JSON"):
        serialize_response(200, "", 1, {"a": "\ud83d", "x": value})


@pytest.mark.parametrize("text", ["", "\ud83d"], ids=["plain", "with a lone surrogate"])
def test_data_that_is_nested_too_deeply_is_unsendable(text):
    deep = text
    for _ in range(50_000):
        deep = [deep]
    for data in ({"x": deep}, contains_itself()):
        with pytest.raises(Unsendable, match="nested too deeply, or contains itself"):
            serialize_response(200, text, 1, data)
        with pytest.raises(Unsendable, match="nested too deeply, or contains itself"):
            serialize_request("get", None, data)
