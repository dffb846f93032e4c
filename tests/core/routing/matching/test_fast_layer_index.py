"""The layer index: the same layers run with it as without it, and it stays small."""

from __future__ import annotations

import re
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protoo_flask.core.errors import BadPath, CostlyPath, PatternError
from protoo_flask.core.request import Request
from protoo_flask.core.routing.layer import RoutingOptions
from protoo_flask.core.routing.matching import fast_layer_index
from protoo_flask.core.routing.matching.fast_layer_index import LayerIndex
from protoo_flask.core.routing.router import Router

#: Pieces of patterns; re treats the last two as an "i" and an "s".
PIECES = r"""
    / /a /b /ab /s /K /é // %41 /:x /:y /:z? /:x* /:x+ /:id(\d+) -:w /* (a) (/b)? /(a|b)
    ? + {0} {2} | \( \| [(] [/] [)|] (?#() b? . $ ı ſ
"""
#: Pieces of paths; re treats some of them as equal, except for case.
SEGMENTS = r"""
    / /a /A /b /ab /s /ſ /S /k /K /i /I /İ /É /é /1 /x-y a b - ( ) | . % %41 %zz
"""

pieces = st.sampled_from(PIECES.split())
strings = st.lists(pieces, min_size=1, max_size=4).map("".join).map(lambda it: "/" + it.lstrip("/"))
compiled = st.sampled_from(
    [re.compile("a"), re.compile("^/a"), re.compile("/B$", re.I), re.compile(r"^/(\d+)|b")]
)
one = st.one_of(strings, strings, compiled)
patterns = st.one_of(st.none(), one, one, st.lists(one, min_size=1, max_size=3))
layers = st.lists(st.tuples(st.sampled_from(["use", "all", "get", "put"]), patterns), max_size=6)
segments = st.sampled_from([*SEGMENTS.split(), "\n"])
paths = st.lists(segments, max_size=5).map("".join).map(lambda path: "/" + path[1:])


def make_router(registered, options):
    """Return a router with handlers that note their number; bad patterns are left out."""
    router, trace = Router(), []
    for number, (manner, pattern) in enumerate(registered):

        def handler(req, next, number=number):
            trace.append((number, dict(req.params)))
            next()

        try:
            getattr(router, manner)(*([] if pattern is None else [pattern]), handler)
        except PatternError:
            continue
    router.freeze(options)
    return router, trace


def run(router, method, path):
    """Return the class of the error with which a request leaves a router."""
    errors = []
    request = Request(method)
    request.path = request.original_path = path
    router(request, lambda error=None: errors.append(type(error)))
    return errors.pop()


@given(layers, st.booleans(), st.booleans(), st.sampled_from(["get", "put", "other"]), paths)
@example([("use", "/x/a\\(|/b")], False, False, "get", "/q/b")
@example([("use", "/x/[(]|/b")], False, False, "get", "/q/b")
@example([("use", "/s")], False, False, "get", "/\u017f")
@example([("use", "/k")], False, False, "get", "/\u212a")
@example([("use", "/\u0131")], False, False, "get", "/I")
@example([("use", "/i")], False, False, "get", "/\u0130")
@example([("all", "/a/?b")], False, False, "get", "/ab")
@example([("all", "/a//b")], False, False, "get", "/a//b")
@example([("use", [re.compile("a"), "/*"])], False, False, "get", "/a")
@example([("put", "/:x"), ("get", "/%zz")], False, False, "get", "/%zz")
@example([("put", "/:x"), ("get", "/*")], False, False, "get", "/%zz")
def test_the_layers_that_run_with_the_index_are_those_that_run_without_it(
    registered, case_sensitive, strict, method, path
):
    options = RoutingOptions(case_sensitive, strict)
    indexed, trace = make_router(registered, options)
    with mock.patch.object(fast_layer_index, "ENABLED", False):
        plain, plain_trace = make_router(registered, options)
    assert run(indexed, method, path) == run(plain, method, path)
    assert trace == plain_trace


def candidates(router, method, path):
    """Return the paths of the layers that the index finds."""
    index = LayerIndex(router.layers(), case_sensitive=False)
    return [layer.path for layer in index.find(method, path)[0]]


