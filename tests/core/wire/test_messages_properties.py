"""The wire format: no bytes at all make the parser fail other than with BadMessage."""

from __future__ import annotations

import json
import unicodedata
from operator import attrgetter

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, DecodeError

from protoo_flask.core.errors import BadMessage
from protoo_flask.core.wire.messages import (
    MAX_ID,
    _parse_as_claimed,
    parse,
    serialize_request,
    serialize_response,
)
from protoo_flask.core.wire.nesting import MAX_DEPTH
from tests.core.wire import json_texts

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
    """Check that only BadMessage is raised, and that an accepted message can be passed on."""
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


any_speed = settings(suppress_health_check=[HealthCheck.too_slow])


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


# Texts that json.dumps does not write


def usable_id_of(message):
    id = message.get("id")
    is_number = isinstance(id, (int, float)) and not isinstance(id, bool)
    return int(id) if is_number and 1 <= id <= MAX_ID and id == int(id) else 0


known = json_texts.names_of(["method", "path", "status", "reason", "id", "data"])
fields = json_texts.objects_of(
    known | json_texts.strings,
    json_texts.values
    | json_texts.large_numbers
    | json_texts.wrapped_scalars
    | st.sampled_from(["7", "7.0", "200", '"/a"', '"get"']),
)


@any_speed
@given(fields)
@example('{"id": 7, "method": "m", "path": "/", "data": {"x": "\\ud83d", "y": 1e999}}')
@example('{"\\ud83d": %s, "id": 7}' % ("[" * 600 + "]" * 600))
def test_every_json_object_is_read_or_refused_with_its_id(text):
    message = read(text.encode())
    if "1" * 5000 in text or "9" * 4301 in text:
        text = text.replace("1" * 5000, "1e999").replace("9" * 4301, "1e999")
    expected = json_texts.read(text)
    if isinstance(message, BadMessage):
        assert message.id == usable_id_of(expected)
        assert not message.reason.startswith("message is not JSON")
        assert ("nested too deeply" in message.reason) == (json_texts.depth_of(text) > MAX_DEPTH)
        return
    assert json_texts.depth_of(text) <= MAX_DEPTH
    names = ["method", "path", "id"] if "method" in expected else ["status", "reason", "id"]
    for name in names:
        found = getattr(message, name)
        assert expected.get(name, "" if name == "reason" else UNSET) == found
    assert (message.data or {}) == (expected.get("data") or {})


def has_controls(text):
    return any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in text)


@any_speed
@given(json_texts.strings, json_texts.strings, json_texts.data, st.data())
def test_every_valid_message_is_read_as_python_reads_it(method, path, data, draw):
    method, path = f'"m{method[1:]}', f'"/{path[1:]}'
    for members in (
        [f'"method": {method}', f'"path": {path}', f'"data": {data}', '"id": 7'],
        ['"status": 200', f'"reason": {path}', f'"data": {data}', '"id": 7'],
    ):
        text = f"{{{', '.join(draw.draw(st.permutations(members)))}}}"
        if '"path"' in members[1] and has_controls(json_texts.read(path)):
            assert "control characters" in read(text.encode()).reason
            continue
        message = parse(text.encode())
        assert message.id == 7
        assert message.data == json_texts.read(data)
        assert (message.path or message.reason) == json_texts.read(path)


@any_speed
@given(json_texts.data, st.data())
def test_text_that_is_no_json_is_refused_with_id_0(data, draw):
    text = f'{{"method": "m", "path": "/", "id": 7, "data": {data}}}'
    position = draw.draw(st.integers(0, len(text) - 1))
    removed = draw.draw(st.integers(0, 3))
    damaged = text[:position] + draw.draw(st.text(max_size=2)) + text[position + removed :]
    message = read(damaged.encode())
    try:
        json.loads(damaged, parse_constant=json.dumps)
    except ValueError:
        assert isinstance(message, BadMessage)
        assert message.id == 0
