"""Routing: order, next(), errors, routes, nesting, parameters, registration."""

from __future__ import annotations

import functools
import gc
import re

import pytest

from protoo_flask.core.errors import (
    AlreadyReplied,
    BadPath,
    PatternError,
    RegistrationClosed,
    Reject,
    UsageError,
)
from protoo_flask.core.request import Request
from protoo_flask.core.routing.layer import RoutingOptions
from protoo_flask.core.routing.methods import METHODS
from protoo_flask.core.routing.route import Route
from protoo_flask.core.routing.router import Router
from protoo_flask.middleware import p2p_messenger
from tests.fakes import Core


def routes(core, path, method="get"):
    """Send a request; returns status and reason of the answer."""
    answer = core.connect().request(method, path)
    return answer["status"], answer["reason"]


def reply(reason):
    """Return a handler that answers with its name."""
    return lambda req, next: req.reply(200, reason)


def note(trace, name):
    """Return a handler that leaves a trace before and after the rest of the chain."""

    def handler(req, next):
        trace.append(name)
        next()
        trace.append(f"/{name}")

    return handler


def view(req):
    return (req.base_path, req.path, req.params)


ok = (200, "OK")
not_found = (404, "not found")
failed = (500, "internal server error")


# Order


def test_functions_run_in_the_order_in_which_they_were_registered():
    core, trace = Core(), []
    core.router.use(note(trace, "a"))
    core.router.get("/", note(trace, "b"), note(trace, "c"))
    core.router.all("/", note(trace, "d"))
    core.router.use(reply("end"))
    assert routes(core, "/") == (200, "end")
    assert trace == ["a", "b", "c", "d", "/d", "/c", "/b", "/a"]


def test_next_returns_when_the_rest_of_the_chain_has_run():
    core, seen = Core(), []

    @core.router.use
    def measure(req, next):
        seen.append(req.ended)
        next()
        seen.append(req.ended)

    core.router.get("/", reply("OK"))
    routes(core, "/")
    assert seen == [False, True]


def test_nothing_below_a_final_reply_runs():
    core, trace = Core(), []
    core.router.get("/", reply("first"), note(trace, "in the route"))
    core.router.use(note(trace, "below"))
    assert routes(core, "/") == (200, "first")
    assert trace == []


def test_next_after_the_final_reply_does_nothing():
    core, trace = Core(), []

    @core.router.use
    def reply_and_pass_on(req, next):
        req.reply(200, "OK")
        next()
        next("route")

    core.router.use(note(trace, "below"))
    core.router.errorhandler(lambda error, req, next: trace.append(error))
    assert routes(core, "/") == ok
    assert trace == core.framework.errors == []


def test_a_provisional_reply_does_not_end_the_chain():
    core = Core()
    core.router.use(lambda req, next: (req.reply(100, "trying"), next()))
    core.router.get("/", reply("OK"))
    alice = core.connect()
    assert alice.request("get", "/")["status"] == 100
    assert alice.take()["status"] == 200


def test_what_a_function_returns_means_nothing():
    core = Core()
    core.router.get("/", lambda req, next: "some text")
    core.router.get("/", reply("OK"))
    alice = core.connect()
    alice.start_request("get", "/")
    assert alice.take_all() == []


def test_250_nested_next_calls_fit_on_the_stack():
    core, trace = Core(), []
    for number in range(250):
        core.router.use(note(trace, number))
    core.router.get("/", reply("OK"))
    assert routes(core, "/") == ok
    assert len(trace) == 500


@pytest.mark.parametrize("kind", ["use", "route", "routers", "param"])
def test_250_nested_next_calls_fit_on_the_stack_whatever_they_go_through(kind):
    core, trace = Core(), []

    def pass_on(req, next, *value):
        trace.append(None)
        next()

    router = core.router
    if kind == "use":
        router.use([pass_on] * 250)
    elif kind == "route":
        router.get("/:x", [pass_on] * 250)
    elif kind == "param":
        for _ in range(249):
            router.param("x", pass_on)
        router.use("/:x", pass_on)
    else:
        for _ in range(10):
            inner = Router()
            router.use([pass_on] * 25, inner)
            router = inner
    core.router.get("/x", reply("OK"))
    assert routes(core, "/x") == ok
    assert len(trace) == 250


def test_deeper_nesting_ends_in_a_500_and_the_connection_lives():
    core, trace = Core(), []
    core.router.get("/fine", reply("OK"))
    core.router.use([lambda req, next: next()] * 20_000)
    core.router.get("/", lambda req, next: trace.append("never this deep"))
    alice = core.connect()
    answer = alice.request("get", "/")
    assert answer["status"] == 500
    assert "too many nested calls of next()" in answer["reason"]
    assert alice.take_all() == trace == []
    (error,) = core.framework.errors
    assert isinstance(error, RecursionError)
    assert alice.request("get", "/fine")["status"] == 200
    assert alice.link.closed is None


def test_thousands_of_layers_that_do_not_apply_need_no_stack():
    core = Core()
    for number in range(5000):
        core.router.get(f"/{number}", reply("wrong"))
    core.router.get("/", reply("OK"))
    assert routes(core, "/") == ok


