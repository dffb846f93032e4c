"""A decorator without parentheses leaves the function; a call with functions, the router."""

from __future__ import annotations

import functools

import pytest

from protoo_flask import Protoo, Router
from protoo_flask.core.request import Request
from tests.fakes import Core

from .handlers import ask, ok

REGISTERING = [
    *("all", "message", "put", "get", "session", "icecandidate"),
    *("update", "hold", "unhold", "end"),
]


def make(kind):
    """Return something to register on."""
    return {"Protoo": Protoo, "Router": Router, "Route": lambda: Router().route("/x")}[kind]()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("Protoo", name) for name in ("use", *REGISTERING)),
        *(("Router", name) for name in ("use", *REGISTERING)),
        *(("Route", name) for name in REGISTERING),
    ],
)
def test_a_bare_decorator_leaves_the_function(kind, name):
    register = getattr(make(kind), name)

    @register
    def handler(req, next):
        return "called"

    assert handler(None, None) == "called"


@pytest.mark.parametrize("kind", ["Protoo", "Router"])
def test_a_bare_errorhandler_leaves_the_function(kind):
    it = make(kind)

    @it.errorhandler
    def handler(error, req, next):
        return "called"

    assert handler(None, None, None) == "called"


def test_a_decorated_handler_can_be_called_by_a_unit_test():
    core = Core()

    @core.router.get
    def greet(req, next):
        req.set("greeting", f"hello {req.data['name']}")
        next()

    req, passed_on = Request("get", {"name": "bob"}), []
    greet(req, lambda: passed_on.append(True))
    assert (req.get("greeting"), passed_on) == ("hello bob", [True])


def test_a_bare_decorator_registers_once():
    core, calls = Core(), []

    @core.router.use
    def note(req, next):
        calls.append(req.path)
        next()

    core.router.get("/", lambda req, next: req.reply(200, "OK"))
    assert ask(core, "/") == ok
    assert calls == ["/"]


def test_several_bare_decorators_leave_the_function():
    router, protoo = Router(), Protoo()
    route = router.route("/x")

    @protoo.use
    @router.use
    @router.message("/y")
    @route.get
    def handler(
        req,
        next,
        more="\n",
    ):
        def inner():
            return "called"

        return inner()

    assert handler(None, None) == "called"


def test_a_bare_decorator_above_another_decorator_leaves_its_function():
    def twice(function):
        @functools.wraps(function)
        def call(req, next):
            return function(req, next) * 2

        return call

    router = Router()

    @router.use
    @twice
    def handler(req, next):
        return "called"

    assert handler(None, None) == "calledcalled"


def test_a_bare_decorator_in_a_loop_a_class_and_a_factory_leaves_the_function():
    router = Router()
    for name in ("a", "b"):

        @router.use
        def in_a_loop(req, next, name=name):
            return name

        assert in_a_loop(None, None) == name

    class Handlers:
        @router.use
        def in_a_class(req, next):
            return "called"

    assert Handlers.in_a_class(None, None) == "called"

    def make_handler():
        @router.use
        def in_a_function(req, next):
            return "called"

        return in_a_function

    assert make_handler()(None, None) == "called"


def test_a_call_returns_the_router_wherever_its_function_comes_from():
    router = Router()

    def above(req, next): ...

    @functools.wraps(above)
    def wrapped(req, next): ...

    assert router.use(above) is router.use(wrapped) is router
    assert router.use(above).use(above) is router
    assert router.use(lambda req, next: None) is router
    assert router.use(functools.partial(above)) is router.use(print) is router
    assert router.use([above]) is router.use(Router()) is router
    for number in range(2):
        if number:
            assert router.use(below) is router  # noqa: F821

        def below(req, next): ...


def test_a_call_at_a_prompt_returns_the_router():
    """Each line that is typed there has the number 1 and the same file."""
    names = {"router": Router()}
    for line in ("def fn(req, next): pass\n", "value = router.use(fn)\n"):
        exec(compile(line, "<stdin>", "single"), names)
    assert names["value"] is names["router"]


def test_a_decorator_at_a_prompt_leaves_the_function():
    names = {"router": Router(), "__name__": "__main__"}
    exec(compile("@router.use\ndef fn(req, next): return 'called'\n", "<stdin>", "single"), names)
    assert names["fn"](None, None) == "called"
