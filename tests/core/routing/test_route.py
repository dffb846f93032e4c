"""Routes: several methods and functions for one path, and ``next("route")``."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import UsageError
from protoo_flask.core.request import Request
from protoo_flask.core.routing.route import Route
from protoo_flask.core.routing.router import Router
from tests.fakes import Core

from .handlers import ask, not_found, note, ok, position_of, reply

pytestmark = pytest.mark.usefixtures("each_way")


def test_a_route_has_functions_for_several_methods_and_chains():
    core, trace = Core(), []
    core.router.route("/x").get(reply("got")).put(reply("put")).all(note(trace, "all")).method(
        "wave", reply("waved")
    )
    assert ask(core, "/x", "get") == (200, "got")
    assert ask(core, "/x", "put") == (200, "put")
    assert ask(core, "/x", "wave") == (200, "waved")
    assert ask(core, "/x", "hold") == not_found
    assert trace == ["all", "/all"] * 2


def test_a_route_takes_decorators():
    core = Core()
    route = core.router.route("/x")

    @route.get
    def get(req, next): ...

    @route.message()
    def say(req, next):
        req.reply(200, "said")

    assert callable(get)
    assert ask(core, "/x", "message") == (200, "said")


def test_a_route_as_a_decorator_is_refused_with_the_decorators_that_there_are():
    router = Router()
    with pytest.raises(UsageError, match=r"route\('/x'\) is no decorator.*@protoo.message\('/x'\)"):

        @router.route("/x")
        def view(req, next): ...


def test_methods_as_flask_takes_them_are_refused_with_the_right_forms():
    with pytest.raises(UsageError, match=r"takes no methods: write route\('/x'\).message\(fn\)"):
        Router().route("/x", methods=["GET"])


def test_next_route_leaves_the_route_and_goes_on_below_it():
    core, trace = Core(), []
    core.router.get("/", lambda req, next: next("route"), note(trace, "skipped"))
    core.router.get("/", reply("below"))
    core.router.errorhandler(lambda error, req, next: trace.append(error))
    assert ask(core, "/") == (200, "below")
    assert trace == []


def test_next_route_outside_of_a_route_is_next():
    core = Core()
    core.router.use(lambda req, next: next("route"))
    core.router.get("/", reply("OK"))
    assert ask(core, "/") == ok


@pytest.mark.parametrize("others", [[], ["put"], ["get"], ["get", "put", None]])
def test_next_means_the_same_in_a_route_with_one_function_as_with_several(others):
    router, trace = Router(), []
    route = router.route("/a/:x")
    route.get(lambda req, next: next(*req.data["with"]))
    for method in others:
        route.add(method, [lambda req, next: next()])
    router.get("/a/*", lambda req, next: trace.append(("below", req.route.path, {**req.params})))

    @router.errorhandler
    def handle(error, req, next):
        trace.append(("error", req.route, req.params))

    for arguments in [[], ["route"], ["other"]]:
        request = Request("get", {"with": arguments})
        request.path = "/a/b"
        router(request, print)
    below = ("below", "/a/*", {0: "b"})
    assert trace == [below, below, ("error", None, {})]


@pytest.mark.parametrize("methods", [["get"], ["get", "put"], [None, "get"], ["put", None, "get"]])
def test_a_route_runs_its_functions_for_the_method_and_for_any_in_their_order(methods):
    router, trace = Router(), []
    route = router.route("/")
    for number, method in enumerate(methods):

        def note(req, next, number=number):
            trace.append(number)
            next()

        route.add(method, [note])
    for method in ("get", "put", "end"):
        router(Request(method), lambda error=None: None)
        expected = [number for number, of in enumerate(methods) if of in (None, method)]
        assert trace == expected == [fn.__defaults__[0] for fn in route.select(method)]
        trace.clear()


def test_next_route_leaves_only_the_route_of_the_nested_router():
    core = Core()
    router = Router()
    core.router.get("/", router, reply("outer route goes on"))
    router.get("/", lambda req, next: next("route"), reply("skipped"))
    assert ask(core, "/") == (200, "outer route goes on")


@pytest.mark.parametrize("later", [False, True])
def test_next_may_be_called_later_in_a_route(later):
    core, calls, requests = Core(), [], []

    def pass_on(req, next):
        requests.append(req)
        calls.append(next) if later else next()

    def show(req, next):
        assert isinstance(req.route, Route)
        req.reply(200, "OK", {"view": position_of(req)})

    router = Router()
    core.router.use("/users", router)
    router.get("/:name", pass_on, show)
    alice = core.connect()
    alice.start_request("get", "/users/bob")
    before = position_of(requests[0])
    for next in calls:
        next()
    assert alice.take()["data"] == {"view": ["/users", "/bob", {"name": "bob"}]}
    assert position_of(requests[0]) == before == ("", "/users/bob", {})
    assert requests[0].route is None