def test_next_may_be_called_later():
    core, calls = Core(), []
    router = Router(merge_params=True)
    core.router.use("/:a", router)
    router.use("/:b", lambda req, next: calls.append(next))
    router.get("/x/:c", lambda req, next: req.reply(200, "OK", {"view": view(req)}))
    alice = core.connect()
    alice.start_request("get", "/1/x/3")
    assert alice.take_all() == []
    calls[0]()
    assert alice.take()["data"] == {"view": ["/1", "/x/3", {"a": "1", "c": "3"}]}


@pytest.mark.parametrize("later", [False, True])
def test_next_may_be_called_later_in_a_route(later):
    core, calls, requests = Core(), [], []

    def pass_on(req, next):
        requests.append(req)
        calls.append(next) if later else next()

    def show(req, next):
        assert isinstance(req.route, Route)
        req.reply(200, "OK", {"view": view(req)})

    router = Router()
    core.router.use("/users", router)
    router.get("/:name", pass_on, show)
    alice = core.connect()
    alice.start_request("get", "/users/bob")
    before = view(requests[0])
    for next in calls:
        next()
    assert alice.take()["data"] == {"view": ["/users", "/bob", {"name": "bob"}]}
    assert view(requests[0]) == before == ("", "/users/bob", {})
    assert requests[0].route is None


@pytest.mark.parametrize("later", [False, True])
def test_next_may_be_called_later_in_a_param_handler(later):
    core, calls, requests = Core(), [], []

    def pass_on(req, next, value):
        requests.append(req)
        calls.append(next) if later else next()

    core.router.param("a", pass_on)
    core.router.param("a", pass_on)
    core.router.param("b", pass_on)
    core.router.get("/:a/:b", lambda req, next: req.reply(200, "OK", {"view": view(req)}))
    alice = core.connect()
    alice.start_request("get", "/1/2")
    while calls:
        calls.pop()()
    assert alice.take()["data"] == {"view": ["", "/1/2", {"a": "1", "b": "2"}]}
    assert len(requests) == 3
    assert view(requests[0]) == ("", "/1/2", {})


# Paths and methods


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/users", "use"),
        ("/users/", "use"),
        ("/users/bob", "use"),
        ("/USERS/bob", "use"),
        ("/usersx", "all"),
        ("/x/users", "all"),
        ("/", "all"),
    ],
)
def test_use_is_for_everything_at_or_below_its_path(path, answer):
    core = Core()
    core.router.use("/users", reply("use"))
    core.router.all(reply("all"))
    assert routes(core, path) == (200, answer)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_of_protoo_has_a_function_of_its_name(method):
    core = Core()
    for name in METHODS:
        getattr(core.router, name)("/", reply(name))
    assert routes(core, "/", method) == (200, method)
    assert routes(core, "/below", method) == not_found


def test_any_other_method_is_registered_by_its_name():
    core = Core()
    core.router.method("wave", "/", reply("waved"))
    core.router.method("Wave", "/", reply("Waved"))
    assert routes(core, "/", "wave") == (200, "waved")
    assert routes(core, "/", "Wave") == (200, "Waved")
    assert routes(core, "/", "WAVE") == not_found


def test_all_is_for_every_method_of_its_path():
    core = Core()
    core.router.all("/x", reply("all"))
    assert routes(core, "/x", "get") == routes(core, "/x", "anything") == (200, "all")
    assert routes(core, "/x/y") == not_found


def test_without_a_path_it_is_every_path():
    core = Core()
    core.router.get(lambda req, next: req.reply(200, "OK", {"view": view(req)}))
    answer = core.connect().request("get", "/any/where")
    assert answer["data"] == {"view": ["", "/any/where", {}]}


@pytest.mark.parametrize(
    "pattern", [["/a", "/b"], re.compile("^/[ab]$"), ["/x", re.compile("^/[ab]$")]], ids=str
)
@pytest.mark.parametrize("register", ["use", "all", "get", "route"])
def test_a_path_may_be_a_list_or_a_compiled_pattern(pattern, register):
    core = Core()
    if register == "route":
        core.router.route(pattern).get(reply("OK"))
    else:
        getattr(core.router, register)(pattern, reply("OK"))
    assert routes(core, "/a") == routes(core, "/b") == ok
    assert routes(core, "/c") == not_found


