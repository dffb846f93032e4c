"""The wire format: no bytes at all make the parser fail other than with BadMessage."""

from __future__ import annotations

import json
from operator import attrgetter

from hypothesis import HealthCheck, given, settings
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
