"""A user who floods a slow reader, or silent devices: the reader stays, and memory is bounded."""

from __future__ import annotations

import contextlib
import json

from .clients import TEXT, eventually
from .memory import MIB, measure_growth

NESTED = "[" + ",".join(["[" * 300 + "]" * 300] * 80) + "]"


def message(username, id, data, method="message"):
    id_field = "" if id is None else f'"id":{id},'
    text = f'{{"method":"{method}","path":"/users/{username}",{id_field}"data":{data}}}'
    return text.encode()


def take_answer(client, answers):
    """Take the next answer; those that the server makes itself may overtake each other."""
    answer = client.read_message()
    answers[answer["id"]] = answer


def test_a_flood_does_not_throw_a_slow_reader_offline_nor_keep_others_out(site, alice, bob):
    data = json.dumps({"text": "x" * 50_000})
    carol, count = bob + "-carol", 200
    with contextlib.ExitStack() as stack:
        slow = stack.enter_context(site.connect_raw(alice, receive_buffer=4096))
        mallory = stack.enter_context(site.connect_raw(bob))
        other = stack.enter_context(site.connect_raw(carol))
        pushed = int(site.post(f"/push/{alice}?size=50000&more=2"))
        ids = range(1, count + 1)
        for id in ids:
            mallory.send_frame(TEXT, message(alice, id, data))
        mallory.send_request("get", "/echo", count + 1)
        answers = {}
        while count + 1 not in answers:
            take_answer(mallory, answers)
        other.send_frame(TEXT, message(alice, 1, '{"text":"hello from Carol"}'))
        other.send_request("get", "/echo", 2)
        assert other.read_message()["id"] == 2
        assert site.get(f"/peers?username={alice}") == [f"{alice}/a1"]

        assert [slow.read_message()["method"] for _ in range(pushed)] == ["push"] * pushed
        senders = []
        while carol not in senders:
            received = slow.read_message()
            senders.append(received["sender"]["username"])
            answer = {"status": 200, "id": received["id"]}
            slow.send_frame(TEXT, json.dumps(answer).encode())
        assert other.read_message()["status"] == 200
        while len(answers) < count + 1:
            take_answer(mallory, answers)
        taken = [id for id in ids if answers[id]["status"] == 200]
        assert 0 < len(taken) == senders.count(bob) < 10
        refusals = {(answers[id]["status"], answers[id]["reason"]) for id in ids if id not in taken}
        assert refusals == {(503, "reads too slowly")}
        assert answers[count]["data"] == {"retryAfter": 5}


def test_a_flood_of_notifications_does_not_throw_a_slow_reader_offline(site, alice, bob):
    data = json.dumps({"text": "x" * 50_000})
    with site.connect_raw(alice, receive_buffer=4096) as slow, site.connect_raw(bob) as mallory:
        for _ in range(200):
            mallory.send_frame(TEXT, message(alice, None, data))
        mallory.send_request("get", "/echo", 1)
        assert mallory.read_message()["id"] == 1
        assert site.get(f"/peers?username={alice}") == [f"{alice}/a1"]
        slow.send_request("get", "/echo", 7)
        while slow.read_message().get("id") != 7:
            pass


def test_messages_to_many_silent_devices_take_little_memory(server, site, alice, bob):
    data = f'{{"x":{NESTED}}}'
    count = 60
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(site.connect_raw(alice, f"d{n}")) for n in range(16)]
        mallory = stack.enter_context(site.connect_raw(bob))
        with measure_growth(server) as growth:
            for id in range(1, count + 1):
                mallory.send_frame(TEXT, message(alice, id, data))
                assert mallory.read_message()["id"] == id
                for device in silent:
                    device.take_waiting()
        eventually(lambda: len(site.get(f"/peers?username={alice}")), 16)
    # Measured: 9 to 21 MiB, with threads. The bound for the sender is 8 MiB.
    assert growth.peak < 40 * MIB
