"""EarlyMessages: what is kept for those who join a call, and how much."""

from __future__ import annotations

from protoo_flask.core.request import Request
from protoo_flask.features.calls.early_messages import MAX_MESSAGES, MAX_SIZE, EarlyMessages


def candidate(number, text=""):
    return Request("icecandidate", {"n": number, "text": text})


def numbers(kept):
    return [item.message.data["n"] for item in kept.items()]


def test_messages_are_kept_in_order_as_what_they_were():
    kept = EarlyMessages()
    kept.add(candidate(1), is_notification=True)
    kept.add(candidate(2), is_notification=False)
    assert [(item.message.data["n"], item.is_notification) for item in kept.items()] == [
        (1, True),
        (2, False),
    ]


def test_of_too_many_the_oldest_go():
    kept = EarlyMessages()
    for number in range(MAX_MESSAGES + 3):
        kept.add(candidate(number), is_notification=True)
    assert len(kept) == MAX_MESSAGES
    assert numbers(kept) == list(range(3, MAX_MESSAGES + 3))


def test_of_too_large_ones_the_oldest_go():
    kept = EarlyMessages()
    for number in range(20):
        kept.add(candidate(number, "x" * (MAX_SIZE // 4)), is_notification=True)
    assert numbers(kept) == [17, 18, 19]


def test_one_that_is_larger_than_all_may_be_is_not_kept():
    kept = EarlyMessages()
    kept.add(candidate(1, "x" * MAX_SIZE), is_notification=True)
    assert len(kept) == 0
    kept.add(candidate(2), is_notification=True)
    assert numbers(kept) == [2]


def test_what_is_cleared_makes_room():
    kept = EarlyMessages()
    kept.add(candidate(1, "x" * (MAX_SIZE - 1000)), is_notification=True)
    kept.clear()
    kept.add(candidate(2, "x" * (MAX_SIZE - 1000)), is_notification=True)
    kept.add(candidate(3), is_notification=True)
    assert numbers(kept) == [2, 3]


def test_what_cannot_be_sent_is_not_kept():
    kept = EarlyMessages()
    kept.add(Request("icecandidate", {"n": object()}), is_notification=True)
    assert len(kept) == 0
