"""The messages of other users in the outbox of a slow reader."""

from __future__ import annotations

import pytest

from protoo_flask.transport.outbox import HEADER_SIZE, Outbox

from .fake_channel import FakeChannel, encode

LIMIT = 800_000
SIZE = 10_000


class Owner:
    def __init__(self):
        self.overflows = 0

    def overflow(self):
        self.overflows += 1


class Reader:
    """A client that reads only what a test lets it read."""

    def __init__(self, limit=LIMIT):
        self.channel = FakeChannel()
        self.owner = Owner()
        self.outbox = Outbox(self.channel, encode, limit, self.owner)

    def send(self, sender, size=SIZE):
        """Send a message as the core does; ``False`` when it was refused."""
        outbox = self.outbox
        if sender is not None and outbox.is_blocked and not outbox.admits(sender, size):
            return False
        return outbox.send_text(b"x" * size)

    def flood(self, sender, size=SIZE):
        count = 0
        while self.send(sender, size):
            count += 1
        return count * (size + HEADER_SIZE)

    def read(self, size):
        self.channel.make_room(size)


def test_a_reader_that_keeps_up_refuses_nobody():
    reader = Reader()
    reader.channel.room = 100 * LIMIT
    for _ in range(200):
        assert reader.send("mallory")
    assert not reader.outbox.is_blocked


def test_one_sender_cannot_fill_the_outbox_and_others_are_heard():
    reader = Reader()
    assert LIMIT // 8 < reader.flood("mallory") <= LIMIT // 4 + SIZE + HEADER_SIZE
    assert reader.send("carol")
    assert reader.owner.overflows == 0
    assert reader.outbox.is_blocked


def test_many_senders_leave_room_for_the_site_and_only_the_site_gives_a_reader_up():
    reader = Reader()
    for number in range(20):
        reader.flood(f"mallory-{number}")
    assert reader.owner.overflows == 0
    assert LIMIT // 2 < reader.outbox.size <= LIMIT * 3 // 4
    assert reader.flood(None) > LIMIT // 4 - 2 * SIZE
    assert reader.owner.overflows == 1


def test_the_messages_that_were_read_make_room_for_their_sender():
    reader = Reader()
    reader.flood("mallory")
    reader.flood("carol")
    assert not reader.send("mallory")
    reader.read(reader.outbox.size // 2)
    assert reader.outbox.is_blocked
    assert reader.send("mallory")
    reader.read(10 * LIMIT)
    assert not reader.outbox.is_blocked
    assert reader.outbox.size == 0
    reader.channel.room = 0
    assert LIMIT // 8 < reader.flood("mallory") <= LIMIT // 4 + SIZE + HEADER_SIZE


@pytest.mark.parametrize("size", [1000, 60_000])
def test_a_message_in_a_small_outbox_finds_room_if_nothing_else_of_its_sender_waits(size):
    reader = Reader(limit=4 * size)
    assert reader.send(None, size)
    assert reader.send("carol", size)
    assert not reader.send("carol", size)
    assert not reader.outbox.admits("mallory", 2 * size)


def test_the_outbox_that_was_closed_is_harmless():
    reader = Reader()
    reader.flood("mallory")
    reader.outbox.close()
    reader.outbox.admits("mallory", SIZE)
    assert not reader.outbox.send_text(b"x")
