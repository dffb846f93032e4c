"""The estimate of a message's size, compared with its objects."""

from __future__ import annotations

import json
import sys
import tracemalloc

import msgspec
import pytest

from protoo_flask.core.wire.messages import parse
from protoo_flask.core.wire.object_size import estimate_size

FLAT = {
    "text": '{"a":"' + 3000 * "x" + '"}',
    "emoji": '{"a":"' + 3000 * "x" + '\U0001f600"}',
    "escaped emoji": '{"a":"' + 3000 * "x" + '\\ud83d\\ude00"}',
    "integers": '{"a":[' + ",".join(["100000"] * 1000) + "]}",
    "strings": '{"a":[' + ",".join(f'"{n}"' for n in range(1000)) + "]}",
    "keys": "{" + ",".join(f'"k{n}":1' for n in range(500)) + "}",
}
NESTED = {
    "empty lists": '{"a":[' + ",".join(["[]"] * 1000) + "]}",
    "empty dicts": '{"a":[' + ",".join(["{}"] * 1000) + "]}",
    "lists in lists": '{"a":' + 400 * "[" + 400 * "]" + "}",
    "dicts in dicts": 400 * '{"a":' + "1" + 400 * "}",
}


def measure(value):
    """Return the bytes of a value with everything in it."""
    values, total = [value], 0
    while values:  # a function that calls itself would not come as deep on Python 3.8
        value = values.pop()
        if isinstance(value, int) and value < 256:
            continue  # there is one of each
        total += sys.getsizeof(value)
        if isinstance(value, dict):
            values += (*value, *value.values())
        elif isinstance(value, list):
            values += value
    return total


@pytest.mark.parametrize("name", [*FLAT, *NESTED])
def test_no_message_takes_much_more_than_its_estimate_says(name):
    data = {**FLAT, **NESTED}[name]
    text = f'{{"method":"get","path":"/","id":1,"data":{data}}}'.encode()
    real = measure(parse(text).data)
    assert 0.75 * real < estimate_size(text) < 5 * real


@pytest.mark.parametrize("name", NESTED)
def test_nested_data_is_estimated_at_many_times_its_text(name):
    text = NESTED[name].encode()
    assert estimate_size(text) > 15 * len(text)


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
    assert estimate_size(text) >= taken


def test_a_long_text_is_estimated_little_higher_than_it_is():
    sdp = "a=candidate:1 1 udp 2130706431 10.0.0.1 9 typ host\r\n" * 100
    text = json.dumps({"type": "offer", "sdp": sdp}).encode()
    assert estimate_size(text) < 1.2 * len(text)
