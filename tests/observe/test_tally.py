"""The tally: what is counted, and what a client cannot make it count."""

from __future__ import annotations

import gc

import pytest

from protoo_flask.core.request import Request
from protoo_flask.core.routing.router import Router
from protoo_flask.observe.tally import MAX_LIMITS, Tally
from tests.fakes import Core

BOUNDS = (0.1, 1.0, 10.0)


class Counted:
    """A core with a tally; ``/slow`` takes 2 seconds, ``/open`` is never answered."""

    def __init__(self, **options):
        self.woken = []
        self.tally = Tally(BOUNDS, self.woken.append)
        router = Router()
        self.kept = []
        router.get("/", lambda req, next: req.reply(200, "OK"))
        router.get("/slow", self.answer_slowly)
        router.get("/open", lambda req, next: self.kept.append(req))
        inner = Router()
        inner.method("vote", "/", lambda req, next: req.reply(202, "counted"))
        router.use("/polls", inner)
        self.core = Core(router, observer=self.tally, **options)

    def answer_slowly(self, req, next):
        self.core.scheduler.advance(2)
        req.reply(200, "OK")

    def connect(self, username="alice", uuid="a1"):
        return self.core.connect(username, uuid)

    def totals(self, name):
        """Return the totals of a metric: ``{values of the labels: total}``; 0 is left out."""
        found = {}
        for (metric, labels), value in self.tally.totals():
            if metric == name and value:
                label = labels[0] if len(labels) == 1 else labels
                found[label] = found.get(label, 0) + value
        return found


# Requests


def test_requests_are_counted_by_method_and_status():
    counted = Counted()
    alice = counted.connect()
    for path in ("/", "/", "/nowhere"):
        alice.request("get", path)
    alice.request("vote", "/polls")
    assert counted.totals("protoo_requests_total") == {
        ("get", "200"): 2,
        ("get", "404"): 1,
        ("vote", "202"): 1,
    }


def test_a_request_counts_when_it_has_its_final_response():
    counted = Counted()
    alice = counted.connect()
    alice.start_request("get", "/open")
    counted.kept[0].reply(180, "ringing")
    assert counted.totals("protoo_requests_total") == {}
    counted.kept[0].reply(200)
    assert counted.totals("protoo_requests_total") == {("get", "200"): 1}


def test_a_method_that_no_route_names_makes_no_label():
    counted = Counted()
    alice = counted.connect()
    for number in range(50):
        alice.request(f"method{number}", "/")
        alice.notify(f"method{number}", "/")
    assert counted.totals("protoo_requests_total") == {("other", "404"): 50}
    assert counted.totals("protoo_notifications_total") == {"other": 50}
    assert [found.method for found in counted.tally.durations()] == ["other"]


@pytest.mark.parametrize("method", [None, ["get"], 7, ""])
def test_a_handler_that_changes_the_method_does_no_harm(method):
    counted = Counted()

    @counted.core.router.put("/")
    def change(req, next):
        req.method = method
        req.reply(200)

    assert counted.connect().request("put", "/")["status"] == 200
    assert counted.totals("protoo_requests_total") == {("other", "200"): 1}


def test_a_relayed_status_of_a_client_makes_no_label():
    counted = Counted()
    counted.core.router.get("/bob", lambda req, next: bob.peer.send(req, on_response=req.reply))
    alice, bob = counted.connect(), counted.connect("bob", "b1")
    for status in range(610, 640):
        alice.start_request("get", "/bob")
        bob.respond(bob.take(), status)
    assert counted.totals("protoo_requests_total") == {("get", "6xx"): 30}
    assert counted.totals("protoo_transactions_total") == {"6xx": 30}


def test_notifications_are_counted_apart():
    counted = Counted()
    counted.connect().notify("get", "/")
    assert counted.totals("protoo_notifications_total") == {"get": 1}
    assert counted.totals("protoo_requests_total") == {}


# Durations


