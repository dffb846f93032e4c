"""Inspection of a router: the tree, and the functions that a request would reach."""

from __future__ import annotations

import functools
import re

import pytest

from protoo_flask.core.errors import BadPath
from protoo_flask.core.routing.inspection import list_routes, match
from protoo_flask.core.routing.router import Router


def check(req, next):
    next()


def deliver(req, next):
    req.reply(200)


def explain(error, req, next):
    next(error)


def load(req, next, value):
    next()


@functools.wraps(deliver)
def wrapped(req, next):
    deliver(req, next)


class Handler:
    def __call__(self, req, next):
        next()

    def method(self, req, next):
        next()


def rows(router):
    return [
        (row.depth, row.kind, row.path, row.handler.split(".")[-1]) for row in list_routes(router)
    ]


def steps(router, method, path):
    return [
        (
            step.row.depth,
            step.row.kind,
            step.row.handler.split(".")[-1],
            step.base_path,
            step.params,
        )
        for step in match(router, method, path)
    ]


def test_an_empty_router_has_no_routes():
    assert rows(Router()) == steps(Router(), "get", "/") == []


def test_the_tree_is_in_the_order_of_the_stack():
    router, inner, deepest = Router(), Router(), Router()
    router.use(check)
    router.message("/users/:name", check, deliver)
    router.use("/rooms", check, inner)
    inner.param(["id", "other"], load)
    inner.use(deepest)
    deepest.route("/:id").get(deliver).all(check).method("wave", deliver)
    inner.errorhandler("/x", KeyError, ValueError, explain)
    router.all(["/a", re.compile("^/b")], deliver)
    router.errorhandler(explain)
    assert rows(router) == [
        (0, "use", "", "check"),
        (0, "message", "/users/:name", "check"),
        (0, "message", "/users/:name", "deliver"),
        (0, "use", "/rooms", "check"),
        (0, "use", "/rooms", "Router"),
        (1, "param", ":id", "load"),
        (1, "param", ":other", "load"),
        (1, "use", "", "Router"),
        (2, "get", "/:id", "deliver"),
        (2, "*", "/:id", "check"),
        (2, "wave", "/:id", "deliver"),
        (1, "error", "/x", "explain for KeyError, ValueError"),
        (0, "*", "/a | re:^/b", "deliver"),
        (0, "error", "", "explain"),
    ]


def test_a_router_in_a_route_is_part_of_the_tree():
    inner = Router().get("/users/bob", deliver)
    router = Router().get("/users/:name", check, inner)
    assert [row[3] for row in rows(router)] == ["check", "Router", "deliver"]
    assert steps(router, "get", "/users/bob") == [
        (0, "get", "check", "", {"name": "bob"}),
        (0, "get", "Router", "", {"name": "bob"}),
        (1, "get", "deliver", "", {}),
    ]


@pytest.mark.parametrize(
    ("function", "name", "code"),
    [
        (check, "check", check),
        (wrapped, "deliver", deliver),
        (functools.partial(check), "check", check),
        (Handler().method, "Handler.method", Handler.method),
        (Handler(), "Handler", Handler.__call__),
    ],
    ids=["function", "wrapped", "partial", "method", "object"],
)
def test_a_handler_is_listed_with_its_name_and_place(function, name, code):
    (row,) = list_routes(Router().use(function))
    assert row.handler in (f"{__name__}.{name}", name)
    assert row.place == f"{__file__}:{code.__code__.co_firstlineno}"


def test_a_match_goes_through_nested_routers_with_their_params():
    router, inner, merged = Router(), Router(), Router(merge_params=True)
    router.use(check)
    router.use("/:site", inner, merged)
    inner.get("/rooms/:id", check, deliver)
    inner.put("/rooms/:id", deliver)
    inner.errorhandler(explain)
    merged.all("/rooms/:id", check)
    router.get("/x/:a/:b?", deliver)
    assert steps(router, "get", "/x/rooms/7") == [
        (0, "use", "check", "", {}),
        (0, "use", "Router", "", {"site": "x"}),
        (1, "get", "check", "/x", {"id": "7"}),
        (1, "get", "deliver", "/x", {"id": "7"}),
        (0, "use", "Router", "", {"site": "x"}),
        (1, "*", "check", "/x", {"site": "x", "id": "7"}),
        (0, "get", "deliver", "", {"a": "rooms", "b": "7"}),
    ]


def test_a_match_raises_where_a_parameter_does_not_decode():
    router = Router().use(check).get("/:name", deliver)
    going = match(router, "get", "/%zz")
    assert next(going).row.handler == f"{__name__}.check"
    with pytest.raises(BadPath):
        next(going)
