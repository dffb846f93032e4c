"""The router: paths, methods and parameters."""

from __future__ import annotations

import re

import pytest

from protoo_flask.core.errors import BadPath
from protoo_flask.core.request import Request
from protoo_flask.core.routing.layer import RoutingOptions
from protoo_flask.core.routing.methods import METHODS
from protoo_flask.core.routing.router import Router
from tests.fakes import Core

from .handlers import ask, not_found, ok, position_of, reply

pytestmark = pytest.mark.usefixtures("each_way")


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
    assert ask(core, path) == (200, answer)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_of_protoo_has_a_function_of_its_name(method):
    core = Core()
    for name in METHODS:
        getattr(core.router, name)("/", reply(name))
    assert ask(core, "/", method) == (200, method)
    assert ask(core, "/below", method) == not_found


def test_any_other_method_is_registered_by_its_name():
    core = Core()
    core.router.method("wave", "/", reply("waved"))
    core.router.method("Wave", "/", reply("Waved"))
    assert ask(core, "/", "wave") == (200, "waved")
    assert ask(core, "/", "Wave") == (200, "Waved")
    assert ask(core, "/", "WAVE") == not_found


def test_all_is_for_every_method_of_its_path():
    core = Core()
    core.router.all("/x", reply("all"))
    assert ask(core, "/x", "get") == ask(core, "/x", "anything") == (200, "all")
    assert ask(core, "/x/y") == not_found


def test_a_function_without_a_path_is_for_every_path():
    core = Core()
    core.router.get(lambda req, next: req.reply(200, "OK", {"view": position_of(req)}))
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
    assert ask(core, "/a") == ask(core, "/b") == ok
    assert ask(core, "/c") == not_found


def test_use_takes_a_compiled_pattern_only_as_a_whole_prefix():
    core = Core()
    core.router.use(re.compile("/a"), lambda req, next: req.reply(200, req.base_path))
    assert ask(core, "/a/b") == (200, "/a")
    assert ask(core, "/ab") == not_found
    assert ask(core, "/b/a") == not_found


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
    assert [path for path in paths if ask(core, path) == ok] == found


def test_a_router_with_options_of_its_own_passes_them_on_to_its_routers():
    core = Core(routing_options=RoutingOptions(case_sensitive=True, strict=True))
    lax, inner, strict = Router(case_sensitive=False, strict=False), Router(), Router(strict=True)
    core.router.use("/lax", lax)
    lax.use(inner)
    inner.get("/users", reply("inner"))
    lax.use(strict)
    strict.get("/things", reply("strict"))
    assert ask(core, "/lax/USERS/") == (200, "inner")
    assert ask(core, "/lax/THINGS") == (200, "strict")
    assert ask(core, "/lax/things/") == not_found
    assert ask(core, "/LAX/users") == not_found


def called(router):
    """Return a middleware that calls a router, instead of mounting it."""
    return lambda req, next: router(req, next)


