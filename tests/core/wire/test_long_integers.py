"""Integers around 65 bits: read exactly, also by a msgspec that damages them."""

from __future__ import annotations

import json

import msgspec
import pytest
from msgspec import Struct

from protoo_flask.core.wire import long_integers
from protoo_flask.core.wire.long_integers import decode_exactly
from protoo_flask.core.wire.messages import parse, serialize_response
from tests.core.wire.messages import REQUEST, RESPONSE, encode, refusal_of

#: The integers that msgspec 0.18 damages are from the first to the second one.
FIRST, LAST = 2**64 + 10**18 + 1, 2 * 10**19 - 1

EDGES = [
    *(2**bits + step for bits in (31, 53, 63, 64, 65, 66, 70, 80) for step in range(-3, 4)),
    *(10**digits + step for digits in (18, 19, 20, 21, 25, 30) for step in (-1, 0, 1)),
    *(FIRST + step for step in (-2, -1, 0, 1, 2, 10**17)),
    *(LAST + step for step in (-(10**17), -2, -1, 0, 1, 2)),
    19933688932870350000,
]


@pytest.mark.parametrize("number", [*EDGES, *(-edge for edge in EDGES)])
def test_an_integer_is_read_exactly(number):
    for message in (REQUEST, RESPONSE):
        data = {"n": number, "list": [[number], {"x": number}], "text": str(number)}
        read = parse(encode(message, data=data)).data
        assert read == data
        assert type(read["n"]) is int
        written = serialize_response(200, "", 7, read)
        assert json.loads(written)["data"] == data


def test_an_integer_is_read_exactly_beside_a_lone_surrogate_and_in_the_second_reading():
    payload = b'{"status": "x", "method": "m", "path": "/", "data": {"n": [%d, "\\ud83d"]}}' % LAST
    assert parse(payload).data == {"n": [LAST, "\ufffd"]}


@pytest.mark.parametrize("number", [FIRST, LAST, -FIRST, -LAST])
def test_such_an_integer_is_no_id_and_no_status(number):
    assert refusal_of(encode(REQUEST, id=number)).id == 0
    assert refusal_of(encode(RESPONSE, status=number)).id == 7


@pytest.mark.parametrize(
    "number",
    [
        "19999999999999999999.0",
        "19999999999999999999.5",
        "19999999999999999999e3",
        "0.1999999999999999999999",
    ],
)
def test_a_float_with_such_digits_is_read_as_a_float(number):
    payload = f'{{"method": "m", "path": "/", "data": {{"n": {number}}}}}'
    n = parse(payload.encode()).data["n"]
    assert (n, type(n)) == (float(number), float)


class Message(Struct):
    data: object = None


def damage(number):
    """Return what msgspec 0.18 makes of an integer of 65 bits."""
    return number - 2**64 if number > 0 else number + 2**64


def decode_like_old_releases(payload):
    message = msgspec.json.Decoder(Message).decode(payload)
    number = json.loads(payload)["data"][-1]
    if FIRST <= abs(number) <= LAST:
        message.data[-1] = damage(number)
    return message


@pytest.mark.parametrize("number", [FIRST, LAST, -FIRST, -LAST, FIRST - 1, LAST + 1, 7])
def test_a_decoder_that_damages_integers_is_corrected(number):
    payload = b'{"data": ["text", 1.5, %d]}' % number
    assert decode_exactly(decode_like_old_releases)(payload).data == ["text", 1.5, number]


def test_a_decoder_that_damages_no_integers_is_used_as_it_is(monkeypatch):
    decode = msgspec.json.Decoder(Message).decode
    examples = []

    def decode_any(payload):
        examples.append(json.loads(payload))
        return examples[-1]

    monkeypatch.setattr(long_integers.msgspec.json, "decode", decode_any)
    assert long_integers.keep_integers(decode) is decode
    assert all(FIRST <= example <= LAST for example in examples)
    monkeypatch.setattr(long_integers.msgspec.json, "decode", lambda payload: damage(LAST))
    assert long_integers.keep_integers(decode) is not decode


def test_the_data_may_be_missing_or_null():
    decode = decode_exactly(msgspec.json.Decoder(Message).decode)
    assert decode(b'{"x": %d}' % LAST).data is None
    assert decode(b'{"x": %d, "data": null}' % LAST).data is None
