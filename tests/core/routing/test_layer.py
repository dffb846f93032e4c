"""A layer: entered at a glance as it is entered when it is looked at closely."""

from __future__ import annotations

from unittest import mock

from hypothesis import example, given, settings
from hypothesis import strategies as st

from protoo_flask.core.request import Request
from protoo_flask.core.routing.layer import Layer, RoutingOptions
from protoo_flask.core.routing.router import Router

from .matching.test_segments import paths

PARTS = [":x", ":y", ":x?", "a", "A", "ab", "k", "s", "42", "*", "\u017f"]
patterns = st.lists(st.sampled_from(PARTS), max_size=3).map(lambda it: "/" + "/".join(it))
#: What is registered: how, where, and how many functions; below a router that is mounted there.
entries = st.tuples(st.sampled_from(["use", "get", "all", "error"]), patterns, st.integers(1, 2))
mounted = st.tuples(st.just("mount"), patterns, st.lists(entries, max_size=3), st.booleans())
stacks = st.lists(st.one_of(entries, mounted), max_size=5)


def register(router, stack, trace):
    for manner, pattern, *rest in stack:
        if manner == "mount":
            inner, merges = rest
            router.use(pattern, register(Router(merge_params=merges), inner, trace))
            continue

        def look(req, next):
            trace.append((req.path, req.base_path, req.params, req.route, req.last_handler))
            next()
            trace.append((req.path, req.base_path, req.params, req.route))

        if manner == "error":
            router.errorhandler(pattern, lambda error, req, next: next(error))
        else:
            getattr(router, manner)(pattern, *[look] * rest[0])
    return router


@settings(deadline=None, max_examples=400)
@given(stacks, paths, st.booleans(), st.booleans())
@example([("mount", "/a", [("get", "/:x", 1)], False)], "/a/b", False, False)
@example([("mount", "/a", [("use", "/", 1)], False)], "/a", False, False)
@example([("mount", "/a", [("use", "/", 1)], False)], "/a/", False, False)
@example([("mount", "/a", [("use", "/", 1)], False)], "/a//b", False, False)
@example([("mount", "/:y", [("get", "/:x", 1)], True)], "/a/b", False, False)
@example([("get", "/:x/:y?", 1)], "/a/b/ab", False, False)
@example([("get", "/:x/:y?", 1)], "/a/", False, False)
@example([("get", "/a/:x", 1), ("get", "/:x/ab", 1)], "/A/ab", False, False)
def test_a_layer_is_entered_at_a_glance_as_it_is_otherwise(stack, path, strict, case_sensitive):
    trace = []
    router = register(Router(), stack, trace)
    router.freeze(RoutingOptions(case_sensitive, strict))

    def run():
        trace.clear()
        request = Request("get")
        request.path = request.original_path = path
        router(request, lambda error=None: trace.append(repr(error)))
        return trace[:]

    at_a_glance = run()
    with mock.patch.object(Layer, "glance", return_value=None):
        assert run() == at_a_glance
