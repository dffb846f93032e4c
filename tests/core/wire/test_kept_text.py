"""Kept text: the memory of a JSON text as objects is estimated, and never too low."""

from __future__ import annotations

import json
import tracemalloc

import msgspec
import pytest

from protoo_flask.core.wire.kept_text import estimate_objects, read_kept

TEXTS = {
    "empty-objects": [{}] * 2000,
    "empty-arrays": [[]] * 2000,
    "objects": [{"": 0}] * 2000,
    "chains": [{"": {"": {"": {"": {}}}}}] * 500,
    "arrays": [[0]] * 2000,
    "keys": {f"{number:x}": 0 for number in range(3000)},
    "numbers": list(range(300, 3000)),
    "fractions": [1.5] * 3000,
    "long-numbers": [10**40] * 500,
    "strings": ["ab"] * 3000,
    "words": ["\u00e9\u00e9"] * 3000,
    "emoji": ["\U0001f600" + "x" * 20_000],
    "nothing": [None] * 3000,
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_estimate_is_at_least_the_memory_that_the_objects_take(name):
    text = json.dumps(TEXTS[name], separators=(",", ":"), ensure_ascii=False).encode()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    objects = msgspec.json.decode(text)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(objects) == len(TEXTS[name])
    assert estimate_objects(text) >= taken


def test_a_long_text_is_estimated_little_higher_than_it_is():
    sdp = "a=candidate:1 1 udp 2130706431 10.0.0.1 9 typ host\r\n" * 100
    text = json.dumps({"type": "offer", "sdp": sdp}).encode()
    assert estimate_objects(text) < 1.2 * len(text)


def test_a_text_is_read_as_it_was_written():
    assert read_kept(b'{"n":1152921504606846976,"a":[{}]}') == {
        "n": 1152921504606846976,
        "a": [{}],
    }