def test_a_compiled_pattern_given_to_use_must_end_at_a_slash_and_begin_at_the_beginning():
    core = Core()
    core.router.use(re.compile("/a"), lambda req, next: req.reply(200, req.base_path))
    assert routes(core, "/a/b") == (200, "/a")
    assert routes(core, "/ab") == not_found
    assert routes(core, "/b/a") == not_found


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (RoutingOptions(), ["/users", "/USERS", "/users/"]),
        (RoutingOptions(case_sensitive=True), ["/users", "/users/"]),
        (RoutingOptions(strict=True), ["/users", "/USERS"]),
        (RoutingOptions(case_sensitive=True, strict=True), ["/users"]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("depth", ["here", "in a router", "in a router in a route"])
def test_the_settings_of_the_app_hold_in_every_router(options, found, depth):
    core = Core(routing_options=options)
    router = core.router if depth == "here" else Router()
    if depth == "in a router":
        core.router.use(router)
    elif depth == "in a router in a route":
        core.router.all(router)
    router.get("/users", reply("OK"))
    paths = ["/users", "/USERS", "/users/"]
    assert [path for path in paths if routes(core, path) == ok] == found


def test_a_router_may_differ_from_the_app_and_the_routers_in_it_follow():
    core = Core(routing_options=RoutingOptions(case_sensitive=True, strict=True))
    lax, inner, strict = Router(case_sensitive=False, strict=False), Router(), Router(strict=True)
    core.router.use("/lax", lax)
    lax.use(inner)
    inner.get("/users", reply("inner"))
    lax.use(strict)
    strict.get("/things", reply("strict"))
    assert routes(core, "/lax/USERS/") == (200, "inner")
    assert routes(core, "/lax/THINGS") == (200, "strict")
    assert routes(core, "/lax/things/") == not_found
    assert routes(core, "/LAX/users") == not_found


def test_use_is_never_strict():
    core = Core(routing_options=RoutingOptions(strict=True))
    core.router.use("/users/", reply("use"))
    assert routes(core, "/users") == routes(core, "/users/") == routes(core, "/users/bob")


# Parameters


def test_parameters_are_those_of_the_layer_that_runs():
    core, seen = Core(), []
    core.router.use("/:a", lambda req, next: (seen.append(req.params), next()))
    core.router.use(lambda req, next: (seen.append(req.params), next()))
    core.router.get("/:b/:c?", lambda req, next: (seen.append(req.params), next()))
    assert routes(core, "/x") == not_found
    assert seen == [{"a": "x"}, {}, {"b": "x"}]


def test_parameters_are_decoded():
    core = Core()
    core.router.get("/:name", lambda req, next: req.reply(200, req.params["name"]))
    assert routes(core, "/caf%C3%A9%20%2F%25") == (200, "café /%")


def test_a_parameter_that_does_not_decode_is_answered_400():
    core = Core()
    core.router.get("/:name", reply("OK"))
    core.router.use(reply("below"))
    status, reason = routes(core, "/%zz")
    assert status == 400
    assert "bad escape" in reason
    assert isinstance(core.framework.errors[0], BadPath)


def test_a_bad_escape_can_be_handled_like_any_error():
    core = Core()
    core.router.get("/:name", reply("OK"))
    core.router.errorhandler(lambda error, req, next: req.reply(200, type(error).__name__))
    assert routes(core, "/%zz") == (200, "BadPath")


@pytest.mark.parametrize(
    ("merge_params", "params"),
    [(False, {"id": "7"}), (True, {"name": "bob", "kind": "photos", "id": "7"})],
)
def test_a_router_sees_the_parameters_above_it_if_it_asks_for_them(merge_params, params):
    core = Core()
    outer, inner = Router(merge_params=merge_params), Router(merge_params=merge_params)
    core.router.use("/:name", outer)
    outer.use("/:kind", inner)
    inner.get("/:id", lambda req, next: req.reply(200, "OK", req.params))
    assert core.connect().request("get", "/bob/photos/7")["data"] == params


def test_a_parameter_takes_the_place_of_one_above_it_with_the_same_name():
    core, seen = Core(), []
    router = Router(merge_params=True)
    core.router.use("/:id", lambda req, next: (next(), seen.append(req.params)), router)
    router.get("/:id", lambda req, next: req.reply(200, "OK", req.params))
    assert core.connect().request("get", "/1/2")["data"] == {"id": "2"}
    assert seen == [{"id": "1"}]


# Nesting


def test_a_nested_router_sees_the_rest_of_the_path_and_it_is_restored_on_the_way_out():
    core, seen = Core(), []

    def look(req, next):
        seen.append((*view(req), req.original_path, req.route is not None))
        next()
        seen.append((*view(req), req.original_path, req.route is not None))

    outer, inner = Router(), Router()
    core.router.use(look)
    core.router.use("/:site", look, outer)
    outer.use("/rooms", look, inner)
    inner.get("/:id", look)
    core.router.use(look)
    path = "/X/rooms/7"
    assert routes(core, path) == not_found
    top = ("", path, {}, path, False)
    site = ("/X", "/rooms/7", {"site": "X"}, path, False)
    rooms = ("/X/rooms", "/7", {}, path, False)
    room = ("/X/rooms", "/7", {"id": "7"}, path, True)
    assert seen == [top, site, rooms, room, top, top, room, rooms, site, top]


def test_at_its_own_path_a_nested_router_sees_a_slash():
    core = Core()
    router = Router()
    core.router.use("/users", router)
    router.get("/", lambda req, next: req.reply(200, f"{req.base_path} {req.path}"))
    assert routes(core, "/users") == routes(core, "/users/") == (200, "/users /")


def test_what_nobody_in_a_nested_router_answers_goes_on_below_it():
    core = Core()
    router = Router()
    core.router.use("/users", router)
    router.get("/bob", lambda req, next: next())
    core.router.get("/users/bob", reply("below"))
    assert routes(core, "/users/bob") == (200, "below")


def test_the_view_is_restored_after_an_error_too():
    core, seen = Core(), []
    router = Router()
    core.router.use("/:a", router)
    router.get("/:b", lambda req, next: next(ValueError()))

    @core.router.errorhandler
    def look(error, req, next):
        seen.append((*view(req), req.route))
        req.reply(500)

    routes(core, "/1/2")
    assert seen == [("", "/1/2", {}, None)]


def test_a_router_may_be_mounted_twice():
    core = Core()
    router = Router()
    core.router.use("/a", router)
    core.router.use("/b", router)
    router.get("/", lambda req, next: req.reply(200, req.base_path))
    assert routes(core, "/a") == (200, "/a")
    assert routes(core, "/b") == (200, "/b")


def test_a_router_may_be_mounted_in_itself():
    core = Core()
    thread = Router()
    core.router.use("/thread", thread)
    thread.use("/:reply", thread)
    thread.get("/", lambda req, next: req.reply(200, req.base_path))
    assert routes(core, "/thread/1/2/3") == (200, "/thread/1/2/3")


def test_a_function_may_be_a_router_of_a_route():
    core = Core()
    router = Router()
    core.router.get("/users/:name", router)
    router.get("/users/bob", reply("whole path"))
    assert routes(core, "/users/bob") == (200, "whole path")


def test_req_route_is_the_route_that_runs():
    core, seen = Core(), []
    route = core.router.route("/x").get(lambda req, next: (seen.append(req.route), next()))
    core.router.use(lambda req, next: seen.append(req.route))
    core.connect().start_request("get", "/x")
    assert seen == [route, None]
    assert repr(route) == "<Route '/x'>"


# Routes


def test_a_route_has_functions_for_several_methods_and_chains():
    core, trace = Core(), []
    core.router.route("/x").get(reply("got")).put(reply("put")).all(note(trace, "all")).method(
        "wave", reply("waved")
    )
    assert routes(core, "/x", "get") == (200, "got")
    assert routes(core, "/x", "put") == (200, "put")
    assert routes(core, "/x", "wave") == (200, "waved")
    assert routes(core, "/x", "hold") == not_found
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
    assert routes(core, "/x", "message") == (200, "said")


def test_next_route_leaves_the_route_and_goes_on_below_it():
    core, trace = Core(), []
    core.router.get("/", lambda req, next: next("route"), note(trace, "skipped"))
    core.router.get("/", reply("below"))
    core.router.errorhandler(lambda error, req, next: trace.append(error))
    assert routes(core, "/") == (200, "below")
    assert trace == []


def test_next_route_outside_of_a_route_is_next():
    core = Core()
    core.router.use(lambda req, next: next("route"))
    core.router.get("/", reply("OK"))
    assert routes(core, "/") == ok


@pytest.mark.parametrize("others", [[], ["put"], ["get"], ["get", "put", None]])
def test_next_means_the_same_behind_one_function_of_a_route_as_behind_several(others):
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
    assert routes(core, "/") == (200, "outer route goes on")


# Errors


@pytest.mark.parametrize("how", ["raise", "next"])
@pytest.mark.parametrize("where", ["use", "route", "nested", "param"])
def test_an_error_goes_to_the_first_error_handler_below_past_everything_else(how, where):
    core, trace = Core(), []
    error = ValueError("oops")

    def fail(req, next, *value):
        if how == "raise":
            raise error
        next(error)

    core.router.errorhandler(lambda error, req, next: trace.append("too far above"))
    if where == "use":
        core.router.use(fail)
    elif where == "route":
        core.router.get("/:name", fail, note(trace, "in the route"))
    elif where == "param":
        core.router.param("name", fail)
        core.router.get("/:name", note(trace, "with the parameter"))
    else:
        router = Router()
        core.router.use(router)
        router.use(fail)
        router.use(note(trace, "in the router"))
    core.router.use(note(trace, "no error handler"))
    core.router.get("/:other", note(trace, "no error handler"))
    core.router.errorhandler(
        lambda error, req, next: (trace.append(error), req.reply(400, "first"))
    )
    core.router.errorhandler(lambda error, req, next: trace.append("second"))
    assert routes(core, "/x") == (400, "first")
    assert trace == [error]
    assert core.framework.errors == []


def test_an_error_handler_may_pass_the_error_on_or_another_one():
    core, seen = Core(), []
    core.router.use(lambda req, next: next("first"))
    core.router.errorhandler(lambda error, req, next: (seen.append(error), next(error)))
    core.router.errorhandler(lambda error, req, next: (seen.append(error), next("second")))

    @core.router.errorhandler
    def fail(error, req, next):
        seen.append(error)
        raise Reject(403, "third")

    assert routes(core, "/") == (403, "third")
    assert seen == ["first", "first", "second"]


def test_an_error_handler_that_calls_next_without_error_goes_on_with_the_functions_below():
    core = Core()
    core.router.use(lambda req, next: next("oops"))
    core.router.errorhandler(lambda error, req, next: next())
    core.router.errorhandler(lambda error, req, next: req.reply(500, "not this"))
    core.router.get("/", reply("recovered"))
    assert routes(core, "/") == (200, "recovered")


def test_an_error_handler_is_skipped_without_an_error():
    core = Core()
    core.router.errorhandler(lambda error, req, next: req.reply(500))
    core.router.get("/", reply("OK"))
    assert routes(core, "/") == ok


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/users/bob", (400, "/users /bob {}")),
        ("/rooms/7", (400, "/rooms/7 / {'id': '7'}")),
        ("/other", failed),
    ],
)
def test_an_error_handler_may_be_for_a_path(path, answer):
    core = Core()
    core.router.use(lambda req, next: next(ValueError()))

    def show(error, req, next):
        req.reply(400, f"{req.base_path} {req.path} {req.params}")

    core.router.errorhandler("/users", show)
    core.router.errorhandler("/rooms/:id", show)
    assert routes(core, path) == answer