@pytest.mark.parametrize("others", [0, 10, 300])
def test_layers_for_other_paths_and_methods_are_not_candidates(others):
    router = Router()
    router.use("/:any", print)
    for number in range(others):
        router.get(f"/users{number}/:name", print)
        router.use(f"/rooms/{number}", print)
        router.put("/users/:name", print)
        router.get(f"/:tenant/things/{number}/:id?", print)
    router.get("/users/:name", print)
    router.get(re.compile("^/users/bob"), print)
    router.freeze(RoutingOptions())
    found = candidates(router, "get", "/users/bob/x")
    assert found == ["/:any", "/users/:name", re.compile("^/users/bob")]
    assert candidates(router, "get", "/nobody") == ["/:any", re.compile("^/users/bob")]


@pytest.mark.parametrize(
    "pattern", [["/*", "*"], [re.compile("a"), re.compile("b")], ["/a", "/a/b", "/a"]], ids=str
)
def test_a_layer_with_a_list_is_tried_once(pattern):
    assert candidates(Router().use(pattern, print), "get", "/a/b") == [pattern]


def test_a_layer_with_a_list_of_different_shapes_is_tried_once():
    router = Router().use(["/a", "/:x", "/a/b"], print)
    assert candidates(router, "get", "/a/b") == [["/a", "/:x", "/a/b"]]


def test_layers_come_in_the_order_of_the_stack():
    paths = ["/a/b", "/:x", None, "/a", "/:x/b", ["/q", "/a"]]
    router = Router()
    for path in paths:
        router.use(*([] if path is None else [path]), print)
    assert candidates(router, "get", "/a/b") == paths


def many_ways(case_sensitive=False):
    """Return the index of a router in which each path leads to nodes of its own."""
    router = Router()
    for number in range(20):
        router.get(f"/a{number}/:x/:y", print)
        router.put(f"/:x/b{number}/:y", print)
        router.use(f"/:x/:y/c{number}", print)
    router.freeze(RoutingOptions(case_sensitive))
    return LayerIndex(router.layers(), case_sensitive)


def find_everything(index):
    return [
        [layer.path for layer in index.find(method, f"/a{a}/b{b}/c{c}")[0]]
        for a in range(22)
        for b in range(22)
        for c in range(0, 22, 7)
        for method in ("get", "put", "other")
    ]


@pytest.mark.parametrize("limit", [0, 30, 1000])
def test_the_kept_states_are_bounded_without_changing_the_candidates(monkeypatch, limit):
    unbounded = many_ways()
    expected = find_everything(unbounded)
    assert unbounded.listed > 1000
    monkeypatch.setattr(fast_layer_index, "MAX_LISTED", limit)
    index = many_ways()
    assert find_everything(index) == find_everything(index) == expected
    assert index.listed <= limit


def test_paths_that_differ_only_in_parameters_share_their_states():
    index = many_ways()
    index.find("get", "/a1/x/y/z")
    listed = index.listed
    for number in range(100):
        index.find(f"method{number}", f"/A1/x{number}/y{number}/z{number}")
    assert index.listed == listed


class CountedPath(str):
    """A path that counts the segments that are split off it."""

    taken = 0

    def split(self, *args):
        parts = super().split(*args)
        CountedPath.taken = len(parts)
        return parts


def test_a_long_path_is_split_only_as_far_as_patterns_reach():
    router = Router().use("/a/b/c", print).get("/:x/:y", print)
    router.freeze(RoutingOptions())
    index = LayerIndex(router.layers(), False)
    assert len(index.find("get", CountedPath("/a" * 30_000))[0]) == 1
    assert CountedPath.taken <= 5


@pytest.mark.parametrize("path", ["/" * 4096, "/a" * 2048, "/%" * 2048, "/:" * 2048])
def test_absurd_paths_are_answered(path):
    router, trace = make_router(
        [("all", "/a/:x?"), ("use", "/a/b"), ("all", "/*/x/*"), ("all", "/:a-:b/:c")],
        RoutingOptions(),
    )
    assert run(router, "get", path) in (type(None), BadPath, CostlyPath)
    assert trace == []
