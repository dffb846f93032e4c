"""Routers inside of routers: the path that each sees, restored on the way out."""

from __future__ import annotations

import pytest

from protoo_flask.core.routing.router import Router
from tests.fakes import Core

from .handlers import ask, not_found, position_of, reply

pytestmark = pytest.mark.usefixtures("each_way")


def test_a_nested_router_sees_the_rest_of_the_path_and_it_is_restored_on_the_way_out():
    core, seen = Core(), []

    def look(req, next):
        seen.append((*position_of(req), req.original_path, req.route is not None))
        next()
        seen.append((*position_of(req), req.original_path, req.route is not None))

    outer, inner = Router(), Router()
    core.router.use(look)
    core.router.use("/:site", look, outer)
    outer.use("/rooms", look, inner)
    inner.get("/:id", look)
    core.router.use(look)
    path = "/X/rooms/7"
    assert ask(core, path) == not_found
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
    assert ask(core, "/users") == ask(core, "/users/") == (200, "/users /")


def test_a_request_unanswered_in_a_nested_router_goes_on_below_it():
    core = Core()
    router = Router()
    core.router.use("/users", router)
    router.get("/bob", lambda req, next: next())
    core.router.get("/users/bob", reply("below"))
    assert ask(core, "/users/bob") == (200, "below")


def test_the_position_is_restored_after_an_error():
    core, seen = Core(), []
    router = Router()
    core.router.use("/:a", router)
    router.get("/:b", lambda req, next: next(ValueError()))

    @core.router.errorhandler
    def look(error, req, next):
        seen.append((*position_of(req), req.route))
        req.reply(500)

    ask(core, "/1/2")
    assert seen == [("", "/1/2", {}, None)]


def test_a_router_may_be_mounted_twice():
    core = Core()
    router = Router()
    core.router.use("/a", router)
    core.router.use("/b", router)
    router.get("/", lambda req, next: req.reply(200, req.base_path))
    assert ask(core, "/a") == (200, "/a")
    assert ask(core, "/b") == (200, "/b")


def test_a_router_may_be_mounted_in_itself():
    core = Core()
    thread = Router()
    core.router.use("/thread", thread)
    thread.use("/:reply", thread)
    thread.get("/", lambda req, next: req.reply(200, req.base_path))
    assert ask(core, "/thread/1/2/3") == (200, "/thread/1/2/3")


def test_a_router_may_be_a_function_of_a_route():
    core = Core()
    router = Router()
    core.router.get("/users/:name", router)
    router.get("/users/bob", reply("whole path"))
    assert ask(core, "/users/bob") == (200, "whole path")


def test_req_route_is_the_route_that_runs():
    core, seen = Core(), []
    route = core.router.route("/x").get(lambda req, next: (seen.append(req.route), next()))
    core.router.use(lambda req, next: seen.append(req.route))
    core.connect().start_request("get", "/x")
    assert seen == [route, None]
    assert repr(route) == "<Route '/x'>"