def test_a_nested_router_handles_its_own_errors_and_passes_on_the_rest():
    core, trace = Core(), []
    router = Router()
    core.router.use("/x", router)
    router.get("/mine", lambda req, next: next("oops"))
    router.errorhandler("/mine", lambda error, req, next: req.reply(400, "inner"))
    router.get("/yours", lambda req, next: next("oops"))
    core.router.errorhandler(lambda error, req, next: req.reply(400, "outer"))
    assert routes(core, "/x/mine") == (400, "inner")
    assert routes(core, "/x/yours") == (400, "outer")
    assert trace == []


def test_several_error_handlers_can_be_registered_at_once():
    core = Core()
    core.router.use(lambda req, next: next("oops"))
    core.router.errorhandler(
        lambda error, req, next: next(f"{error}!"), lambda error, req, next: req.reply(400, error)
    )
    assert routes(core, "/") == (400, "oops!")


def test_an_error_does_not_return_to_the_functions_above():
    core, trace = Core(), []
    core.router.use(note(trace, "above"))
    core.router.use(lambda req, next: next(ValueError()))
    assert routes(core, "/") == failed
    assert trace == ["above", "/above"]


@pytest.mark.parametrize("where", ["use", "route", "nested", "param", "errorhandler"])
def test_next_never_raises(where):
    core, trace = Core(), []

    def pass_on(req, next, *value):
        next()
        trace.append("next() has returned")

    def fail(req, next):
        raise ValueError

    if where == "use":
        core.router.use(pass_on)
    elif where == "route":
        core.router.get("/:name", pass_on, fail)
    elif where == "nested":
        core.router.use(Router().use(pass_on))
    elif where == "param":
        core.router.param("name", pass_on)
        core.router.get("/:name", fail)
    else:
        core.router.use(lambda req, next: next("oops"))
        core.router.errorhandler(lambda error, req, next: pass_on(req, next))
    core.router.use(fail)
    assert routes(core, "/x") == failed
    assert trace == ["next() has returned"]
    assert len(core.framework.errors) == 1


