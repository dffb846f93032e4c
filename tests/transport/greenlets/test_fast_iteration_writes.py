"""The fast way to write: a batch at the end of an iteration, within a limit of time."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoo_flask.transport.greenlets.fast_iteration import (
    MAX_CORKED,
    MAX_DELAY,
    FastWriteBatching,
)
from protoo_flask.transport.greenlets.write_batching import WriteBatching

from ..fake_channel import FakeChannel, make_outbox, send_texts


class Clock:
    """Stands still until it is advanced."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def writes(clock: Clock) -> FastWriteBatching:
    return FastWriteBatching(clock)


class Corked:
    def __init__(self, uncork: Callable[[], Any]) -> None:
        self.uncork = uncork


def make_corked(count: int, uncorked: list[int]) -> list[Corked]:
    return [Corked(partial(uncorked.append, number)) for number in range(count)]


def test_a_batch_is_written_at_its_end_in_order(writes):
    uncorked: list[int] = []
    writes.begin()
    assert all(writes.add(corked) for corked in make_corked(3, uncorked))
    assert uncorked == []
    writes.end()
    assert uncorked == [0, 1, 2]
    writes.begin()
    writes.end()
    assert uncorked == [0, 1, 2]


def test_outside_of_a_batch_messages_are_written_at_once(writes):
    uncorked: list[int] = []
    (corked,) = make_corked(1, uncorked)
    assert not writes.add(corked)
    writes.begin()
    writes.end()
    assert not writes.add(corked)
    assert uncorked == []


def test_a_long_batch_is_written_in_time(writes, clock):
    uncorked: list[int] = []
    writes.begin()
    for number, corked in enumerate(make_corked(30, uncorked)):
        clock.time += MAX_DELAY * 0.3
        assert writes.add(corked)
        assert len(uncorked) >= number - 3
    writes.end()
    assert uncorked == [*range(30)]


def test_a_slow_handler_writes_at_once_and_does_not_delay_writes_of_others(writes, clock):
    uncorked: list[int] = []
    first, second, third = make_corked(3, uncorked)
    writes.begin()
    assert writes.add(first)
    clock.time += MAX_DELAY * 1.01
    assert not writes.add(second)
    assert uncorked == [0]
    assert not writes.add(third)
    writes.end()
    assert uncorked == [0]


def test_after_a_slow_handler_uncorking_may_write_at_once(writes, clock):
    batched: list[bool] = []
    (last,) = make_corked(1, [])
    writes.begin()
    assert writes.add(Corked(lambda: batched.append(writes.add(last))))
    clock.time += MAX_DELAY * 1.01
    assert not writes.add(last)
    assert batched == [False]


def test_the_size_of_a_batch_is_limited(writes):
    uncorked: list[int] = []
    writes.begin()
    for corked in make_corked(MAX_CORKED, uncorked):
        assert writes.add(corked)
    assert uncorked == []
    assert writes.add(Corked(lambda: uncorked.append(-1)))
    assert uncorked == [*range(MAX_CORKED)]
    writes.end()
    assert uncorked == [*range(MAX_CORKED), -1]


def test_at_the_end_uncorking_may_write_at_once(writes):
    uncorked: list[int] = []
    (corked,) = make_corked(1, uncorked)
    writes.begin()
    assert writes.add(Corked(lambda: uncorked.append(writes.add(corked))))
    writes.end()
    assert uncorked == [False]


def test_an_error_does_not_keep_the_others_corked(writes):
    uncorked: list[int] = []
    (corked,) = make_corked(1, uncorked)
    writes.begin()
    assert writes.add(Corked(lambda: 1 // 0))
    assert writes.add(corked)
    with pytest.raises(ZeroDivisionError):
        writes.end()
    writes.begin()
    writes.end()
    assert uncorked == [0]


CLIENTS = 3
STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(0, CLIENTS - 1)),
    st.tuples(st.just("cork"), st.integers(0, CLIENTS - 1)),
    st.tuples(st.just("uncork"), st.integers(0, CLIENTS - 1)),
    st.tuples(st.just("read"), st.integers(0, CLIENTS - 1)),
    st.tuples(st.just("wait"), st.sampled_from([MAX_DELAY * 0.4, MAX_DELAY * 1.5])),
    st.tuples(st.sampled_from(["begin", "end"]), st.none()),
)


def run(steps: list[Any], writes: WriteBatching, clock: Clock) -> list[bytes]:
    """Send to some clients; returns the bytes that each of them has received at the end."""
    channels = [FakeChannel(20) for _ in range(CLIENTS)]
    outboxes = [make_outbox(channel, limit=10_000) for channel in channels]
    for channel in channels:
        channel.batch_writes = writes.add  # type: ignore[method-assign]
    for number, (step, value) in enumerate(steps):
        if step == "send":
            send_texts(outboxes[value], b"%d" % number)
        elif step == "cork":
            outboxes[value].cork()
        elif step == "uncork":
            outboxes[value].uncork()
        elif step == "read":
            channels[value].make_room(10)
        elif step == "wait":
            clock.time += value
        else:
            getattr(writes, step)()
    writes.end()
    for channel, outbox in zip(channels, outboxes):
        outbox.uncork()
        channel.make_room(10_000)
    return [channel.received for channel in channels]


@given(st.lists(STEPS, max_size=40))
def test_clients_receive_the_same_as_when_each_message_is_written_at_once(steps):
    clock = Clock()
    assert run(steps, FastWriteBatching(clock), clock) == run(steps, WriteBatching(), clock)
