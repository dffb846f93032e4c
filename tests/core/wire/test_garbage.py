"""Garbage collections while a message is decoded."""

from __future__ import annotations

import gc
import json
import sys
from typing import Any, Iterator

import pytest

from protoo_flask.core.errors import BadMessage
from protoo_flask.core.wire.garbage import decode_without_collections, without_collections
from protoo_flask.core.wire.messages import parse

#: As many lists as a message of 64 KiB may have, and more than Python's young objects may be.
LISTS = [[]] * 20_000  # type: ignore[var-annotated]


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """Return the generations that are collected meanwhile."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    gc.collect()
    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "get", "path": "/a"},
        {"status": 200, "id": 1},
        {"method": "get", "path": "/a", "status": "of the other kind"},
    ],
    ids=["request", "response", "read a second time"],
)
def test_a_message_of_many_lists_is_looked_at_once_or_twice(fields, collections):
    text = json.dumps({**fields, "data": {"a": LISTS}}).encode()
    message = parse(text)
    assert len(collections) <= 2
    assert set(collections) <= {0, 1}
    assert message.data is not None
    assert len(message.data["a"]) == len(LISTS)


@pytest.mark.skipif(not hasattr(sys, "getrefcount"), reason="CPython's own behaviour")
def test_many_such_messages_make_python_look_at_old_objects_rarely(collections):
    text = json.dumps({"method": "get", "path": "/a", "data": {"a": LISTS}}).encode()
    for _ in range(50):
        parse(text)
    assert collections.count(2) <= 1


@pytest.mark.parametrize("is_enabled", [True, False])
def test_collections_are_as_they_were_also_after_an_error(is_enabled):
    states = []

    def decode(payload: bytes) -> None:
        states.append(gc.isenabled())
        if payload:
            raise ZeroDivisionError

    decode_message = decode_without_collections(decode)
    (gc.enable if is_enabled else gc.disable)()
    try:
        decode_message(b"")
        assert gc.isenabled() is is_enabled
        with pytest.raises(ZeroDivisionError):
            decode_message(b"x")
        with pytest.raises(BadMessage):
            parse(b'{"data": {"a": [' + b"[]," * 1000)
        assert gc.isenabled() is is_enabled
    finally:
        gc.enable()
    assert states == [False, False]


def test_new_releases_need_no_help():
    assert (without_collections(parse) is parse) == (sys.version_info >= (3, 12))
