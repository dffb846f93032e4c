"""The rates of messages: what is counted, what is refused, and who is closed."""

from __future__ import annotations

import logging

import pytest

from protoo_flask.core.observer import Observer
from protoo_flask.core.request_rates import MIN_PATIENCE
from tests.fakes import Core


class Noting(Observer):
    """Keeps what it is told of limits."""

    def __init__(self) -> None:
        self.limits: list[tuple[str, str]] = []

    def limited(self, limit, peer):
        self.limits.append((limit, peer.uuid))


def make(rate_limit, **options):
    """Return a core whose handler answers at once, and keeps the paths of what it has seen."""
    core = Core(rate_limit=rate_limit, **options)
    core.seen = []

    @core.router.use
    def handle(req, next):
        core.seen.append(req.original_path)
        req.reply(200)

    return core


def flood(client, count):
    """Send requests, and return the status of each."""
    return [client.request("get", "/")["status"] for _ in range(count)]


# The edges


def test_without_a_limit_there_is_none():
    core = make(None)
    assert core.application.runtime.rates is None
    assert flood(core.connect(), 5000) == [200] * 5000


@pytest.mark.parametrize("burst", [1, 2, 30])
def test_exactly_a_burst_is_handled_and_then_one_for_each_retry_after(burst):
    core = make({"peer": ("2/s", burst)})
    alice = core.connect()
    assert flood(alice, burst) == [200] * burst
    refused = alice.request("get", "/")
    assert refused == {
        "status": 429,
        "reason": "too many requests",
        "id": refused["id"],
        "data": {"retryAfter": 0.5},
    }
    assert len(core.seen) == burst
    core.scheduler.advance(0.49)
    assert alice.request("get", "/")["data"]["retryAfter"] > 0
    core.scheduler.advance(0.01)
    assert flood(alice, 2) == [200, 429]


def test_each_refusal_tells_a_time_of_its_own_and_none_is_refused_again_then():
    core = make({"peer": ("10/s", 20)})
    alice = core.connect()
    flood(alice, 20)
    start = core.scheduler.now()
    times = sorted(start + alice.request("get", "/")["data"]["retryAfter"] for _ in range(100))
    assert times == pytest.approx([start + 0.1 * (n + 1) for n in range(100)])
    statuses = []
    for time in times:
        core.scheduler.advance(time - core.scheduler.now())
        statuses += flood(alice, 1)
    assert statuses == [200] * 100


def test_notifications_count_and_are_dropped_without_an_answer():
    observer = Noting()
    core = make({"peer": ("1/s", 3)}, observer=observer)
    alice = core.connect()
    for number in range(5):
        alice.notify("note", f"/{number}")
    assert core.seen == ["/0", "/1", "/2"]
    assert alice.take_all() == []
    assert observer.limits == [("rate_of_peer", "a1")] * 2
    assert flood(alice, 1) == [429]


def test_responses_pings_and_bad_messages_do_not_count():
    core = make({"peer": ("1/s", 1)})
    alice = core.connect()
    for number in range(10):
        alice.send_raw(b'{"method": "ping", "id": 7}')
        assert alice.take()["reason"] == "pong"
        alice.send_raw(b'{"status": 200, "reason": "", "id": %d, "data": {}}' % (number + 1))
        alice.send_raw(b"rubbish")
        assert alice.take()["status"] == 400
    assert flood(alice, 2) == [200, 429]
    # And they go on beyond it.
    alice.send_raw(b'{"method": "ping", "id": 7}')
    assert alice.take()["status"] == 200
    alice.send_raw(b"rubbish")
    assert alice.take()["status"] == 400


# Devices and users


def test_devices_have_a_rate_each_and_share_that_of_their_user():
    observer = Noting()
    core = make({"peer": ("1/s", 5), "user": ("1/s", 8)}, observer=observer)
    one, other = core.connect("alice", "a1"), core.connect("alice", "a2")
    assert flood(one, 6) == [200] * 5 + [429]
    assert flood(other, 5) == [200] * 3 + [429] * 2
    assert flood(core.connect("bob", "a1"), 5) == [200] * 5
    assert observer.limits == [("rate_of_peer", "a1")] + [("rate_of_user", "a2")] * 2
    # What the user's rate refused was not taken from that of the device.
    core.scheduler.advance(2)
    assert flood(other, 5) == [200] * 2 + [429] * 3


