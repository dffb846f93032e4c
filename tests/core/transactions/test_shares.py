"""The part of a bounded space that each sender takes."""

from __future__ import annotations

import pytest

from protoo_flask.core.transactions.mailbox import MESSAGE_SIZE, Mailbox
from protoo_flask.core.transactions.shares import QueueShares, Shares

SPACE = 8000


def test_a_share_is_an_eighth_and_at_the_limit_there_is_room():
    shares = Shares()
    shares.add("mallory", 600)
    assert shares.admit("mallory", 400, SPACE)
    assert not shares.admit("mallory", 401, SPACE)
    assert shares.admit("carol", 1001, SPACE), "the first message of each sender may be larger"


def test_all_senders_together_have_half():
    shares = Shares()
    for number in range(4):
        shares.add(f"mallory-{number}", 900)
    assert shares.admit("carol", 400, SPACE)
    assert not shares.admit("carol", 401, SPACE)


def test_a_share_is_given_back():
    shares = Shares()
    for size in (600, 400):
        shares.add("mallory", size)
    shares.remove("mallory", 600)
    assert (shares.of("mallory"), shares.total) == (400, 400)
    shares.remove("mallory", 400)
    assert (len(shares), shares.total) == (0, 0)


def test_messages_that_have_left_a_queue_take_no_share():
    shares = QueueShares()
    assert shares.take("mallory", 600, SPACE, 0, 5000)
    assert not shares.take("mallory", 600, SPACE, 0, 5600)
    assert not shares.take("mallory", 600, SPACE, 5599, 9000)
    assert shares.take("mallory", 600, SPACE, 5600, 9000)


def fill(mailbox, sender, size=100):
    count = 0
    while mailbox.admits(sender, b"x" * size):
        assert mailbox.put(b"x" * size, sender=sender)
        count += 1
    return count * (size + MESSAGE_SIZE)


def test_one_sender_cannot_fill_a_mailbox():
    mailbox = Mailbox(SPACE)
    assert SPACE // 8 - 200 < fill(mailbox, "mallory") <= SPACE // 8
    assert mailbox.admits("carol", b"hello")


def test_many_senders_leave_room_for_the_site():
    mailbox = Mailbox(SPACE)
    for number in range(20):
        fill(mailbox, f"mallory-{number}")
    assert SPACE // 2 - 200 < mailbox.size <= SPACE // 2
    assert not mailbox.admits("carol", b"x" * 100)
    assert mailbox.put(b"x" * (SPACE // 2 - MESSAGE_SIZE))


def test_the_messages_of_the_site_leave_less_room_for_others():
    mailbox = Mailbox(SPACE)
    assert mailbox.put(b"x" * (SPACE * 3 // 4 - 2 * MESSAGE_SIZE - 10))
    assert mailbox.admits("carol", b"x" * 10)
    assert not mailbox.admits("carol", b"x" * 11)


def test_a_request_that_has_ended_gives_its_share_back():
    mailbox = Mailbox(SPACE)
    mailbox.put(b"", 99)
    ids = []
    while mailbox.admits("mallory", b"x" * 100):
        ids.append(len(ids) + 1)
        mailbox.put(b"x" * 100, ids[-1], "mallory")
    for id in ids:
        mailbox.discard(id)
        mailbox.discard(id)
    assert (mailbox.size, len(mailbox._shares)) == (MESSAGE_SIZE, 0)
    assert mailbox.admits("mallory", b"x" * 100)


@pytest.mark.parametrize("size", [1, SPACE * 2])
def test_the_first_message_of_all_has_room_whatever_its_size(size):
    assert Mailbox(SPACE).admits("carol", b"x" * size)


def test_a_request_that_was_sent_before_does_not_count():
    mailbox = Mailbox(SPACE)
    mailbox.add(b"x" * SPACE, 1, is_counted=False)
    mailbox.add(b"x" * SPACE, 2, is_counted=False)
    assert not mailbox.is_too_full
    assert mailbox.put(b"x" * (SPACE - MESSAGE_SIZE))
    mailbox.discard(1)
    assert mailbox.size == SPACE
