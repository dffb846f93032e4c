"""The walk: the order of functions, ``next()``, and no garbage after a request."""

from __future__ import annotations

import gc

import pytest

from protoo_flask.core.routing.router import Router
from tests.fakes import Core

from .handlers import ask, not_found, note, ok, position_of, reply

pytestmark = pytest.mark.usefixtures("each_way")


def test_functions_run_in_the_order_in_which_they_were_registered():
    core, trace = Core(), []
    core.router.use(note(trace, "a"))
    core.router.get("/", note(trace, "b"), note(trace, "c"))
    core.router.all("/", note(trace, "d"))
    core.router.use(reply("end"))
    assert ask(core, "/") == (200, "end")
    assert trace == ["a", "b", "c", "d", "/d", "/c", "/b", "/a"]


def test_next_returns_when_the_rest_of_the_chain_has_run():
    core, seen = Core(), []

    @core.router.use
    def measure(req, next):
        seen.append(req.ended)
        next()
        seen.append(req.ended)

    core.router.get("/", reply("OK"))
    ask(core, "/")
    assert seen == [False, True]


def test_no_function_runs_after_a_final_reply():
    core, trace = Core(), []
    core.router.get("/", reply("first"), note(trace, "in the route"))
    core.router.use(note(trace, "below"))
    assert ask(core, "/") == (200, "first")
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
    assert ask(core, "/") == ok
    assert trace == core.framework.errors == []


def test_a_provisional_reply_does_not_end_the_chain():
    core = Core()
    core.router.use(lambda req, next: (req.reply(100, "trying"), next()))
    core.router.get("/", reply("OK"))
    alice = core.connect()
    assert alice.request("get", "/")["status"] == 100
    assert alice.take()["status"] == 200


def test_250_nested_next_calls_fit_on_the_stack():
    core, trace = Core(), []
    for number in range(250):
        core.router.use(note(trace, number))
    core.router.get("/", reply("OK"))
    assert ask(core, "/") == ok
    assert len(trace) == 500


@pytest.mark.parametrize("kind", ["use", "route", "routers", "param"])
def test_250_nested_next_calls_fit_on_the_stack_in_each_kind_of_chain(kind):
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
    assert ask(core, "/x") == ok
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
    assert ask(core, "/") == ok


def test_next_may_be_called_later():
    core, calls = Core(), []
    router = Router(merge_params=True)
    core.router.use("/:a", router)
    router.use("/:b", lambda req, next: calls.append(next))
    router.get("/x/:c", lambda req, next: req.reply(200, "OK", {"view": position_of(req)}))
    alice = core.connect()
    alice.start_request("get", "/1/x/3")
    assert alice.take_all() == []
    calls[0]()
    assert alice.take()["data"] == {"view": ["/1", "/x/3", {"a": "1", "c": "3"}]}


def leave(req, next):
    next("router")


def leave_in_a_param_handler(router):
    router.param("id", lambda req, next, value: next("router"))
    router.get("/:id", reply("not reached"))


def leave_in_an_error_handler(router):
    router.use(lambda req, next: next(ValueError()))
    router.errorhandler(lambda error, req, next: next("router"))


@pytest.mark.parametrize(
    "register",
    [
        lambda router: router.use(leave),
        lambda router: router.use("/x", leave),
        lambda router: router.get("/x", leave, reply("not reached")),
        lambda router: router.route("/x").all(leave).get(reply("not reached")),
        leave_in_a_param_handler,
        leave_in_an_error_handler,
        lambda router: router.use(Router().use("*", lambda req, next: next()), leave),
    ],
    ids=["use", "prefix", "functions", "route", "param", "error handler", "below a router"],
)
@pytest.mark.parametrize("is_called", [False, True], ids=["mounted", "called"])
def test_next_router_leaves_the_router_and_goes_on_below_it(register, is_called):
    core = Core()
    router = Router()
    register(router)
    router.use(reply("not reached"))
    router.errorhandler(lambda error, req, next: req.reply(200, "not reached"))
    core.router.use((lambda req, next: router(req, next)) if is_called else router)
    core.router.errorhandler(lambda error, req, next: req.reply(200, "an error"))
    core.router.use(reply("below"))
    assert ask(core, "/x") == (200, "below")


def test_next_router_leaves_the_innermost_router_only():
    core, trace = Core(), []
    outer, inner = Router(), Router()
    core.router.use(outer)
    outer.use(inner, note(trace, "outer"))
    inner.use(leave, note(trace, "inner"))
    assert ask(core, "/x") == not_found
    assert trace == ["outer", "/outer"]


def test_next_router_of_the_app_leaves_all_and_is_no_error():
    core = Core()
    core.router.use(leave, reply("not reached"))
    assert ask(core, "/x") == not_found
    assert core.framework.errors == []


def test_next_router_after_the_final_reply_does_nothing():
    core = Core()
    core.router.get("/x", lambda req, next: (req.reply(200, "OK"), next("router")))
    core.router.use(lambda req, next: (req.reply(200, "OK"), next("router")))
    assert ask(core, "/x") == ask(core, "/y") == ok
    assert core.framework.errors == []


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

    ask_everything()  # the first request makes objects that are kept
    gc.collect()
    gc.disable()
    try:
        ask_everything()
        assert gc.collect() == 0
    finally:
        gc.enable()