def test_a_user_may_have_a_rate_alone():
    core = make({"user": ("1/s", 3)})
    one, other = core.connect("alice", "a1"), core.connect("alice", "a2")
    assert flood(one, 2) + flood(other, 2) == [200] * 3 + [429]


def test_a_device_that_connects_anew_has_the_bucket_that_it_had():
    core = make({"peer": ("1/s", 3)})
    alice = core.connect()
    assert flood(alice, 3) == [200] * 3
    alice.leave()
    assert flood(core.connect(), 1) == [429]
    core.connect().drop()
    assert flood(core.connect(), 1) == [429]


def test_two_apps_have_nothing_to_do_with_each_other():
    one, other = make({"peer": ("1/s", 3)}), make({"peer": ("1/s", 3)})
    assert flood(one.connect(), 4) == [200] * 3 + [429]
    assert flood(other.connect(), 4) == [200] * 3 + [429]


# Requests that wait, and repetitions


def make_busy(rate_limit, **options):
    """Return a core and its client, whose handlers block until the test lets them go."""
    core = Core(rate_limit=rate_limit, **options)
    running = []

    @core.router.use
    def handle(req, next):
        running.append(req.original_path)
        if req.original_path == "/slow":
            for number in range(4):
                alice.start_request("get", f"/{number}")
        req.reply(200)

    alice = core.connect()
    return core, alice, running


def test_requests_in_the_backlog_are_counted_once_and_when_they_come():
    core, alice, running = make_busy({"peer": ("1/s", 3)})
    id = alice.start_request("get", "/slow")
    assert running == ["/slow", "/0", "/1"]
    answers = alice.take_all()
    # The refused ones do not wait for the others.
    assert [(answer["id"] - id, answer["status"]) for answer in answers] == [
        *((3, 429), (4, 429), (0, 200), (1, 200), (2, 200)),
    ]
    core.scheduler.advance(1)
    assert flood(alice, 2) == [200, 429]


def test_several_at_a_time_are_counted_alike():
    _core, alice, running = make_busy({"peer": ("1/s", 3)}, parallel_requests=5)
    alice.start_request("get", "/slow")
    assert sorted(running) == ["/0", "/1", "/slow"]
    assert [answer["status"] for answer in alice.take_all()].count(429) == 2


def test_a_repetition_of_a_request_gets_the_answer_that_it_had_and_costs_nothing():
    core = make({"peer": ("1/s", 3)}, grace_period=30)
    alice = core.connect()
    messages = [b'{"method": "get", "path": "/", "id": %d}' % id for id in (901, 902)]
    for message in messages:
        alice.send_raw(message)
    answers = alice.take_all()
    alice.drop()
    alice = core.connect()
    for message in messages:
        alice.send_raw(message)
    assert alice.take_all() == answers
    assert core.seen == ["/", "/"]
    assert flood(alice, 2) == [200, 429]
    # Also when nothing is left.
    alice.send_raw(messages[0])
    assert alice.take_all() == answers[:1]
    assert flood(alice, 1) == [429]


def test_a_repetition_of_a_request_in_progress_is_not_refused():
    core = Core(rate_limit={"peer": ("1/s", 1)}, grace_period=30)
    kept = []
    core.router.use(lambda req, next: kept.append(req))
    alice = core.connect()
    message = b'{"method": "get", "path": "/", "id": 1}'
    alice.send_raw(message)
    alice.drop()
    alice = core.connect()
    alice.send_raw(message)
    assert alice.take_all() == []
    # Another one with its id is refused, and the first one goes on.
    alice.send_raw(b'{"method": "get", "path": "/other", "id": 1}')
    assert alice.take()["status"] == 429
    kept[0].reply(200)
    assert alice.take() == {"status": 200, "reason": "", "id": 1, "data": {}}


def test_an_id_in_progress_is_a_violation_also_beyond_the_rate():
    core = Core(rate_limit={"peer": ("1/s", 1)})
    core.router.use(lambda req, next: None)
    alice = core.connect()
    message = b'{"method": "get", "path": "/", "id": 1}'
    alice.send_raw(message)
    alice.send_raw(message)
    assert alice.take()["status"] == 400


def test_a_refused_request_is_forgotten_and_its_repetition_is_new():
    core = make({"peer": ("1/s", 1)}, grace_period=30)
    alice = core.connect()
    flood(alice, 1)
    message = b'{"method": "get", "path": "/later", "id": 50}'
    alice.send_raw(message)
    assert alice.take()["status"] == 429
    alice.drop()
    core.scheduler.advance(1)
    alice = core.connect()
    alice.send_raw(message)
    assert alice.take()["status"] == 200
    assert core.seen == ["/", "/later"]


