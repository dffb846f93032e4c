"""rate_limit: how often the paths behind it may be asked."""

from __future__ import annotations

import logging

import pytest

from protoo_flask import Router
from protoo_flask.core.errors import UsageError
from protoo_flask.core.functions import name_function
from protoo_flask.core.observer import Observer
from protoo_flask.features.rates.path_limits import OF_PATH
from protoo_flask.middleware import rate_limit
from tests.cluster.nodes import Nodes
from tests.fakes import Core


class Noting(Observer):
    """Keeps what it is told of limits."""

    def __init__(self):
        self.limits = []

    def limited(self, limit, peer):
        self.limits.append((limit, peer.username, peer.uuid))


def make(*functions, path="/rooms", **options):
    """Return a core with functions at a path, and a handler behind all."""
    core = Core(**options)
    core.seen = []
    mount(core, core.router, path, *functions)
    return core


def mount(core, router, path, *functions):
    router.use(path, *functions)

    @router.use
    def handle(req, next):
        core.seen.append(req.original_path)
        req.reply(200)


def flood(client, count, path="/rooms/1", method="get"):
    return [client.request(method, path)["status"] for _ in range(count)]


# The edges


def test_exactly_a_burst_passes_and_then_one_for_each_retry_after():
    core = make(rate_limit("2/s", burst=3))
    alice = core.connect()
    assert flood(alice, 3) == [200] * 3
    refused = alice.request("get", "/rooms/1")
    assert (refused["status"], refused["reason"], refused["data"]) == (
        *(429, "too many requests"),
        {"retryAfter": 0.5},
    )
    core.scheduler.advance(0.49)
    assert flood(alice, 1) == [429]
    core.scheduler.advance(0.01)
    assert flood(alice, 2) == [200, 429]


@pytest.mark.parametrize(
    ("rate", "burst"),
    [("10/s", 10), ("30/m", 30), ("100/h", 100), ("0.5/s", 1), (2, 2), ("5/s burst=9", 9)],
)
def test_the_burst_is_that_of_a_period(rate, burst):
    core = make(rate_limit(rate))
    assert flood(core.connect(), burst + 2) == [200] * burst + [429] * 2


def test_all_paths_and_methods_behind_it_share_a_bucket_and_others_are_free():
    core = make(rate_limit("1/s", burst=2))
    alice = core.connect()
    assert flood(alice, 1, "/rooms/1") + flood(alice, 1, "/rooms/2", "message") == [200, 200]
    assert flood(alice, 1, "/rooms") == [429]
    assert flood(alice, 5, "/others") == [200] * 5


def test_two_limits_share_nothing_and_both_may_stand_in_the_way():
    core = Core()
    core.seen = []
    core.router.use("/a", rate_limit("1/s", burst=1))
    core.router.use("/b", rate_limit("1/s", burst=1))
    mount(core, core.router, "/", rate_limit("1/s", burst=3))
    alice = core.connect()
    assert flood(alice, 2, "/a") + flood(alice, 2, "/b") == [200, 429, 200, 429]
    assert flood(alice, 2, "/c") == [200, 429]


def test_it_is_for_a_route_with_parameters_too():
    core = Core()
    handled = []
    core.router.message(
        "/users/:name",
        rate_limit("1/s"),
        lambda req, next: handled.append(req.params) or req.reply(200),
    )
    alice = core.connect()
    assert flood(alice, 2, "/users/bob", "message") == [200, 429]
    assert handled == [{"name": "bob"}]


def test_a_notification_beyond_it_goes_no_further():
    observer = Noting()
    core = make(rate_limit("1/s", burst=2), observer=observer)
    alice = core.connect()
    for number in range(4):
        alice.notify("note", f"/rooms/{number}")
    assert core.seen == ["/rooms/0", "/rooms/1"]
    assert alice.take_all() == []
    assert observer.limits == [("rate_of_path", "alice", "a1")] * 2
    assert OF_PATH == "rate_of_path"


def test_each_refusal_tells_a_time_of_its_own():
    core = make(rate_limit("1/s", burst=1))
    alice = core.connect()
    flood(alice, 1)
    told = [alice.request("get", "/rooms")["data"]["retryAfter"] for _ in range(3)]
    assert told == [1.0, 2.0, 3.0]


