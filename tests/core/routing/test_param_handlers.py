"""The handlers of parameters: when they run, how often, and with what effect."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import Reject
from protoo_flask.core.routing.router import Router
from tests.fakes import Core

from .handlers import ask, note, ok, position_of, reply

pytestmark = pytest.mark.usefixtures("each_way")


def test_a_param_handler_runs_before_the_layers_with_that_parameter():
    core, trace = Core(), []

    @core.router.param("name")
    def load(req, next, value):
        trace.append(value)
        req.set("user", value.upper())
        next()

    core.router.get("/users/:name", lambda req, next: req.reply(200, req.get("user")))
    core.router.get("/rooms/:id", lambda req, next: req.reply(200, str(req.get("user"))))
    assert ask(core, "/users/bob") == (200, "BOB")
    assert ask(core, "/rooms/bob") == (200, "None")
    assert trace == ["bob"]


def test_a_param_handler_runs_once_for_each_request_and_value():
    core, trace = Core(), []
    core.router.param("id", lambda req, next, value: (trace.append(value), next()))
    core.router.use("/:id", lambda req, next: next(), lambda req, next: next())
    core.router.get("/:id/x", lambda req, next: next())
    core.router.get("/1/:id", lambda req, next: next())
    core.router.get("/:id/:other", lambda req, next: next())
    ask(core, "/1/x")
    assert trace == ["1", "x", "1"]
    ask(core, "/1/x")
    assert trace == ["1", "x", "1"] * 2


def test_param_handlers_run_in_the_order_of_the_parameters_and_then_of_registration():
    core, trace = Core(), []

    def trace_as(name):
        return lambda req, next, value: (trace.append((name, value)), next())

    core.router.param("b", trace_as("b"))
    core.router.param(["a", "b"], trace_as("both"))
    core.router.get("/:a/:b/:c?", reply("OK"))
    assert ask(core, "/1/2/3") == ok
    assert trace == [("both", "1"), ("b", "2"), ("both", "2")]


def test_a_missing_optional_parameter_is_not_handled():
    core, trace = Core(), []
    core.router.param("uuid", lambda req, next, value: trace.append(value))
    core.router.get("/:name/:uuid?", reply("OK"))
    assert ask(core, "/bob") == ok
    assert trace == core.framework.errors == []


def test_a_param_handler_does_not_run_for_a_route_of_another_method():
    core, trace = Core(), []
    core.router.param("name", lambda req, next, value: (trace.append(value), next()))
    core.router.put("/:name", reply("put"))
    core.router.get("/bob", reply("OK"))
    assert ask(core, "/bob") == ok
    assert trace == []


def test_each_layer_runs_once_beside_param_handlers():
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
    assert ask(core, "/7") == (403, "no")


def test_a_value_changed_by_a_param_handler_is_changed_in_every_layer():
    core, seen = Core(), []

    @core.router.param("id")
    def load(req, next, value):
        req.params["id"] = int(value)
        next()

    core.router.get("/:id", lambda req, next: (seen.append(req.params), next()))
    core.router.get("/:id/:more?", lambda req, next: (seen.append(req.params), next()))
    ask(core, "/7")
    assert seen == [{"id": 7}, {"id": 7}]


def test_a_value_refused_by_a_param_handler_is_refused_in_the_layers_below():
    core, trace = Core(), []
    core.router.param("id", lambda req, next, value: (trace.append(value), next("route")))
    core.router.get("/:id", reply("unchecked"))
    core.router.get("/:id", reply("unchecked"))
    core.router.use("/:id", reply("unchecked"))
    core.router.get("/:other", reply("has no id"))
    assert ask(core, "/7") == (200, "has no id")
    assert trace == ["7"]


def test_a_parameter_whose_handlers_have_not_run_yet_is_handled_below():
    core, trace = Core(), []
    core.router.param("a", lambda req, next, value: next("route") if value == "1" else next())
    core.router.param("b", lambda req, next, value: (trace.append(value), next()))
    core.router.get("/:a/:b", reply("skipped"))
    core.router.get("/1/:b", reply("OK"))
    assert ask(core, "/1/2") == ok
    assert trace == ["2"]


@pytest.mark.parametrize("how", ["raise", "next"])
def test_an_error_of_a_param_handler_is_repeated_in_each_layer_with_the_parameter(how):
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
    assert ask(core, "/7") == (403, "no")
    assert trace == ["7"]


def test_param_handlers_belong_to_their_router():
    core, trace = Core(), []
    router = Router(merge_params=True)
    core.router.param("id", lambda req, next, value: (trace.append(("outer", value)), next()))
    router.param("id", lambda req, next, value: (trace.append(("inner", value)), next()))
    core.router.use("/:id", router)
    router.get("/x", note(trace, "has no id of its own"))
    router.get("/:id", reply("OK"))
    assert ask(core, "/7/8") == ok
    assert trace == [("outer", "7"), ("inner", "8")]


@pytest.mark.parametrize("later", [False, True])
def test_next_may_be_called_later_in_a_param_handler(later):
    core, calls, requests = Core(), [], []

    def pass_on(req, next, value):
        requests.append(req)
        calls.append(next) if later else next()

    core.router.param("a", pass_on)
    core.router.param("a", pass_on)
    core.router.param("b", pass_on)
    core.router.get("/:a/:b", lambda req, next: req.reply(200, "OK", {"view": position_of(req)}))
    alice = core.connect()
    alice.start_request("get", "/1/2")
    while calls:
        calls.pop()()
    assert alice.take()["data"] == {"view": ["", "/1/2", {"a": "1", "b": "2"}]}
    assert len(requests) == 3
    assert position_of(requests[0]) == ("", "/1/2", {})