def test_an_error_raised_after_next_goes_to_the_handlers_below_what_has_run():
    core = Core()

    @core.router.use
    def fail_on_the_way_out(req, next):
        next()
        raise ValueError

    core.router.use(lambda req, next: None)
    core.router.errorhandler(lambda error, req, next: req.reply(500, "handled"))
    assert routes(core, "/") == (500, "handled")


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_an_error_after_the_final_reply_reaches_the_log_from_any_depth(depth):
    core, trace = Core(), []
    error = ValueError("too late")

    def reply_and_fail(req, next):
        req.reply(200, "OK")
        raise error

    router = core.router
    for _ in range(depth):
        outer, router = router, Router()
        outer.use(router)
        outer.errorhandler(lambda error, req, next: trace.append("not for this"))
    router.get("/", reply_and_fail)
    assert routes(core, "/") == ok
    assert core.framework.errors == [error]
    assert trace == []


class Missing(LookupError):
    """A class of a site, below one of Python."""


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (Missing("x"), (404, "missing")),
        (KeyError("x"), (404, "lookup")),
        (IndexError("x"), (404, "lookup")),
        (ValueError("x"), (400, "value or type")),
        (TypeError("x"), (400, "value or type")),
        (OSError("x"), (500, "any")),
        ("a text", (500, "any")),
    ],
    ids=repr,
)
def test_an_error_handler_may_be_for_some_classes_of_exceptions(error, answer):
    core = Core()
    core.router.use(lambda req, next: next(error))

    def reply(status, reason):
        return lambda error, req, next: req.reply(status, reason)

    core.router.errorhandler(Missing, reply(404, "missing"))
    core.router.errorhandler(LookupError)(reply(404, "lookup"))
    core.router.errorhandler(ValueError, TypeError, reply(400, "value or type"))
    core.router.errorhandler(reply(500, "any"))
    assert routes(core, "/") == answer


def test_error_handlers_are_tried_in_the_order_of_the_stack_not_by_how_close_the_class_is():
    core = Core()
    core.router.use(lambda req, next: next(Missing()))
    core.router.errorhandler(LookupError, lambda error, req, next: req.reply(404, "first"))
    core.router.errorhandler(Missing, lambda error, req, next: req.reply(404, "second"))
    assert routes(core, "/") == (404, "first")


@pytest.mark.parametrize(
    ("path", "error", "answer"),
    [
        ("/files/7", KeyError(), (404, "no file 7")),
        ("/files/7", ValueError(), failed),
        ("/other/7", KeyError(), failed),
    ],
    ids=str,
)
def test_an_error_handler_may_be_for_a_path_and_a_class(path, error, answer):
    core = Core()
    core.router.use(lambda req, next: next(error))

    @core.router.errorhandler("/files/:id", KeyError)
    def no_file(error, req, next):
        req.reply(404, f"no file {req.params['id']}")

    assert routes(core, path) == answer


