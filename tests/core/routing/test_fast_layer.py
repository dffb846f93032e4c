"""The fast way into a layer does the same as ``Layer.enter`` and ``Layer.run``."""

from __future__ import annotations

from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protoo_flask.core.request import Request
from protoo_flask.core.routing import fast_layer
from protoo_flask.core.routing.fast_layer import find_segments, is_plain_text
from protoo_flask.core.routing.layer import Layer, RoutingOptions
from protoo_flask.core.routing.router import Router

PARTS = [":x", ":y", ":x?", ":name", "a", "A", "ab", "a.b", "k", "s", "42", "*", ":x-:y", "a?"]
PARTS += ["ss", "(a)", "\u00e9", "\u017f", ""]
SEGMENTS = [*("", "a", "A", "ab", "AB", "a.b", "axb", "a-b", "k", "K", "s", "S", "42", "x?", ":")]
SEGMENTS += ["\u00df", "~@!&=,;", "\n", "a\n", "%41", "%zz", "\u00e9", "\u017f", "\u212a"]

patterns = st.lists(st.sampled_from(PARTS), max_size=3).map(lambda it: "/" + "/".join(it))
patterns = st.one_of(st.none(), patterns, patterns, patterns)
paths = st.lists(st.sampled_from(SEGMENTS), max_size=6).map(lambda it: "/" + "/".join(it))
#: The manner of a registration, its pattern, and how many functions it has.
manners = st.sampled_from(["use", "get", "all", "put", "error", "fail", "param"])
entries = st.tuples(manners, patterns, st.integers(1, 2))
mounted = st.tuples(st.just("mount"), patterns, st.lists(entries, max_size=3), st.booleans())
stacks = st.lists(st.one_of(entries, mounted), max_size=5)


def make_router(stack, trace, **options):
    """Return a router with functions that note everything about the request."""
    router = Router(**options)
    for number, (manner, pattern, *rest) in enumerate(stack):
        path = [] if pattern is None else [pattern]
        if manner == "mount":
            entries, merge_params = rest
            router.use(*path, make_router(entries, trace, merge_params=merge_params))
            continue

        def look(req, next, value=None, number=number):
            see(req, number, value)
            next()
            see(req, number, value)

        def see(req, *more):
            route = req.route and req.route.path
            last = getattr(req.last_handler, "__defaults__", None)  # with the number
            trace.append((*more, req.path, req.base_path, dict(req.params), route, last))

        def pass_on(error, req, next, number=number):
            see(req, number, repr(error))
            next(error)

        if manner == "param":
            router.param("x", look)
        elif manner == "error":
            router.errorhandler(*path, pass_on)
        elif manner == "fail":
            router.use(*path, lambda req, next: next("failed"))
        else:
            getattr(router, manner)(*path, *[look] * rest[0])
    return router


def run(stack, path, options, is_fast):
    """Return the trace of one request, in one of the two ways."""
    trace = []
    with mock.patch.object(fast_layer, "ENABLED", is_fast):
        router = make_router(stack, trace)
        router.freeze(options)
    request = Request("get")
    request.path = request.original_path = path
    router(request, lambda error=None: trace.append(repr(error)))
    return trace


