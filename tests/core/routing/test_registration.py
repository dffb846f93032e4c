"""Registration: the forms that are accepted, those that are refused, and its end."""

from __future__ import annotations

import functools

import pytest

from protoo_flask.core.errors import PatternError, RegistrationClosed, UsageError
from protoo_flask.core.routing.router import Router
from protoo_flask.middleware import p2p_messenger
from tests.fakes import Core

from .handlers import ask, note, ok, reply

pytestmark = pytest.mark.usefixtures("each_way")


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
    assert ask(core, "/") == ok


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
def test_a_function_with_the_wrong_arguments_is_refused_with_its_place(register, form):
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
def test_any_callable_with_the_right_arguments_is_accepted(function):
    assert Router().use(function).layers()


def test_a_middleware_factory_that_was_not_called_is_refused():
    with pytest.raises(UsageError, match=r"p2p_messenger makes a Router: call it, .*\(protoo\)"):
        Router().use("/users", p2p_messenger)


@pytest.mark.parametrize("name", ["use", "all", "get"])
def test_a_decorator_may_do_without_parentheses(name):
    core = Core()

    @getattr(core.router, name)
    def handler(req, next):
        req.reply(200, "OK")

    assert ask(core, "/") == ok


def test_functions_may_come_in_nested_lists():
    core, trace = Core(), []
    core.router.get("/", [note(trace, "a"), (note(trace, "b"), [note(trace, "c")])], reply("OK"))
    assert ask(core, "/") == ok
    assert trace[:3] == ["a", "b", "c"]


class AsyncCallable:
    async def __call__(self, req, next): ...


async def coroutine_function(req, next): ...


async def async_generator_function(req, next):
    yield


def generator_function(req, next):
    yield


class GeneratorCallable:
    def __call__(self, req, next):
        yield


not_functions = pytest.mark.parametrize(
    "function",
    [
        5,
        object(),
        {"get": print},
        coroutine_function,
        async_generator_function,
        generator_function,
        functools.partial(generator_function),
        GeneratorCallable(),
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
        "generator function",
        "partial generator function",
        "callable with a yield",
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
def test_only_plain_functions_can_be_registered(function, register):
    router = Router()
    with pytest.raises(UsageError):
        getattr(router, register)(function)
    with pytest.raises(UsageError):
        getattr(router, register)("/", function)
    with pytest.raises(UsageError):
        getattr(router, register)("/", print, function)


@not_functions
def test_only_plain_functions_can_be_registered_on_a_route_or_for_a_parameter(function):
    router = Router()
    with pytest.raises(UsageError):
        router.route("/").get(function)
    with pytest.raises(UsageError):
        router.param("id", function)


@pytest.mark.parametrize("function", [5, coroutine_function], ids=["number", "coroutine function"])
def test_a_decorator_refuses_all_but_plain_functions(function):
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


def test_a_decorator_made_before_the_first_connection_cannot_be_used_after_it():
    core = Core()
    decorators = [core.router.use("/"), core.router.param("id"), core.router.route("/").get()]
    core.connect()
    for decorator in decorators:
        with pytest.raises(RegistrationClosed):
            decorator(print)
