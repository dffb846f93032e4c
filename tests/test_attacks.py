"""The attacks of ``python -m benchmarks limits``: that they do what they say."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks.footprint import MIB, count_descriptors, measure_growth
from benchmarks.frames import CLOSE, TEXT
from benchmarks.limits import command
from benchmarks.limits.arena import Arena, frame, nested, request
from benchmarks.limits.attacks import ATTACKS, HOLDS
from benchmarks.process import Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the attacks are at home on Linux")


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536])
def test_a_frame_has_a_mask_that_changes_nothing(length):
    payload = b"x" * length
    found = frame(payload)
    header = 2 if length < 126 else 4 if length < 65536 else 10
    assert found[0] == 0x80 | TEXT
    assert found[1] & 0x80
    assert found[header:] == bytes(4) + payload
    assert frame(payload, CLOSE, last=False)[0] == CLOSE


def test_a_request_is_json_of_the_right_size():
    found = json.loads(request(7, "get", "/\U0001f600", nested(1000))[8:])
    assert (found["id"], found["path"]) == (7, "/\U0001f600")
    assert set(map(str, found["data"]["n"])) == {"[]"}
    assert "id" not in json.loads(request(None, "get", "/")[6:])
    assert 990 <= len(nested(1000)) <= 1000


def test_memory_and_descriptors_of_a_process_are_measured():
    server = Server(command.entry_of("idle", command.HERE.parent))
    try:
        before = count_descriptors(server.pid)
        with measure_growth(server.pid) as growth:
            arena = Arena(server, seconds=60, most=MIB)
            attackers = [arena.connect(f"user{number}") for number in range(10)]
            assert 10 <= count_descriptors(server.pid) - before < 15
            assert arena.weigh("Connection", 0).startswith("10 Connection, ")
        assert growth.before > 10 * MIB
        assert growth.peak >= growth.left
        arena.end()
        assert all(attacker.socket.fileno() == -1 for attacker in attackers)
    finally:
        server.stop()


def test_an_attack_makes_a_row(capsys):
    assert command.main(["bad-messages", "--seconds", "3"]) == 0
    table = capsys.readouterr().out
    assert "20 x 400" in table
    assert "close 1008 too many bad messages" in table
    assert "worked, at worst" in table


def test_an_attack_that_does_not_exist_is_named(capsys):
    with pytest.raises(SystemExit):
        command.main(["slowloris"])
    assert "there is no attack 'slowloris'; there are: " in capsys.readouterr().err


def test_each_attack_that_is_weighed_exists():
    assert set(HOLDS) <= set(ATTACKS)