def test_an_error_handler_of_a_class_needs_a_function_after_it():
    router = Router()
    with pytest.raises(UsageError):
        router.errorhandler("/x", KeyError, 5)
    with pytest.raises(UsageError):
        router.errorhandler("/x", print, 5)


def test_a_second_final_reply_raises_in_the_handler():
    core = Core()

    @core.router.get("/")
    def reply_twice(req, next):
        req.reply(200, "first")
        with pytest.raises(AlreadyReplied):
            req.reply(200, "second")
        with pytest.raises(AlreadyReplied):
            req.reply(100, "late")

    alice = core.connect()
    assert alice.request("get", "/")["reason"] == "first"
    assert alice.take_all() == core.framework.errors == []


# Param handlers


def test_a_param_handler_runs_before_the_layers_with_that_parameter():
    core, trace = Core(), []

    @core.router.param("name")
    def load(req, next, value):
        trace.append(value)
        req.set("user", value.upper())
        next()

    core.router.get("/users/:name", lambda req, next: req.reply(200, req.get("user")))
    core.router.get("/rooms/:id", lambda req, next: req.reply(200, str(req.get("user"))))
    assert routes(core, "/users/bob") == (200, "BOB")
    assert routes(core, "/rooms/bob") == (200, "None")
    assert trace == ["bob"]


def test_a_param_handler_runs_once_for_each_request_and_value():
    core, trace = Core(), []
    core.router.param("id", lambda req, next, value: (trace.append(value), next()))
    core.router.use("/:id", lambda req, next: next(), lambda req, next: next())
    core.router.get("/:id/x", lambda req, next: next())
    core.router.get("/1/:id", lambda req, next: next())
    core.router.get("/:id/:other", lambda req, next: next())
    routes(core, "/1/x")
    assert trace == ["1", "x", "1"]
    routes(core, "/1/x")
    assert trace == ["1", "x", "1"] * 2


def test_param_handlers_run_in_the_order_of_the_parameters_and_then_of_registration():
    core, trace = Core(), []

    def trace_as(name):
        return lambda req, next, value: (trace.append((name, value)), next())

    core.router.param("b", trace_as("b"))
    core.router.param(["a", "b"], trace_as("both"))
    core.router.get("/:a/:b/:c?", reply("OK"))
    assert routes(core, "/1/2/3") == ok
    assert trace == [("both", "1"), ("b", "2"), ("both", "2")]


def test_a_missing_optional_parameter_is_not_handled():
    core, trace = Core(), []
    core.router.param("uuid", lambda req, next, value: trace.append(value))
    core.router.get("/:name/:uuid?", reply("OK"))
    assert routes(core, "/bob") == ok
    assert trace == core.framework.errors == []


def test_a_param_handler_does_not_run_for_a_route_of_another_method():
    core, trace = Core(), []
    core.router.param("name", lambda req, next, value: (trace.append(value), next()))
    core.router.put("/:name", reply("put"))
    core.router.get("/bob", reply("OK"))
    assert routes(core, "/bob") == ok
    assert trace == []


def test_layers_run_once_beside_param_handlers_even_if_nobody_answers():
    core, trace = Core(), []
    core.router.param("id", lambda req, next, value: (trace.append(value), next()))
    core.router.use("/:other", note(trace, "without"))
    core.router.get("/:id/:name?", note(trace, "with"))
    core.router.get("/:id", note(trace, "again"))
    core.router.use(lambda req, next: trace.append("kept"))
    alice = core.connect()
    alice.start_request("get", "/7")
    assert trace == ["without", "7", "with", "again", "kept", "/again", "/with", "/without"]
    assert alice.take_all() == core.framework.errors == []


def test_a_param_handler_may_reply():
    core = Core()
    core.router.param("id", lambda req, next, value: req.reply(403, "no"))
    core.router.param("id", lambda req, next, value: req.reply(200, "not called"))
    core.router.get("/:id", reply("OK"))
    assert routes(core, "/7") == (403, "no")


def test_what_a_param_handler_makes_of_a_value_is_there_in_every_layer():
    core, seen = Core(), []

    @core.router.param("id")
    def load(req, next, value):
        req.params["id"] = int(value)
        next()

    core.router.get("/:id", lambda req, next: (seen.append(req.params), next()))
    core.router.get("/:id/:more?", lambda req, next: (seen.append(req.params), next()))
    routes(core, "/7")
    assert seen == [{"id": 7}, {"id": 7}]


def test_what_a_param_handler_has_not_let_through_is_not_let_through_below():
    core, trace = Core(), []
    core.router.param("id", lambda req, next, value: (trace.append(value), next("route")))
    core.router.get("/:id", reply("unchecked"))
    core.router.get("/:id", reply("unchecked"))
    core.router.use("/:id", reply("unchecked"))
    core.router.get("/:other", reply("has no id"))
    assert routes(core, "/7") == (200, "has no id")
    assert trace == ["7"]


def test_a_parameter_whose_handlers_have_not_run_yet_is_handled_below():
    core, trace = Core(), []
    core.router.param("a", lambda req, next, value: next("route") if value == "1" else next())
    core.router.param("b", lambda req, next, value: (trace.append(value), next()))
    core.router.get("/:a/:b", reply("skipped"))
    core.router.get("/1/:b", reply("OK"))
    assert routes(core, "/1/2") == ok
    assert trace == ["2"]


