"""The runtime: services of the app, time limits, and the ids of new peers."""

from __future__ import annotations

import threading

from protoo_flask.core.request import Request
from protoo_flask.core.runtime import TimeLimits
from tests.fakes import Core

# Services


def test_a_service_is_made_once_for_its_key_with_the_runtime():
    runtime = Core().application.runtime
    made = []

    def make(found):
        made.append(found)
        return object()

    first = runtime.service("calls", make)
    assert runtime.service("calls", make) is first
    assert made == [runtime]
    assert runtime.service("rooms", make) is not first


def test_two_apps_have_services_of_their_own():
    key = object()
    first, second = Core().application.runtime, Core().application.runtime
    assert first.service(key, lambda runtime: [runtime]) == [first]
    assert second.service(key, lambda runtime: [runtime]) == [second]


def test_a_service_that_is_false_is_made_once_all_the_same():
    runtime = Core().application.runtime
    made: list[list[int]] = []

    def make(runtime):
        made.append([])
        return made[-1]

    assert runtime.service("empty", make) is runtime.service("empty", make)
    assert len(made) == 1


def test_of_several_threads_that_make_a_service_the_first_wins():
    runtime = Core().application.runtime
    both_make = threading.Barrier(2)
    found = []

    def make(runtime):
        both_make.wait(10)
        return object()

    def use():
        found.append(runtime.service("calls", make))

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert found[0] is found[1] is runtime.service("calls", make)


# Time limits


def test_a_delivery_may_take_a_request_and_an_absence_that_is_noticed_late():
    assert TimeLimits(request=10, detection=50, grace_period=30).delivery == 90
    assert TimeLimits(request=10).delivery == 10


def test_a_delivery_takes_longer_than_the_absence_of_its_peer():
    core = Core(grace_period=30, request_timeout=10)
    client = core.connect()
    transaction = client.peer.send(
        Request("get"), timeout=core.application.runtime.time_limits.delivery
    )
    core.scheduler.advance(9)
    client.drop()
    core.scheduler.advance(30)
    assert transaction.response.status == 410


# Ids


def test_the_requests_to_each_peer_have_ids_from_a_first_one_of_its_own():
    first_ids = iter([5, 500])
    core = Core(first_id=lambda: next(first_ids))
    alice, bob = core.connect("alice", "a1"), core.connect("bob", "b1")
    ids = [client.peer.send(Request("get")).id for client in (alice, bob, alice, bob)]
    assert ids == [5, 500, 6, 501]
