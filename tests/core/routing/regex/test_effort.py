"""The effort of a request: no path costs the matchers more than a number of steps."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest

from protoo_flask import Request, Router
from protoo_flask.core.errors import CostlyPath
from protoo_flask.core.routing.layer import RoutingOptions
from protoo_flask.core.routing.matching.patterns import compile_pattern
from protoo_flask.core.routing.regex.effort import MAX_STEPS, SHORT, Effort
from protoo_flask.core.routing.regex.linear_regex import CHAR, LOOK, LinearRegex
from tests.core.devices import Core

SLOW = re.compile(r"(a+)+b")
LONGEST = 4096


def steps_of(pattern: Any, path: str) -> int:
    effort = Effort(1 << 40)
    compile_pattern(pattern, end=True).match(path, effort)
    return (1 << 40) - effort.left


def route(router: Router, path: str) -> Any:
    """Route a path; return the error, or ``None`` when no function took it."""
    errors: list[Any] = []
    request = Request("get")
    request.path = request.original_path = path
    router.freeze(RoutingOptions())
    router(request, lambda error=None: errors.append(error))
    return errors[0] if errors else "taken"


def test_a_search_ends_exactly_where_no_step_is_left():
    regex, text = LinearRegex(re.compile(r"\A(a+)+b")), "a" * 50
    effort = Effort(10_000)
    assert regex.search(text, effort) is None
    needed = 10_000 - effort.left
    effort = Effort(needed)
    assert regex.search(text, effort) is None
    assert effort.left == 0
    with pytest.raises(CostlyPath):
        regex.search(text, Effort(needed - 1))


@pytest.mark.parametrize(
    "expression",
    [
        r"(a+)+b",
        r"a{400}b",  # no choices, and a run from each position
        r"a.{0,100}b",
        r"(?:a?){50}b",
        r"^(?:(?!aaaa|b).)+-",  # most of the work is in the lookahead
        r"(?:(?=a{30}).)*b",
        r"x",
    ],
)
@pytest.mark.parametrize("character", ["a", "b", "-", "é", "İ"])
def test_no_path_takes_more_steps_than_there_are(expression, character):
    regex = LinearRegex(re.compile(expression))
    looks: list[str] = []
    watch(regex._program, looks)
    with contextlib.suppress(CostlyPath):
        regex.search(character * LONGEST, Effort())
    assert len(looks) <= MAX_STEPS


def watch(program: Any, looks: list[str]) -> None:
    """Record each look at a character."""
    for index, (kind, first, second) in enumerate(program):
        if kind == CHAR:
            program[index] = (kind, lambda char, take=first: (looks.append(char), take(char))[1], 0)
        elif kind == LOOK:
            watch(first.program, looks)
            assert second is not None


def test_all_patterns_of_a_site_share_the_effort_of_a_request():
    path = "/" + "a" * 100
    each = steps_of(SLOW, path)
    enough = MAX_STEPS // each
    for count, error in ((enough, type(None)), (enough + 1, CostlyPath)):
        router = Router()
        for _ in range(count):
            router.get(SLOW, print)
        assert type(route(router, path)) is error


def test_routers_below_share_the_effort_too():
    path = "/" + "a" * 100
    router = inner = Router()
    for _ in range(1 + MAX_STEPS // steps_of(SLOW, path)):
        below = Router()
        inner.get(SLOW, print).use(below)
        inner = below
    assert isinstance(route(router, path), CostlyPath)


def test_each_request_has_an_effort_of_its_own():
    router = Router().get(SLOW, print)
    path = "/" + "a" * 100
    for _ in range(20):
        assert route(router, path) is None


@pytest.mark.parametrize("pattern", ["/x*y", "/:a.x", re.compile(r"\A/b")])
def test_short_paths_cost_nothing_in_patterns_that_re_matches(pattern):
    router = Router()
    for _ in range(500):
        router.get(pattern, print)
    path = "/" + "a" * (SHORT - 1)
    assert route(router, path) is None
    assert isinstance(route(router, path + "a" * (LONGEST - SHORT)), CostlyPath)


def test_the_decoding_of_a_long_parameter_counts():
    router = Router()
    for _ in range(100):
        router.put("/:name", print)  # for another method: the path is decoded nevertheless
    assert route(router, "/" + "%41" * 80) is None
    assert isinstance(route(router, "/" + "%41" * 1300), CostlyPath)


@pytest.mark.parametrize(
    "pattern", ["/:a-:b", "/:a.:b", "/:a-:b-:c-:d", "/:a~:b?", "/:a/*", "/:a*", "/users/:a/:b?"]
)
def test_the_longest_path_is_matched_by_usual_patterns(pattern):
    for filling in ("a", "-", ".", "a-", "a.", "a~b", "é"):
        path = ("/" + filling * LONGEST)[:LONGEST]
        router = Router().get(pattern, lambda req, next: None)
        assert not isinstance(route(router, path), CostlyPath)


def test_a_costly_path_is_answered_414_and_the_next_one_as_usual():
    router = Router().get("/*-*", lambda req, next: req.reply(200, "matched"))
    router.use(lambda req, next: req.reply(200, "passed on"))
    client = Core(router).connect()
    answer = client.request("get", "/" + "-a" * 2000)
    assert (answer["status"], answer["reason"]) == (414, "the path takes too long to match")
    assert client.request("get", "/a-b")["reason"] == "matched"
    assert client.request("get", "/ab")["reason"] == "passed on"


def test_a_guard_is_not_passed_by_a_costly_path():
    """The path is an error from there on: no later function of the chain sees the request."""
    seen = []
    router = Router()
    router.use(re.compile(r"^/(a+)+$"), lambda req, next: req.reply(403))
    router.use(lambda req, next: seen.append(req.path))
    client = Core(router).connect()
    assert client.request("get", "/" + "a" * 4000)["status"] == 414
    assert client.request("get", "/" + "a" * 40)["status"] == 403
    assert seen == []


def test_an_error_handler_gets_a_costly_path():
    router = Router().get("/*-*", print)
    router.errorhandler(lambda error, req, next: req.reply(error.status, "too long"))
    client = Core(router).connect()
    answer = client.request("get", "/" + "-a" * 2000)
    assert (answer["status"], answer["reason"]) == (414, "too long")