@pytest.mark.parametrize(
    ("own", "found"),
    [
        ({}, ["/users", "/USERS", "/users/"]),
        ({"case_sensitive": True}, ["/users", "/users/"]),
        ({"strict": True}, ["/users", "/USERS"]),
        ({"case_sensitive": True, "strict": True}, ["/users"]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("depth", ["here", "in a router", "in a route", "in a chained route"])
def test_a_router_that_is_called_has_its_own_options(own, found, depth):
    core = Core(routing_options=RoutingOptions(case_sensitive=True, strict=True))
    outer, inner = Router(**own), Router()
    core.router.use(called(outer))
    if depth == "here":
        inner = outer
    elif depth == "in a router":
        outer.use(inner)
    elif depth == "in a route":
        outer.get("*", inner)
    else:
        outer.route("*").get(inner)
    inner.get("/users", reply("OK"))
    paths = ["/users", "/USERS", "/users/"]
    assert [path for path in paths if ask(core, path) == ok] == found


def test_a_router_that_is_called_may_be_changed_between_two_requests():
    core, router = Core(), Router(case_sensitive=True)
    core.router.use(called(router))
    assert ask(core, "/users") == not_found
    router.get("/users", reply("OK"))
    assert ask(core, "/users") == ok
    assert ask(core, "/USERS") == not_found


def test_a_router_that_is_mounted_in_itself_can_be_called():
    core, router = Core(), Router()
    core.router.use(called(router))
    router.get("/here", reply("OK"))
    router.use("/below", router)
    assert ask(core, "/below/below/here") == ok


def test_use_is_never_strict():
    core = Core(routing_options=RoutingOptions(strict=True))
    core.router.use("/users/", reply("use"))
    assert ask(core, "/users") == ask(core, "/users/") == ask(core, "/users/bob")


def test_parameters_are_those_of_the_layer_that_runs():
    core, seen = Core(), []
    core.router.use("/:a", lambda req, next: (seen.append(req.params), next()))
    core.router.use(lambda req, next: (seen.append(req.params), next()))
    core.router.get("/:b/:c?", lambda req, next: (seen.append(req.params), next()))
    assert ask(core, "/x") == not_found
    assert seen == [{"a": "x"}, {}, {"b": "x"}]


def test_parameters_are_decoded():
    core = Core()
    core.router.get("/:name", lambda req, next: req.reply(200, req.params["name"]))
    assert ask(core, "/caf%C3%A9%20%2F%25") == (200, "café /%")


def test_a_parameter_that_does_not_decode_is_answered_400():
    core = Core()
    core.router.get("/:name", reply("OK"))
    core.router.use(reply("below"))
    status, reason = ask(core, "/%zz")
    assert status == 400
    assert "bad escape" in reason
    assert isinstance(core.framework.errors[0], BadPath)


def test_a_bad_escape_can_be_handled_like_any_error():
    core = Core()
    core.router.get("/:name", reply("OK"))
    core.router.errorhandler(lambda error, req, next: req.reply(200, type(error).__name__))
    assert ask(core, "/%zz") == (200, "BadPath")


@pytest.mark.parametrize(
    ("merge_params", "params"),
    [(False, {"id": "7"}), (True, {"name": "bob", "kind": "photos", "id": "7"})],
)
def test_a_router_sees_the_parameters_above_it_only_with_merge_params(merge_params, params):
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


@pytest.mark.parametrize(
    ("mounts", "leaf", "path", "params"),
    [
        ([re.compile(r"^/room-(\d+)")], "/file/*", "/room-7/file/a/b", {0: "7", 1: "a/b"}),
        (["/*/x"], "/*/y/*", "/q/x/1/y/2", {0: "q", 1: "1", 2: "2"}),
        (["/:n/*/s", "/p"], "/:n/*", "/1/2/s/p/3/4", {"n": "3", 0: "2", 1: "4"}),
        (["/x(a)", "/:k", "/y(b)"], "/z(c)", "/xa/K/yb/zc", {0: "a", "k": "K", 1: "b", 2: "c"}),
        # A parameter that did not take part keeps its number.
        (["/a(b)?", "/c(d)?"], "/*", "/a/c/z", {2: "z"}),
        (["/a(b)?"], "/c(d)?/*", "/ab/c/z", {0: "b", 2: "z"}),
        ([["/a(b)", "/c(d)(e)"]], "/*", "/ab/z", {0: "b", 2: "z"}),
    ],
)
def test_merged_numbered_parameters_are_numbered_on_as_in_express(mounts, leaf, path, params):
    core, seen = Core(), []
    router = core.router
    for mount in mounts:
        inner = Router(merge_params=True)
        router.use(mount, inner)
        router = inner

    @router.use
    def look(req, next):
        seen.append(req.params)
        next()

    router.get(leaf, lambda req, next: (seen.append(req.params), req.reply(200, "OK")))
    assert ask(core, path) == ok
    above, merged = seen
    assert merged == params
    numbered = {key: value for key, value in above.items() if isinstance(key, int)}
    assert numbered.items() <= params.items()


def test_parameters_that_a_site_sets_itself_are_numbered_on_too():
    core = Core()
    router = Router(merge_params=True)

    def replace(req, next):
        req.params = {0: "site", "kind": "own"}
        router(req, next)

    core.router.use(replace)
    router.get("/*", lambda req, next: req.reply(200, "OK", req.params))
    answer = core.connect().request("get", "/rest")
    assert answer["data"] == {"0": "site", "1": "rest", "kind": "own"}


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


def test_a_layer_registered_after_a_request_is_found_while_registration_is_open():
    router, seen = Router(), []
    router.get("/a", lambda req, next: seen.append("a"))
    route = router.route("/b")
    request = Request("get")
    request.path = "/b"
    router(request, lambda error=None: seen.append("nothing"))
    route.get(lambda req, next: seen.append("b"))
    router(request, lambda error=None: seen.append("nothing"))
    assert seen == ["nothing", "b"]