def test_limits_with_one_name_and_rate_share_a_bucket_and_others_do_not():
    core = Core()
    core.seen = []
    for path, rate in [("/a", "1/s"), ("/b", "1/s"), ("/c", "2/s")]:
        core.router.use(path, rate_limit(rate, burst=4, cost=2, name="budget"))
    mount(core, core.router, "/", lambda req, next: next())
    alice = core.connect()
    assert flood(alice, 1, "/a") + flood(alice, 2, "/b") == [200, 200, 429]
    assert flood(alice, 3, "/c") == [200, 200, 429]


# Whose requests share a bucket


def test_the_devices_of_a_user_share_a_bucket():
    core = make(rate_limit("1/s", burst=3))
    one, other = core.connect("alice", "a1"), core.connect("alice", "a2")
    assert flood(one, 2) + flood(other, 2) == [200] * 3 + [429]
    assert flood(core.connect("bob", "b1"), 1) == [200]


def test_each_device_may_have_a_bucket_of_its_own():
    core = make(rate_limit("1/s", burst=3, by="peer"))
    one, other = core.connect("alice", "a1"), core.connect("alice", "a2")
    assert flood(one, 4) == flood(other, 4) == [200] * 3 + [429]


def test_a_function_says_whose_requests_share_a_bucket():
    def by(req):
        room = req.path.strip("/")
        return None if room == "lobby" else int(room) if room.isdigit() else room

    core = make(rate_limit("1/s", burst=2, by=by))
    alice, bob = core.connect("alice", "a1"), core.connect("bob", "b1")
    assert flood(alice, 1, "/rooms/7") + flood(bob, 2, "/rooms/7") == [200, 200, 429]
    assert flood(bob, 3, "/rooms/x") == [200, 200, 429]
    assert flood(bob, 9, "/rooms/lobby") == [200] * 9


def test_a_function_that_returns_something_else_is_an_error_of_the_site(caplog):
    core = make(rate_limit("1/s", by=lambda req: ["room"]))
    assert flood(core.connect(), 1) == [500]
    assert "returns the name of a bucket" in caplog.text


