"""Guards: a guard of a part of the paths sees every request that a handler below it sees."""

from __future__ import annotations

import json
import re
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protoo_flask.core.errors import BadMessage
from protoo_flask.core.request import Request
from protoo_flask.core.routing import fast_layer
from protoo_flask.core.routing.layer import RoutingOptions
from protoo_flask.core.routing.matching import fast_layer_index
from protoo_flask.core.routing.matching.patterns import compile_pattern
from protoo_flask.core.routing.matching.shapes import fold_case
from protoo_flask.core.routing.regex import linear_regex
from protoo_flask.core.routing.router import Router
from protoo_flask.core.wire.messages import parse

#: Characters at which a regular expression stops, or which it compares in a way of its own.
EVIL = [*"\0\t\n\v\f\r\x1b\x1c\x7f\x85\u2028\u2029", "\u0130\u0131", "\u017f", "\u212a", "\ufffd"]
EVIL += ["%0a", "%0A", "%00", "%2F", "%2f", "%61", ".", "..", "/", "a", "A", "k", "s", "i", "7"]

rests = st.lists(st.sampled_from(EVIL), min_size=1, max_size=5).map("".join)

#: Patterns that match something below "/a/", as a site may register its handlers.
HANDLERS = [
    "/a/:x",
    "/a/:x?",
    "/a/:x*",
    "/a/:x+",
    r"/a/:x([^/]+)",
    "/a/:x/:y",
    "/a/:x-:y",
    "/:z/:x",
]
HANDLERS += ["/a/(.+)", "/a/:x.:y", "/a/k", "/a/s/:x", "/a/i"]

#: Patterns that match everything below "/a/", as a site may register its guards.
GUARDS = ["/a/*", "/a*", "/a/:rest(.*)", "/a/:rest(*)", "/*", "*", "/a/:rest([^~]+)"]


def run(path, guard, guard_pattern, handler, handler_pattern, is_fast):
    """Return who sees a path: the guard, the handler, both or nobody."""
    seen = []
    with mock.patch.object(fast_layer, "ENABLED", is_fast), mock.patch.object(
        fast_layer_index, "ENABLED", is_fast
    ):
        router = Router()

        def guard_it(req, next):
            seen.append("guard")
            next()

        def handle_it(req, next):
            seen.append("handler")
            next()

        getattr(router, guard)(guard_pattern, guard_it)
        getattr(router, handler)(handler_pattern, handle_it)
        router.freeze(RoutingOptions())
    request = Request("message")
    request.path = request.original_path = path
    router(request, lambda error=None: None)
    return seen


@settings(max_examples=300)
@given(
    rests, st.sampled_from(GUARDS), st.sampled_from(HANDLERS), st.sampled_from(["all", "message"])
)
@example("7\n", "/a/*", "/a/:x", "all")
@example("\u2028", "/a/*", "/a/:x?", "all")
@example("7\r\n", "/a/*", "/a/:x-:y", "all")
@example("x-\ny", "/a/:rest(.*)", "/a/:x-:y", "all")
@example("%zz", "/a/*", "/a/:x", "all")
def test_a_wildcard_sees_every_path_that_a_parameter_sees(rest, guard, pattern, manner):
    path = "/a/" + rest
    for is_fast in (True, False):
        seen = run(path, "all", guard, manner, pattern, is_fast)
        assert seen != ["handler"]


@given(rests, st.sampled_from(HANDLERS[:7]))
@example("7\n", "/a/:x")
def test_a_prefix_sees_every_path_that_a_route_below_it_sees(rest, pattern):
    path = "/a/" + rest
    for is_fast in (True, False):
        assert run(path, "use", "/a", "all", pattern, is_fast) != ["handler"]


@given(rests, st.sampled_from(GUARDS))
@example("7\n", "/a/*")
def test_a_wildcard_sees_every_path_that_a_prefix_sees(rest, guard):
    path = "/a/" + rest
    for is_fast in (True, False):
        assert run(path, "all", guard, "use", "/a", is_fast) != ["handler"]