@pytest.mark.parametrize("how", ["raise", "next"])
def test_an_error_of_a_param_handler_comes_again_where_the_parameter_does(how):
    core, trace = Core(), []

    @core.router.param("id")
    def refuse(req, next, value):
        trace.append(value)
        if how == "raise":
            raise Reject(403, "no")
        next(Reject(403, "no"))

    core.router.get("/:id", reply("unchecked"))
    core.router.errorhandler(lambda error, req, next: next())
    core.router.get("/:id", reply("unchecked"))
    assert routes(core, "/7") == (403, "no")
    assert trace == ["7"]


def test_param_handlers_belong_to_their_router():
    core, trace = Core(), []
    router = Router(merge_params=True)
    core.router.param("id", lambda req, next, value: (trace.append(("outer", value)), next()))
    router.param("id", lambda req, next, value: (trace.append(("inner", value)), next()))
    core.router.use("/:id", router)
    router.get("/x", note(trace, "has no id of its own"))
    router.get("/:id", reply("OK"))
    assert routes(core, "/7/8") == ok
    assert trace == [("outer", "7"), ("inner", "8")]


# Registration


def test_a_call_with_functions_returns_the_router():
    router = Router()

    def fn(*args): ...

    assert router.use(fn) is router
    assert router.use("/x", fn, [fn, (fn,)]) is router
    assert router.all("/x", fn) is router.get(fn) is router.method("wave", fn) is router
    assert router.errorhandler(fn) is router.param("id", fn) is router
    route = router.route("/x")
    assert route.get(fn) is route.all(fn) is route.method("wave", fn) is route


@pytest.mark.parametrize(
    "register",
    [
        lambda router: router.use(),
        lambda router: router.use("/"),
        lambda router: router.all("/"),
        lambda router: router.get("/"),
        lambda router: router.method("get", "/"),
        lambda router: router.method("get"),
        lambda router: router.route("/").all(),
        lambda router: router.route("/").get(),
        lambda router: router.route("/").method("get"),
    ],
    ids=range(9),
)
def test_a_decorator_registers_the_function_and_returns_it(register):
    core = Core()
    fn = reply("OK")
    assert register(core.router)(fn) is fn
    assert routes(core, "/") == ok


def test_a_param_decorator_and_an_errorhandler_decorator_return_the_function():
    router = Router()

    def fn(*args): ...

    assert router.param("id")(fn) is fn
    assert router.errorhandler()(fn) is router.errorhandler("/")(fn) is fn


@pytest.mark.parametrize(
    ("register", "form"),
    [
        (lambda router, fn: router.use(fn), "fn(req, next)"),
        (lambda router, fn: router.use("/x", [fn]), "fn(req, next)"),
        (lambda router, fn: router.get("/x")(fn), "fn(req, next)"),
        (lambda router, fn: router.route("/x").put(fn), "fn(req, next)"),
        (lambda router, fn: router.route("/x").put()(fn), "fn(req, next)"),
        (lambda router, fn: router.errorhandler(fn), "fn(error, req, next)"),
        (lambda router, fn: router.errorhandler("/x", KeyError)(fn), "fn(error, req, next)"),
        (lambda router, fn: router.param("id", fn), "fn(req, next, value)"),
    ],
)
def test_a_function_that_cannot_be_called_so_is_refused_with_its_place(register, form):
    def view(one):
        """What Flask calls a view, say."""

    with pytest.raises(UsageError) as caught:
        register(Router(), view)
    text = str(caught.value)
    assert f"view(one) cannot be called as {form}" in text
    assert f"{__file__}:{view.__code__.co_firstlineno}" in text


@pytest.mark.parametrize(
    "function",
    [
        lambda *args: None,
        lambda req, next, more=1: None,
        functools.partial(lambda this, req, next: None, 1),
        print,
        Router(),
    ],
    ids=["any", "default", "partial", "builtin", "router"],
)
def test_what_can_be_called_so_is_taken(function):
    assert Router().use(function).layers()


def test_middleware_that_was_not_called_with_the_protoo_is_refused():
    with pytest.raises(UsageError, match=r"p2p_messenger makes a Router: call it, .*\(protoo\)"):
        Router().use("/users", p2p_messenger)


@pytest.mark.parametrize("name", ["use", "all", "get"])
def test_a_decorator_may_do_without_parentheses(name):
    core = Core()

    @getattr(core.router, name)
    def handler(req, next):
        req.reply(200, "OK")

    assert routes(core, "/") == ok


def test_functions_may_come_in_nested_lists():
    core, trace = Core(), []
    core.router.get("/", [note(trace, "a"), (note(trace, "b"), [note(trace, "c")])], reply("OK"))
    assert routes(core, "/") == ok
    assert trace[:3] == ["a", "b", "c"]


class AsyncCallable:
    async def __call__(self, req, next): ...


async def coroutine_function(req, next): ...


async def async_generator_function(req, next):
    yield


