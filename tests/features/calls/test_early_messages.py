"""EarlyMessages: the messages that are kept for joining devices, and their limits."""

from __future__ import annotations

from protoo_flask.core.request import Request
from protoo_flask.features.calls.early_messages import MAX_MESSAGES, MAX_SIZE, EarlyMessages


def candidate(number, text=""):
    return Request("icecandidate", {"n": number, "text": text})


def numbers(kept):
    return [item.message.data["n"] for item in kept.items()]


def test_requests_and_notifications_are_kept_in_order():
    kept = EarlyMessages()
    kept.add(candidate(1), is_notification=True)
    kept.add(candidate(2), is_notification=False)
    assert [(item.message.data["n"], item.is_notification) for item in kept.items()] == [
        (1, True),
        (2, False),
    ]


def test_beyond_the_number_limit_the_oldest_messages_are_dropped():
    kept = EarlyMessages()
    for number in range(MAX_MESSAGES + 3):
        kept.add(candidate(number), is_notification=True)
    assert len(kept) == MAX_MESSAGES
    assert numbers(kept) == list(range(3, MAX_MESSAGES + 3))


def test_beyond_the_size_limit_the_oldest_messages_are_dropped():
    kept = EarlyMessages()
    for number in range(20):
        kept.add(candidate(number, "x" * (MAX_SIZE // 4)), is_notification=True)
    assert numbers(kept) == [17, 18, 19]


def test_a_message_larger_than_the_limit_is_not_kept():
    kept = EarlyMessages()
    kept.add(candidate(1, "x" * MAX_SIZE), is_notification=True)
    assert len(kept) == 0
    kept.add(candidate(2), is_notification=True)
    assert numbers(kept) == [2]


def test_clearing_makes_room_for_new_messages():
    kept = EarlyMessages()
    kept.add(candidate(1, "x" * (MAX_SIZE - 1000)), is_notification=True)
    kept.clear()
    kept.add(candidate(2, "x" * (MAX_SIZE - 1000)), is_notification=True)
    kept.add(candidate(3), is_notification=True)
    assert numbers(kept) == [2, 3]


def test_a_message_that_cannot_be_sent_is_not_kept():
    kept = EarlyMessages()
    kept.add(Request("icecandidate", {"n": object()}), is_notification=True)
    assert len(kept) == 0