@settings(max_examples=400)
@given(stacks, paths, st.booleans(), st.booleans())
@example([("mount", "/a", [("get", "/:x", 1)], False)], "/a/b", False, False)
@example([("mount", "/a", [("use", "/", 1)], False)], "/a", False, False)
@example([("mount", "/a", [("use", "/", 1)], False)], "/a/", False, False)
@example([("mount", "/a", [("use", "/", 1)], False)], "/a//", False, False)
@example([("mount", "/a", [("use", "/", 1)], False)], "/a//b", False, False)
@example([("mount", "/a", [("use", "/", 1)], False)], "/ab", False, False)
@example([("mount", "/a/b", [("use", "/", 1)], False)], "/A/b/c", True, True)
@example([("mount", "/:y", [("get", "/:x", 1)], True)], "/a/b", False, False)
@example([("mount", "/:y", [("get", "/:x", 2), ("use", "/b", 1)], True)], "/a/b", False, False)
@example([("get", "/:x/:y?", 1)], "/a/b/ab", False, False)
@example([("get", "/:x/:y?", 1)], "/a/", False, False)
@example([("get", "/:x/:y?", 1)], "/a//", False, False)
@example([("get", "/:x/:y?", 2)], "/a", False, False)
@example([("get", "/:x?", 1)], "/", False, False)
@example([("get", "/:x?", 1)], "//", False, False)
@example([("get", "/a/:x", 1)], "/a/b/", True, False)
@example([("get", "/a/:x", 1)], "/a/b//", False, False)
@example([("get", "/:x/:x?", 1)], "/a", False, False)
@example([("get", "/:x/:x?", 1)], "/a/b", False, False)
@example([("get", "/k", 1)], "/\u212a", False, False)
@example([("use", "/k", 1)], "/\u212a", False, False)
@example([("get", "/ss", 1)], "/\u00df", False, False)
@example([("get", "/A", 1)], "/a", False, True)
@example([("mount", "/:y", [("use", None, 1)], True)], "/a", False, False)
@example([("mount", "/:y", [("use", "/b", 1)], True)], "/a/b", False, False)
@example([("get", "/a/:x", 1), ("get", "/:x/ab", 1)], "/A/ab", False, False)
@example([("param", "", 1), ("get", "/:x/:y?", 1), ("get", "/:y", 1)], "/a", False, False)
@example([("fail", "/a", 1), ("get", "/:x", 1), ("error", "/a", 1)], "/a", False, False)
def test_a_request_runs_the_same_functions_in_the_fast_way_as_in_the_plain_way(
    stack, path, strict, case_sensitive
):
    options = RoutingOptions(case_sensitive, strict)
    assert run(stack, path, options, True) == run(stack, path, options, False)


@pytest.mark.parametrize("path", ["/item/7", "/users/bob", "/users/bob/b1", "/users/bob/b1/calls"])
def test_the_usual_layers_are_entered_the_fast_way(path):
    functions = []

    def handler(req, next):
        functions.append(req.params)
        next()

    users = (
        Router(merge_params=True).get("/:name/:uuid?", handler).get("/:name/:uuid/calls", handler)
    )
    router = Router().use(handler).get("/item/:id", handler, handler).use("/users", users)
    router.freeze(RoutingOptions())
    request = Request("get")
    request.path = path
    with mock.patch.object(Layer, "enter", side_effect=AssertionError):
        router(request, functions.append)
    assert len(functions) > 1


@pytest.mark.parametrize("pattern", ["/a", "/users", "/chat/rooms", "/a.b/c-d"])
def test_the_usual_prefixes_are_plain_text(pattern):
    assert is_plain_text(pattern)


@pytest.mark.parametrize("pattern", ["/", "*", "/a/", "/:x", "/a/:x", "/(a|b)", "/a?", "/é"])
def test_other_prefixes_are_not_plain_text(pattern):
    assert not is_plain_text(pattern)


@pytest.mark.parametrize(
    ("pattern", "segments"),
    [
        ("/a", (2, 2, ())),
        ("/:x", (2, 2, ((1, "x"),))),
        ("/:x?", (1, 2, ((1, "x"),))),
        ("/users/:name/:uuid?", (3, 4, ((2, "name"), (3, "uuid")))),
        ("/a/:b/c.d", (4, 4, ((2, "b"),))),
    ],
)
def test_the_usual_patterns_have_whole_segments(pattern, segments):
    assert find_segments(pattern) == segments


@pytest.mark.parametrize(
    "pattern",
    [
        "/",
        "*",
        "/a/",
        "/:x?/a",
        "/:x*",
        "/:x-:y",
        "/a?",
        "/(a|b)",
        "/:id(\\d+)",
        "/é",
        ["/a"],
        None,
    ],
    ids=str,
)
def test_other_patterns_are_left_to_the_plain_way(pattern):
    assert find_segments(pattern) is None
