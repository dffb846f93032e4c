"""A peer that answers with any number of provisional responses, and the server's memory."""

from __future__ import annotations

import json

import pytest

from .clients import TEXT
from .memory import MIB, measure_growth

#: 2.7 MiB as Python objects.
NESTED = b"[" + b",".join([b"[" * 300 + b"]" * 300] * 100) + b"]"


def provisional(id, data):
    return b'{"status":183,"reason":"","id":%d,"data":%s}' % (id, data)


@pytest.mark.parametrize(
    ("way", "count", "data"),
    [
        ("ask", 150_000, b"{}"),
        ("all-answers", 150_000, b"{}"),
        ("ask", 60, b'{"x":%s}' % NESTED),
        ("all-answers", 60, b'{"x":%s}' % NESTED),
        # The handler of the tests notes each call, so a flood of tiny ones would fill its notes.
        ("mark-answers", 60, b'{"x":%s}' % NESTED),
    ],
    ids=["ask-tiny", "iterate-tiny", "ask-nested", "iterate-nested", "call-nested"],
)
def test_a_flood_of_provisional_responses_is_not_kept(server, site, alice, bob, way, count, data):
    with site.connect(alice) as a, site.connect_raw(bob) as b:
        id = a.start("get", f"/{way}/{bob}")
        question = b.read_message()["id"]
        with measure_growth(server) as growth:
            flood = b.frame(TEXT, provisional(question, data)) * (count // 10)
            for _ in range(10):
                b.send_bytes(flood)
            b.send_request("get", "/echo", 7)
            assert b.read_message()["id"] == 7  # everything before it has been read
        b.send_frame(TEXT, json.dumps({"status": 200, "id": question}).encode())
        assert a.receive()["id"] == id
    # Measured: at most 6 MiB, for the messages of one turn. Kept, the tiny ones would be some
    # 25 MiB, and the nested ones 160 MiB.
    assert growth.peak < 12 * MIB
    assert growth.left < 12 * MIB