def test_a_duration_is_counted_in_one_bucket():
    counted = Counted()
    alice = counted.connect()
    alice.request("get", "/")
    alice.request("get", "/slow")
    [durations] = counted.tally.durations()
    assert durations == ("get", [1, 0, 1, 0], 2.0)


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0, 0), (0.1, 0), (0.2, 1), (1.0, 1), (10, 2), (10.5, 3)]
)
def test_a_bucket_has_its_upper_bound(seconds, bucket):
    counted = Counted()
    alice = counted.connect()
    counted.core.scheduler.time = 0.0
    alice.start_request("get", "/open")
    counted.core.scheduler.advance(seconds)
    counted.kept[0].reply(200)
    [durations] = counted.tally.durations()
    assert durations.buckets.index(1) == bucket
    assert durations.seconds == seconds


def test_a_request_that_no_handler_saw_has_no_duration():
    counted = Counted()
    counted.connect().request("get", "/" * 5000)
    assert counted.totals("protoo_requests_total") == {("get", "414"): 1}
    [durations] = counted.tally.durations()
    assert sum(durations.buckets) == 0


# Everything else


def test_messages_and_bytes_are_counted_in_both_directions():
    counted = Counted()
    alice = counted.connect()
    alice.send_raw(b'{"method": "get", "path": "/", "id": 1}')
    alice.send_raw(b"hello")
    sent = alice.link.payloads
    assert counted.totals("protoo_received_messages_total") == {(): 2}
    assert counted.totals("protoo_received_bytes_total") == {(): 39 + 5}
    assert counted.totals("protoo_sent_messages_total") == {(): 2}
    assert counted.totals("protoo_sent_bytes_total") == {(): sum(map(len, sent))}
    assert counted.totals("protoo_violations_total") == {(): 1}


def test_connections_are_counted_when_they_open_and_close():
    counted = Counted(grace_period=10)
    first = counted.connect()
    second = counted.connect()  # the same device
    first.drop(3000)
    second.drop(4711)
    assert counted.totals("protoo_connections_opened_total") == {(): 2}
    assert counted.totals("protoo_connections_closed_total") == {"3000": 1, "4xxx": 1}


def test_transactions_are_counted_by_their_final_status():
    counted = Counted()
    alice = counted.connect()
    alice.peer.send(Request("get"))
    alice.respond(alice.take(), 200)
    alice.peer.send(Request("get"))
    counted.core.scheduler.advance(10)
    assert counted.totals("protoo_transactions_total") == {"200": 1, "408": 1}


def test_errors_of_the_site_are_counted_by_their_source():
    counted = Counted()

    @counted.core.router.get("/fail")
    def fail(req, next):
        raise ValueError

    def take(response):
        raise ValueError

    alice = counted.connect()
    alice.request("get", "/fail")
    alice.peer.send(Request("get"), take)
    alice.respond(alice.take(), 200)
    assert counted.totals("protoo_errors_total") == {"handler": 1, "listener": 1}


def test_refusals_are_counted():
    counted = Counted()
    counted.tally.limited("rooms", None)
    counted.tally.limited("rooms", counted.connect().peer)
    counted.tally.turned_away(429, "too many handshakes")
    assert counted.totals("protoo_refusals_total") == {"rooms": 2}
    assert counted.totals("protoo_handshakes_refused_total") == {"429": 1}


def test_limits_make_no_more_labels_than_there_are_limits():
    counted = Counted()
    for number in range(MAX_LIMITS + 10):
        counted.tally.limited(f"limit{number}", None)
    found = counted.totals("protoo_refusals_total")
    assert found.pop("other") == 10
    assert len(found) == MAX_LIMITS


# Life


def test_a_tally_keeps_no_application_alive():
    counted = Counted()
    assert counted.tally.application is counted.core.application
    tally = counted.tally
    del counted
    gc.collect()
    assert tally.application is None
    assert tally.has_started


def test_a_forked_process_begins_with_nothing():
    counted = Counted()
    counted.connect().request("get", "/")
    counted.tally.reset()
    assert {value for _, value in counted.tally.totals()} == {0}
    assert [*counted.tally.durations()] == []
    assert counted.tally.application is None


def test_a_rare_event_wakes_and_a_message_does_not():
    counted = Counted()
    alice = counted.connect()
    assert len(counted.woken) == 1
    alice.request("get", "/")
    alice.notify("get", "/")
    assert len(counted.woken) == 1
    alice.leave()
    counted.tally.turned_away(403, "no")
    counted.tally.limited("rooms", None)
    assert counted.woken == [counted.tally] * 4