not_functions = pytest.mark.parametrize(
    "function",
    [
        5,
        object(),
        {"get": print},
        coroutine_function,
        async_generator_function,
        functools.partial(coroutine_function),
        AsyncCallable(),
        AsyncCallable().__call__,
        [],
        [print, []],
        [[]],
    ],
    ids=[
        "number",
        "object",
        "dict",
        "coroutine function",
        "async generator function",
        "partial coroutine function",
        "async callable",
        "async method",
        "empty list",
        "empty list in a list",
        "list of an empty list",
    ],
)


@not_functions
@pytest.mark.parametrize("register", ["use", "all", "get", "errorhandler"])
def test_what_is_no_plain_function_is_refused_at_once(function, register):
    router = Router()
    with pytest.raises(UsageError):
        getattr(router, register)(function)
    with pytest.raises(UsageError):
        getattr(router, register)("/", function)
    with pytest.raises(UsageError):
        getattr(router, register)("/", print, function)


@not_functions
def test_what_is_no_plain_function_is_refused_by_a_route_and_for_a_parameter(function):
    router = Router()
    with pytest.raises(UsageError):
        router.route("/").get(function)
    with pytest.raises(UsageError):
        router.param("id", function)


@pytest.mark.parametrize("function", [5, coroutine_function], ids=["number", "coroutine function"])
def test_what_is_no_plain_function_is_refused_by_a_decorator(function):
    router = Router()
    for decorator in (
        router.use("/"),
        router.get("/"),
        router.route("/").get(),
        router.param("id"),
    ):
        with pytest.raises(UsageError):
            decorator(function)


def test_the_refusal_of_a_coroutine_function_says_why():
    with pytest.raises(UsageError, match="coroutine function; handlers are plain functions here"):
        Router().use(coroutine_function)


@pytest.mark.parametrize("path", ["users", "", "/:", "/(", ["/a", "b"]], ids=repr)
def test_a_bad_path_is_refused_at_once(path):
    router = Router()
    for register in (router.use, router.all, router.get, router.errorhandler):
        with pytest.raises(PatternError):
            register(path, print)
    with pytest.raises(PatternError):
        router.route(path)


@pytest.mark.parametrize("path", [None, 5, print, []], ids=repr)
def test_a_route_needs_a_path(path):
    with pytest.raises(UsageError, match=r"route\(path\) takes a path"):
        Router().route(path)


@pytest.mark.parametrize("name", ["", None, 5, b"get", print], ids=repr)
def test_a_method_needs_a_name(name):
    with pytest.raises(UsageError, match="a method is a non-empty string"):
        Router().method(name, print)
    with pytest.raises(UsageError, match="a method is a non-empty string"):
        Router().route("/").method(name, print)


@pytest.mark.parametrize("name", ["", ":id", None, 5, ["a", ":b"], ["a", 5]], ids=repr)
def test_a_param_handler_needs_the_name_of_a_parameter(name):
    with pytest.raises(UsageError, match="takes the name of a parameter"):
        Router().param(name, print)


@pytest.mark.parametrize(
    "register",
    [
        lambda router, route: router.use(print),
        lambda router, route: router.get("/", print),
        lambda router, route: router.errorhandler(print),
        lambda router, route: router.route("/y"),
        lambda router, route: router.param("id", print),
        lambda router, route: router.use,
        lambda router, route: router.get("/"),
        lambda router, route: route.get(print),
        lambda router, route: route.all(),
    ],
    ids=["use", "get", "errorhandler", "route", "param", "@use", "@get", "route.get", "@route.all"],
)
@pytest.mark.parametrize("depth", ["here", "in a router", "in a router in a route"])
def test_after_the_first_connection_nothing_can_be_registered(register, depth):
    core = Core()
    router = core.router if depth == "here" else Router()
    if depth == "in a router":
        core.router.use(Router().use(router))
    elif depth == "in a router in a route":
        core.router.route("/").get(router)
    route = router.route("/x")
    core.connect()
    with pytest.raises(RegistrationClosed, match="before the first connection"):
        register(router, route)(print)


def test_a_decorator_made_before_the_first_connection_is_refused_after_it():
    core = Core()
    decorators = [core.router.use("/"), core.router.param("id"), core.router.route("/").get()]
    core.connect()
    for decorator in decorators:
        with pytest.raises(RegistrationClosed):
            decorator(print)


def test_a_request_leaves_nothing_to_the_garbage_collector():
    core, kept = Core(response_timeout=30), []
    core.router.use(lambda req, next: next())
    core.router.get("/time", lambda req, next: req.reply(200, "OK"))
    core.router.use("/later", lambda req, next: kept.append(next))
    several = Router().get("/:id", lambda req, next: next(), lambda req, next: req.reply(200, "OK"))
    core.router.use("/several", several)
    alice = core.connect()

    def ask_everything():
        statuses = [
            alice.request("get", path)["status"] for path in ("/time", "/several/7", "/nowhere")
        ]
        assert statuses == [200, 200, 404]
        alice.notify("get", "/later")
        kept.clear()

    ask_everything()  # what the first request makes is kept
    gc.collect()
    gc.disable()
    try:
        ask_everything()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_router_needs_no_application():
    router = Router()
    router.get("/:name", lambda req, next: seen.append(req.params))
    seen = []
    request = Request("get")
    request.path = "/bob"
    router(request, lambda error=None: seen.append(error))
    request.path = "/bob/x"
    router(request, lambda error=None: seen.append(error))
    assert seen == [{"name": "bob"}, None]
