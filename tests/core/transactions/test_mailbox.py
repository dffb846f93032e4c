"""The mailbox: messages wait for a peer that is away, in order and up to a limit."""

from __future__ import annotations

from protoo_flask.core.transactions.mailbox import MESSAGE_SIZE, Mailbox


def test_messages_wait_in_order_with_the_ids_of_those_that_are_requests():
    mailbox = Mailbox(10_000)
    for payload, id in [(b"a", None), (b"b", 7), (b"c", None), (b"d", 3)]:
        assert mailbox.put(payload, id)
    assert mailbox.items() == [(b"a", None), (b"b", 7), (b"c", None), (b"d", 3)]


def test_the_size_of_a_mailbox_is_bounded_and_a_discarded_message_makes_room():
    mailbox = Mailbox(2 * (MESSAGE_SIZE + 10))
    assert mailbox.put(b"x" * 10, 1)
    assert mailbox.put(b"x" * 10)
    assert not mailbox.put(b"")
    assert mailbox.size == 2 * (MESSAGE_SIZE + 10)
    mailbox.discard(1)
    mailbox.discard(1)
    mailbox.discard(99)
    assert mailbox.size == MESSAGE_SIZE + 10
    assert mailbox.put(b"y" * 10, 2)
    assert mailbox.items() == [(b"x" * 10, None), (b"y" * 10, 2)]


def test_a_single_message_may_be_larger_than_the_limit():
    mailbox = Mailbox(10)
    assert mailbox.put(b"x" * 100)
    assert not mailbox.put(b"x")
