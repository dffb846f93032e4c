"""Patterns of whole segments: matched as their regular expressions match."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protoo_flask.core.errors import BadPath, PatternError
from protoo_flask.core.routing.matching.patterns import compile_pattern
from protoo_flask.core.routing.matching.segments import find_prefix, find_segments

PARTS = [*(":x", ":y", ":x?", ":username", "a", "A", "ab", "a.b", "a-b", "k", "s", "S", "42")]
PARTS += ["~@!&=,;", ":x-:y", "a?", ":x*", "(a)", "*", "\u00e9", "\u017f", ""]
SEGMENTS = [*("", "a", "A", "ab", "AB", "a.b", "axb", "a-b", "k", "K", "s", "S", "42", "x?", ":")]
SEGMENTS += ["~@!&=,;", "\n", "a\n", "%41", "%zz", "\u00e9", "\u017f", "\u212a"]

patterns = st.lists(st.sampled_from(PARTS), max_size=4).map(lambda it: "/" + "/".join(it))
paths = st.lists(st.sampled_from(SEGMENTS), max_size=6).map("/".join)
paths = st.one_of(paths, paths.map(lambda path: "/" + path), paths.map(lambda path: f"/{path}/"))


def outcome(match, path):
    try:
        return match(path)
    except BadPath as error:
        return repr(error)


@settings(deadline=None, max_examples=400)
@given(patterns, paths, st.booleans(), st.booleans())
@example("/:x?", "/", False, False)
@example("/:x?", "", False, False)
@example("/:x?", "//", False, False)
@example("/a/:x", "/a/b//", False, False)
@example("/a/:x", "/a/b/", True, False)
@example("/:x/:y?", "/a//", False, False)
@example("/:x/:x?", "/a", False, False)
@example("/:x/:x?", "/a/b", False, False)
@example("/a/:x", "b/a/x", False, False)
@example("/k", "/\u212a", False, False)
@example("/A", "/a", False, True)
def test_a_pattern_of_segments_matches_what_its_regular_expression_matches(
    pattern, path, strict, case_sensitive
):
    try:
        matcher = compile_pattern(pattern, end=True, strict=strict, case_sensitive=case_sensitive)
    except PatternError:
        return
    assert outcome(matcher.match, path) == outcome(matcher.search, path)


@settings(deadline=None, max_examples=400)
@given(patterns, paths, st.booleans())
@example("/a", "/a", False)
@example("/a", "/a/", False)
@example("/a", "/a//", False)
@example("/a", "/a//b", False)
@example("/a", "/ab", False)
@example("/a/b", "/a/b/c", True)
@example("/k", "/\u212a", False)
@example("/A", "/a/b", True)
def test_a_prefix_matches_what_its_regular_expression_matches(pattern, path, case_sensitive):
    try:
        matcher = compile_pattern(pattern, end=False, case_sensitive=case_sensitive)
    except PatternError:
        return
    assert outcome(matcher.match, path) == outcome(matcher.search, path)


@pytest.mark.parametrize("pattern", ["/a", "/users", "/chat/rooms", "/a.b/c-d"])
def test_what_routers_are_mounted_at_is_a_prefix(pattern):
    assert find_prefix(pattern, False) is not None


@pytest.mark.parametrize("pattern", ["/", "*", "/a/", "/:x", "/a/:x", "/(a|b)", "/a?", "/é"])
def test_other_beginnings_are_not(pattern):
    assert find_prefix(pattern, False) is None


@pytest.mark.parametrize("pattern", ["/a", "/:x", "/users/:username/:uuid?", "/a/:b/c.d", "/:x?"])
def test_the_usual_patterns_are_of_segments(pattern):
    assert find_segments(pattern, False, False) is not None


@pytest.mark.parametrize(
    "pattern", ["/", "*", "/a/", "/:x?/a", "/:x*", "/:x-:y", "/a?", "/(a|b)", "/:id(\\d+)", "/é"]
)
def test_others_are_not(pattern):
    assert find_segments(pattern, False, False) is None


def test_of_thousands_of_segments_only_as_many_are_looked_at_as_the_pattern_has():
    class CountedPath(str):
        def split(self, *args):
            parts = super().split(*args)
            assert len(parts) < 6
            return parts

    assert find_segments("/a/:x", False, False).match(CountedPath("/a" * 30_000)) is None