def test_the_error_of_a_function_is_that_of_the_request():
    core = make(rate_limit("1/s", by=lambda req: 1 // 0))
    assert flood(core.connect(), 1) == [500]


def test_a_request_may_cost_more_or_less():
    core = make(rate_limit("1/s", burst=10, cost=4))
    alice = core.connect()
    assert flood(alice, 3) == [200, 200, 429]
    core.scheduler.advance(2)
    assert flood(alice, 2) == [200, 429]
    cheap = make(rate_limit("1/s", burst=1, cost=0.25))
    assert flood(cheap.connect(), 5) == [200] * 4 + [429]


def test_two_apps_that_share_a_router_have_buckets_of_their_own():
    router = Router()
    router.use(rate_limit("1/s", burst=2))
    router.use(lambda req, next: req.reply(200))
    one, other = Core(router), Core(router)
    assert flood(one.connect(), 3) == flood(other.connect(), 3) == [200, 200, 429]


# The log


def test_the_log_tells_once_of_each_name(caplog):
    caplog.set_level(logging.WARNING)
    core = make(rate_limit("1/s", burst=1))
    flood(core.connect("alice", "a1"), 9)
    flood(core.connect("bob", "b1"), 9, "/rooms/x")
    assert [record.getMessage() for record in caplog.records] == [
        "requests of 'alice' to /rooms/1 are refused for now: rate_limit() is 1/s burst=1 there",
        "requests of 'bob' to /rooms/x are refused for now: rate_limit() is 1/s burst=1 there",
    ]


def test_it_has_a_name_in_tables_and_errors():
    assert name_function(rate_limit("10/m", burst=3)).startswith(
        "protoo_flask.features.rates.middleware.rate_limit(10/m burst=3) ("
    )


# Wrong options


@pytest.mark.parametrize(
    ("args", "options", "text"),
    [
        (("fast",), {}, r"rate_limit\(rate\) is a rate, like"),
        ((None,), {}, r"rate_limit\(rate\) is a rate, like"),
        (({"peer": "1/s"},), {}, r"rate_limit\(rate\) is a rate, like"),
        (("1/s",), {"burst": 0}, r"burst=\.\.\.\) takes a number, 1 or more, not 0"),
        (("1/s",), {"burst": float("inf")}, r"burst=\.\.\.\) takes a number, 1 or more"),
        (("1/s",), {"burst": True}, r"burst=\.\.\.\) takes a number, 1 or more"),
        (("fast",), {"burst": 2}, r"rate_limit\(rate\) is a rate, like"),
        (("1/s",), {"burst": "9"}, r"burst=\.\.\.\) takes a number, 1 or more, not '9'"),
        (("1/s burst=2",), {"burst": 3}, "has two bursts"),
        (("1/s",), {"by": "address"}, r'takes "user", "peer", or a function by\(req\)'),
        (("1/s",), {"by": None}, r'takes "user", "peer", or a function by\(req\)'),
        (("1/s",), {"by": lambda: "x"}, r"cannot be called as by\(req\)"),
        (("1/s",), {"cost": 0}, "a number above 0, and no more than the burst, which is 1"),
        (("1/s",), {"cost": 2}, "a number above 0, and no more than the burst, which is 1"),
        (("1/s",), {"cost": True}, "a number above 0"),
        (("1/s",), {"name": ""}, r"name=...\) takes a text"),
    ],
)
def test_a_wrong_option_is_refused_at_once(args, options, text):
    with pytest.raises(UsageError, match=text):
        rate_limit(*args, **options)


# In a cluster


def make_nodes(make_limit, **options):
    """Return two nodes with the same site."""
    nodes = Nodes(2, **options)
    for core in nodes.cores:
        core.seen = []
        mount(core, core.router, "/rooms", make_limit())
    return nodes


@pytest.mark.parametrize("burst", [1, 3, 9])
def test_a_small_burst_holds_exactly_at_two_nodes(burst):
    with make_nodes(lambda: rate_limit("1/s", burst=burst, name="rooms")) as nodes:
        one, other = (core.connect("alice", f"a{n}") for n, core in enumerate(nodes.cores))
        statuses = [flood(client, 1)[0] for _ in range(burst) for client in (one, other)]
        assert statuses.count(200) == burst
        nodes.hub.advance(1)
        assert flood(other, 2) + flood(one, 2) == [200, 429, 429, 429]
        assert flood(nodes.cores[0].connect("bob", "b1"), 1) == [200]


def test_a_larger_burst_holds_but_for_a_tenth_at_each_node():
    with make_nodes(lambda: rate_limit("1/s", burst=100, name="rooms")) as nodes:
        one, other = (core.connect("alice", f"a{n}") for n, core in enumerate(nodes.cores))
        statuses = [flood(client, 1)[0] for _ in range(100) for client in (one, other)]
        assert 100 <= statuses.count(200) <= 122


def test_limits_of_the_same_line_are_told_apart_and_are_the_same_at_all_nodes():
    made = []
    with Nodes(2) as nodes:
        for core in nodes.cores:
            core.seen = []
            limits = [rate_limit("1/s", burst=1, name=name) for name in ("a", "b")]
            core.router.use("/a", limits[0])
            core.router.use("/b", limits[1])
            mount(core, core.router, "/", lambda req, next: next())
            made += limits
        one, other = (core.connect("alice", f"a{n}") for n, core in enumerate(nodes.cores))
        assert flood(one, 1, "/a") + flood(other, 1, "/a") == [200, 429]
        assert flood(other, 1, "/b") + flood(one, 1, "/b") == [200, 429]


def test_by_default_the_line_of_the_site_is_the_name():
    """A line that makes several gives each its own, in order."""
    scopes = [find_scope(rate_limit("1/s")) for _ in range(2)] + [find_scope(rate_limit("1/s"))]
    lines = [scope.rsplit(" ", 1)[0] for scope in scopes]
    assert lines[0].startswith(f"path {__name__}:")
    assert len(set(scopes)) == 3


def find_scope(middleware):
    (limit,) = (
        cell.cell_contents
        for cell in middleware.__closure__
        if hasattr(cell.cell_contents, "scope")
    )
    return limit.scope


@pytest.mark.parametrize("by", ["peer", lambda req: req.peer.username])
def test_other_buckets_are_shared_by_nodes_as_well(by):
    with make_nodes(lambda: rate_limit("1/s", burst=2, by=by, name="rooms")) as nodes:
        one, other = nodes.cores
        assert flood(one.connect("alice", "a1"), 2) == [200, 200]
        # The device moves.
        assert flood(other.connect("alice", "a1"), 1) == [429]


def test_while_the_directory_is_away_each_node_goes_on_alone():
    with make_nodes(lambda: rate_limit("1/s", burst=2, name="rooms")) as nodes:
        one, other = (core.connect("alice", f"a{n}") for n, core in enumerate(nodes.cores))
        nodes.hub.go_away()
        assert flood(one, 3) == flood(other, 3) == [200, 200, 429]
        nodes.hub.come_back()
        nodes.hub.advance(60)
        assert flood(one, 2) + flood(other, 1) == [200, 200, 429]
