"""Clients that read slowly, with very small receive buffers."""

from __future__ import annotations

import json

from .clients import CLOSE, PING, PONG, TEXT, eventually


def test_a_slow_reader_gets_an_intact_stream_and_does_not_delay_others(site, alice, bob):
    size = 60_000
    with site.connect_raw(alice, receive_buffer=4096) as slow, site.connect(bob) as b:
        count = int(site.post(f"/push/{alice}?size={size}&more=8"))
        assert int(site.get(f"/outbox/{alice}")) > 7 * size
        b.nothing_came()
        # An answer is queued behind the waiting notifications.
        slow.send_request("get", "/echo", 7, n=7)
        b.nothing_came()

        for n in range(count):
            message = slow.read_message()
            assert message["method"] == "push"
            assert message["data"] == {"n": n, "text": size * "x"}
        assert slow.read_message()["data"] == {"n": 7}
        eventually(lambda: site.get(f"/outbox/{alice}"), "0")


def test_a_client_that_does_not_read_is_disconnected(site_at, alice, bob):
    narrow = site_at("/narrow")
    size = 20_000
    with narrow.connect_raw(alice, receive_buffer=4096) as slow, narrow.connect(bob) as b:
        sent = int(narrow.post(f"/push/{alice}?size={size}&more=100"))
        eventually(lambda: narrow.get(f"/peers?username={alice}"), [])
        b.nothing_came()

        # Messages sent in part are complete. Waiting ones are dropped. The close has the reason.
        seen = 0
        opcode, payload = slow.read_frame()
        while opcode == TEXT:
            assert json.loads(payload)["data"] == {"n": seen, "text": size * "x"}
            seen += 1
            opcode, payload = slow.read_frame()
        assert seen < sent
        assert (opcode, payload) == (CLOSE, (1008).to_bytes(2, "big") + b"slow consumer")


def test_a_client_on_a_slow_link_stays_although_it_answers_a_ping_late(site, alice):
    with site.connect_raw(alice, receive_buffer=65_536) as slow:
        count = int(site.post(f"/push/{alice}?size=50000&more=8"))
        assert site.post(f"/interval/{alice}") == "open"
        for n in range(count):
            assert slow.read_message()["data"]["n"] == n
            # The link has time for some messages in each ping interval.
            if n % 15 == 14:
                assert site.post(f"/interval/{alice}") == "open"
        assert slow.read_frame() == (PING, b"")
        slow.send_frame(PONG)
        slow.send_request("get", "/echo", 7, n=7)
        assert slow.read_message()["data"] == {"n": 7}
        assert site.post(f"/interval/{alice}") == "open"


def test_a_client_that_neither_reads_nor_sends_is_closed_after_two_intervals(site, alice):
    with site.connect_raw(alice, receive_buffer=65_536):
        site.post(f"/push/{alice}?size=50000&more=8")
        assert site.post(f"/interval/{alice}") == "open"
        assert site.post(f"/interval/{alice}") == "draining"
        eventually(lambda: site.get(f"/peers?username={alice}"), [])