# Clients that do not listen


def test_a_client_that_goes_on_far_beyond_the_limit_is_closed():
    core = make({"peer": ("1/s", 3)})
    alice = core.connect()
    flood(alice, 3 + MIN_PATIENCE)
    assert alice.link.closed is None
    assert flood(alice, 1) == [429]
    assert alice.link.closed == (1008, "rate limit exceeded")


def test_one_that_comes_back_and_goes_on_is_closed_at_once_and_has_a_chance_later():
    core = make({"peer": ("1/s", 3)})
    alice = core.connect()
    flood(alice, 4 + MIN_PATIENCE)
    alice.drop(1008)
    alice = core.connect()
    flood(alice, 1)
    assert alice.link.closed == (1008, "rate limit exceeded")
    alice.drop(1008)
    core.scheduler.advance(60)
    alice = core.connect()
    flood(alice, 3 + MIN_PATIENCE)
    assert alice.link.closed is None


def test_patience_is_ten_times_what_the_limit_allows_in_a_minute():
    core = make({"peer": ("10/s", 100)})
    alice = core.connect()
    flood(alice, 100 + 10 * (100 + 600))
    assert alice.link.closed is None
    flood(alice, 1)
    assert alice.link.closed == (1008, "rate limit exceeded")


def test_notifications_use_up_patience_too():
    core = make({"peer": ("1/s", 3)})
    alice = core.connect()
    for _ in range(4 + MIN_PATIENCE):
        alice.notify("note", "/")
    assert alice.link.closed == (1008, "rate limit exceeded")


def test_a_device_is_not_closed_for_what_others_of_its_user_send():
    core = make({"user": ("1/s", 3)})
    flooding, honest = core.connect("alice", "a1"), core.connect("alice", "a2")
    flood(flooding, 4 + MIN_PATIENCE)
    assert flooding.link.closed is not None
    assert flood(honest, 1) == [429]
    assert honest.link.closed is None


@pytest.mark.parametrize(
    ("rate", "count", "most"),
    [(("1/s", 1), 900, 16), (("1/m", 1), 90, 90), (("20/s", 200), 900, 1)],
)
def test_a_client_that_waits_as_it_is_told_is_never_closed(rate, count, most):
    """It has many messages at once, and sends each again when it may, all day long.

    A refusal tells a minute at most, so a message is refused more often when it is far behind.
    """
    core = make({"peer": rate})
    alice = core.connect()
    due = [(core.scheduler.now(), number) for number in range(count)]
    refusals = [0] * count
    while due:
        due.sort()
        time, number = due.pop(0)
        core.scheduler.advance(max(time - core.scheduler.now(), 0))
        answer = alice.request("get", f"/{number}")
        if answer["status"] == 429:
            refusals[number] += 1
            due.append((core.scheduler.now() + answer["data"]["retryAfter"], number))
        assert alice.link.closed is None
    assert len(core.seen) == count
    assert max(refusals) <= most


# The log


def test_the_log_tells_once_of_each_device_and_user(caplog):
    caplog.set_level(logging.WARNING)
    core = make({"peer": ("1/s", 1), "user": ("1/s", 2)})
    one, other = core.connect("alice", "a1"), core.connect("alice", "a2")
    flood(one, 50)
    flood(other, 50)
    third = core.connect("alice", "a3")
    flood(third, 50)
    assert [record.getMessage() for record in caplog.records] == [
        "requests of device a1 of user alice are refused for now: PROTOO_RATE_LIMIT is 1/s burst=1",
        "requests of device a2 of user alice are refused for now: PROTOO_RATE_LIMIT is 1/s burst=1",
        "requests of user alice are refused for now: PROTOO_RATE_LIMIT is 1/s burst=2",
    ]
    core.scheduler.advance(3600)
    flood(one, 50)
    assert len(caplog.records) == 4


def test_a_clock_that_stands_still_or_jumps_ahead_does_no_harm():
    """It never goes back; but a process that was stopped finds hours gone."""
    core = make({"peer": ("10/s", 20)})
    alice = core.connect()
    assert flood(alice, 21) == [200] * 20 + [429]
    core.scheduler.advance(1e6)
    assert flood(alice, 21) == [200] * 20 + [429]
