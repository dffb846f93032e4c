"""Data of many levels: whatever is read can be written, wherever that happens."""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from typing import Any, Callable, Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoo_flask.core.errors import Unsendable
from protoo_flask.core.wire.deep_data import MAX_WRITTEN, write_deeply
from protoo_flask.core.wire.messages import parse, serialize_request, serialize_response

from .deep_messages import LEVELS, SHAPES, data_of, write

json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple),
)


@given(json_data)
def test_deep_data_is_written_as_msgspec_writes_it(value):
    try:
        wanted = msgspec.json.encode(value)
    except UnicodeEncodeError:
        return
    assert write_deeply(value, msgspec.json.encode) == wanted


@pytest.mark.parametrize(
    "value",
    [{1: "int", "a": [(), {}]}, OrderedDict(a=[OrderedDict(b=1)]), [[[]], [[]]], {"": {"": ""}}],
)
def test_keys_and_subclasses_are_those_of_the_encoder(value):
    assert write_deeply(value, msgspec.json.encode) == msgspec.json.encode(value)


@pytest.mark.parametrize(("levels", "is_written"), [(MAX_WRITTEN, True), (MAX_WRITTEN + 1, False)])
def test_deep_data_has_a_limit(levels, is_written):
    value: Any = 7
    for _ in range(levels):
        value = [value]
    if is_written:
        written = write_deeply(value, msgspec.json.encode)
        assert written == b"[" * levels + b"7" + b"]" * levels
    else:
        with pytest.raises(RecursionError):
            write_deeply(value, msgspec.json.encode)


def test_data_that_contains_itself_is_refused_after_one_round():
    encoded = []
    value: list[Any] = [1]
    value.append({"me": value})
    with pytest.raises(RecursionError):
        write_deeply(value, lambda part: encoded.append(part) or b'{"me":0}')
    assert len(encoded) < 5
    shared = [1]
    assert write_deeply([shared, shared], msgspec.json.encode) == b"[[1],[1]]"


# In a deep stack


def call_deeply(frames: int, function: Callable[[], Any]) -> Any:
    return function() if frames == 0 else call_deeply(frames - 1, function)


@pytest.fixture
def little_room() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Return a function that calls another where the stack has room for 100 calls more."""

    def call(function: Callable[[], Any]) -> Any:
        frame: Any = sys._getframe()
        depth = 0
        while frame is not None:
            frame, depth = frame.f_back, depth + 1
        return call_deeply(sys.getrecursionlimit() - depth - 100, function)

    return call


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("levels", LEVELS)
def test_what_is_read_can_be_written_in_a_deep_stack(levels, shape, little_room):
    data = parse(write(shape, levels, method="get", path="/")).data or {}
    wanted = data_of(shape, levels)
    response = little_room(lambda: serialize_response(200, "OK", 7, data))
    request = little_room(lambda: serialize_request("get", 7, data, {"username": "a"}))
    assert response == serialize_response(200, "OK", 7, data)
    assert request == serialize_request("get", 7, data, {"username": "a"})
    assert json.loads(response) == {"status": 200, "reason": "OK", "id": 7, "data": wanted}


def test_halves_of_characters_are_mended_in_a_deep_stack(little_room):
    data: Any = {"half": "\ud83d", "\ud83d": 1}
    for _ in range(400):
        data = {"a": data}
    written = little_room(lambda: serialize_response(200, "", 1, data))
    assert written == serialize_response(200, "", 1, data)
    assert written.count("\ufffd".encode()) == 2


def test_data_that_is_no_json_is_refused_in_a_deep_stack(little_room):
    data: Any = {"what": object()}
    for _ in range(400):
        data = {"a": data}
    for call in (little_room, lambda function: function()):
        with pytest.raises(Unsendable, match="objects of type object are not JSON"):
            call(lambda: serialize_response(200, "", 1, data))