@given(rests)
@example("\n")
def test_both_matchers_of_a_wildcard_agree(rest):
    """One is Python's, the other the linear one."""
    for pattern in ("/a/*", "/a/:x-*", "/:x*"):
        [alternative] = compile_pattern(pattern, end=True)._alternatives
        search = alternative.search
        owner = search.__self__
        if isinstance(owner, re.Pattern):
            other = linear_regex.LinearRegex(owner).search
            found, others = search("/a/" + rest), other("/a/" + rest)
            assert (found and found.groups()) == (others and others.groups())


@pytest.mark.parametrize("pattern", ["/item/*", "/item/:rest(.*)", "/item/:a*", "/item*"])
@pytest.mark.parametrize("evil", ["\n", "\r", "\0", "\x85", "\u2028", "\u2029"])
def test_a_wildcard_takes_every_character(pattern, evil):
    path = f"/item/7{evil}7"
    matcher = compile_pattern(pattern, end=True)
    for one in (path, f"/item/7{evil}", f"/item/{evil}"):
        found = matcher.match(one)
        assert found is not None
        assert found[0] == one


def test_a_compiled_pattern_keeps_its_own_flags():
    assert compile_pattern(re.compile("^/item/.*$"), end=True).match("/item/7\n7") is None
    assert compile_pattern(re.compile("(?s)^/item/.*$"), end=True).match("/item/7\n7") is not None


def test_the_layer_index_folds_case_as_regular_expressions_do():
    cased = [
        character
        for character in map(chr, (*range(0xD800), *range(0xE000, 0x110000)))
        if character.lower() != character or character.upper() != character
    ]
    cased += ["\u0130", "\u0131"]
    text = "".join(dict.fromkeys(cased))
    for character in text:
        for equal in re.findall(re.escape(character), text, re.IGNORECASE):
            assert fold_case(equal) == fold_case(character)


# The wire: such paths do not come that far


def read(path, **changes):
    message = {"method": "message", "path": path, "id": 7, **changes}
    return parse(json.dumps(message).encode())


CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)]


@pytest.mark.parametrize("character", CONTROLS, ids=ascii)
def test_a_control_character_in_a_path_is_refused_with_its_place(character):
    for path in (f"/item/7{character}", f"/{character}x", f"/users/\u00e9{character}/x"):
        with pytest.raises(BadMessage) as caught:
            read(path)
        assert caught.value.id == 7
        code = f"U+{ord(character):04X}"
        assert caught.value.reason == (
            f"path must have no control characters: it has {code} at index {path.index(character)}"
        )


def test_a_control_character_that_is_not_escaped_in_the_json_is_refused_too():
    for character in "\x7f\x85\u2028\u2029":
        payload = f'{{"method": "m", "path": "/a{character}", "id": 7}}'.encode()
        with pytest.raises(BadMessage, match="control characters") as caught:
            parse(payload)
        assert caught.value.id == 7


def test_a_control_character_is_refused_beside_a_field_of_a_response():
    """Such a message is read a second time."""
    with pytest.raises(BadMessage, match="control characters"):
        read("/a\n", status="not a number")


def test_a_control_character_is_refused_beside_half_an_emoji():
    with pytest.raises(BadMessage, match="control characters"):
        read("/a\n", data={"text": "\ud83d"})


def test_a_notification_with_a_control_character_is_refused():
    payload = json.dumps({"method": "message", "path": "/a\n"}).encode()
    with pytest.raises(BadMessage, match="control characters") as caught:
        parse(payload)
    assert caught.value.id == 0


@pytest.mark.parametrize(
    "path",
    [
        *("/", "//", "/a b?#%", "/~", "/\u00a0", "/users/\u00e9", "/users/\u4f60\u597d", "/%0a%00"),
        *("/\u200d", "/\U0001f469\u200d\U0001f52c", "/\u202e", "/\ufeff", "/\ue000", "/\ufffd"),
        *("/\u2027", "/\u202a", "/\x7e", "/\xa0"),
    ],
    ids=ascii,
)
def test_every_other_character_may_be_in_a_path(path):
    assert read(path).path == path
    assert read(path, status="not a number").path == path


def test_a_method_may_have_every_character():
    """Methods are compared as a whole, so no two patterns can disagree about one."""
    payload = json.dumps({"method": "a\n", "path": "/", "id": 7}).encode()
    assert parse(payload).method == "a\n"
