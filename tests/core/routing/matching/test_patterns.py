"""Path patterns: the paths that match, their parameters, and patterns that are refused."""

from __future__ import annotations

import contextlib
import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoo_flask.core.errors import BadPath, PatternError, UsageError
from protoo_flask.core.routing.matching.patterns import _Translator, compile_pattern, decode
from protoo_flask.core.routing.regex import linear_regex
from protoo_flask.core.routing.regex.backtracking import backtracks


def params_of(pattern, path, *, end=True, **options):
    """Return the parameters of a match, ``None`` when there is none."""
    match = compile_pattern(pattern, end=end, **options).match(path)
    return None if match is None else match[1]


def prefix_of(pattern, path, **options):
    """Return the part of the path that ``use`` would strip, ``None`` without a match."""
    match = compile_pattern(pattern, end=False, **options).match(path)
    return None if match is None else match[0]


@pytest.mark.parametrize(
    ("pattern", "path", "params"),
    [
        ("/", "/", {}),
        ("/", "/users", None),
        ("/", "//", None),
        ("/users", "/users", {}),
        ("/users", "/users/", {}),
        ("/users", "/users//", None),
        ("/users", "/usersx", None),
        ("/users", "/user", None),
        ("/users", "/users/bob", None),
        ("/users", "x/users", None),
        ("/users", "/USERS", {}),
        ("/users", "/users\n", None),
        ("/users/", "/users", {}),
        ("/users/", "/users/", {}),
        ("/a.b", "/a.b", {}),
        ("/a.b", "/axb", None),
        (r"/a b/\[x]\$", "/a b/[x]$", {}),
        ("/caf%C3%A9", "/caf%C3%A9", {}),
        ("/caf%C3%A9", "/café", None),
        ("/:name", "/bob", {"name": "bob"}),
        ("/:name", "/bob/", {"name": "bob"}),
        ("/:name", "/", None),
        ("/:name", "/bob/x", None),
        ("/:name", "/Bob", {"name": "Bob"}),
        ("/:name", "/b.o-b@example", {"name": "b.o-b@example"}),
        ("/:name", "/b\nb", {"name": "b\nb"}),
        ("/:name", "/:name", {"name": ":name"}),
        ("/users/:name/photos/:id", "/users/bob/photos/7", {"name": "bob", "id": "7"}),
        ("/users/:name/photos/:id", "/users/bob/photos", None),
        ("/:a_1", "/x", {"a_1": "x"}),
        ("/:name/:uuid?", "/bob", {"name": "bob"}),
        ("/:name/:uuid?", "/bob/", {"name": "bob"}),
        ("/:name/:uuid?", "/bob/b1", {"name": "bob", "uuid": "b1"}),
        ("/:name/:uuid?", "/bob/b1/", {"name": "bob", "uuid": "b1"}),
        ("/:name/:uuid?", "/bob/b1/x", None),
        ("/:name/:uuid?", "/", None),
        ("/:name?", "/", {}),
        ("/:name?", "/bob", {"name": "bob"}),
        ("/a/:b?/c", "/a/c", {}),
        ("/a/:b?/c", "/a/x/c", {"b": "x"}),
    ],
)
def test_a_route_matches_the_whole_path(pattern, path, params):
    assert params_of(pattern, path) == params


@pytest.mark.parametrize(
    ("pattern", "path", "prefix"),
    [
        ("/", "/", ""),
        ("/", "/users", ""),
        ("/users", "/users", "/users"),
        # In req.base_path, the slash is left out.
        ("/users", "/users/", "/users/"),
        ("/users", "/users/bob", "/users"),
        ("/users", "/usersx", None),
        ("/users", "/users.x", None),
        ("/users", "/x/users", None),
        ("/users", "/UsErS/bob", "/UsErS"),
        ("/users/", "/users/bob", "/users"),
        ("/:name", "/bob/photos/7", "/bob"),
        ("/:name/:uuid?", "/bob", "/bob"),
        ("/:name/:uuid?", "/bob/b1/x", "/bob/b1"),
    ],
)
def test_use_matches_a_prefix_that_ends_at_a_slash(pattern, path, prefix):
    assert prefix_of(pattern, path) == prefix


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/users", "/users", True),
        ("/users", "/users/", False),
        ("/users/", "/users/", True),
        ("/users/", "/users", False),
        ("/:name", "/bob/", False),
        ("/:name/:uuid?", "/bob", True),
        ("/:name/:uuid?", "/bob/", False),
        ("/", "/", True),
        ("/", "//", False),
    ],
)
def test_a_strict_route_minds_the_slash_at_the_end(pattern, path, matches):
    assert (params_of(pattern, path, strict=True) is not None) is matches


@pytest.mark.parametrize("path", ["/users/Bob", "/users/bob"])
def test_a_case_sensitive_pattern_minds_case_in_literals_but_not_in_parameters(path):
    name = path[-3:]
    assert params_of("/users/:name", path, case_sensitive=True) == {"name": name}
    assert params_of("/Users/:name", path, case_sensitive=True) is None


# Parameters


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        ("b%20b", "b b"),
        ("a%2Fb", "a/b"),
        ("a%2fb", "a/b"),
        ("%25", "%"),
        ("%2541", "%41"),
        ("caf%C3%A9", "café"),
        ("caf%c3%a9é", "caféé"),
        ("%F0%9F%98%80", "😀"),
        ("%00", "\0"),
        ("a+b", "a+b"),
    ],
)
def test_a_parameter_is_percent_decoded(escaped, text):
    assert params_of("/:name", f"/{escaped}") == {"name": text}


@pytest.mark.parametrize(
    "escaped",
    ["%", "%4", "%zz", "a%", "%C3", "%C3x", "%FF", "%ED%A0%80", "%C0%80", "%41%"],
)
def test_a_parameter_that_does_not_decode_is_a_bad_path(escaped):
    with pytest.raises(BadPath, match="bad escape") as caught:
        params_of("/:name", f"/{escaped}")
    assert caught.value.status == 400


def test_a_bad_escape_outside_of_parameters_does_no_harm():
    assert params_of("/%zz/:name", "/%zz/bob") == {"name": "bob"}


@given(st.text())
def test_decoding_undoes_quoting(text):
    assert decode(quote(text, safe="")) == text


@given(st.text())
def test_no_path_makes_matching_raise_anything_but_bad_path(text):
    matcher = compile_pattern("/:a/:b?/x/:c?", end=False)
    for path in (text, f"/{text}", f"/a/b/x/{text}"):
        with contextlib.suppress(BadPath):
            matcher.match(path)


@pytest.mark.parametrize("many", [1, 3, 6, 12])
def test_matching_many_optional_parameters_is_linear_in_the_path(many, monkeypatch):
    steps = []
    run = linear_regex._run

    def count(program, text, position, slots, visited, effort):
        end = run(program, text, position, slots, visited, effort)
        steps.append(len(visited) <= len(program) * (len(text) + 1))
        return end

    monkeypatch.setattr(linear_regex, "_run", count)
    pattern = "".join(f"/:p{number}?" for number in range(many)) + "/end"
    matcher = compile_pattern(pattern, end=True)
    assert matcher.match("/a" * 2000) is None
    assert matcher.match("/" * 2000) is None
    # Either re does not backtrack, or the linear matcher has been used.
    regex, _ = _Translator(pattern).compile(True, False, False)
    assert backtracks(regex) is (steps != [])
    assert all(steps)


# Compiled patterns and lists


@pytest.mark.parametrize(
    ("pattern", "path", "params"),
    [
        (re.compile(r"\.png"), "/photos/x.png/7", {}),
        (re.compile(r"^/users/(\d+)$"), "/users/7", {0: "7"}),
        (re.compile(r"^/users/(\d+)$"), "/users/x", None),
        (
            re.compile(r"^/(?P<kind>\w+)/(\d+)-(\d+)"),
            "/range/1-2",
            {"kind": "range", 0: "1", 1: "2"},
        ),
        (re.compile(r"^/a(/b)?(/c)?$"), "/a/c", {1: "/c"}),
        (re.compile(r"^/Users"), "/users", None),
        (re.compile(r"^/Users", re.IGNORECASE), "/users", {}),
        (re.compile(r"^/(.+)"), "/a%20b", {0: "a b"}),
    ],
    ids=str,
)
def test_a_compiled_pattern_is_searched_with_its_own_flags(pattern, path, params):
    assert params_of(pattern, path) == params
    assert params_of(pattern, path, case_sensitive=True) == params


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/users/bob", {"name": "bob"}),
        ("/people/bob", {"person": "bob"}),
        ("/7", {0: "7"}),
        ("/x", None),
    ],
)
def test_the_first_match_of_a_list_counts(path, params):
    pattern = ["/users/:name", "/people/:person", re.compile(r"^/(\d)$"), "/users/:second"]
    assert params_of(pattern, path) == params


def test_unnamed_groups_are_numbered_in_each_pattern_of_a_list():
    pattern = [re.compile(r"^/a/(\w+)"), re.compile(r"^/b/(\w+)")]
    assert compile_pattern(pattern, end=True).keys == (0, 0)
    assert params_of(pattern, "/b/x") == {0: "x"}


def test_a_matcher_knows_its_keys_in_order():
    assert compile_pattern("/:b/x/:a/:c?", end=True).keys == ("b", "a", "c")


# Refused patterns


@pytest.mark.parametrize(
    ("pattern", "position"),
    [
        ("", 0),
        ("users", 0),
        (":name", 0),
        ("/:", 1),
        ("/a/:", 3),
        ("/:-x", 1),
        ("/a:/b", 2),
        ("/a**b(", 5),
        ("/a++", 3),
        ("/x/(a", 3),
        ("/[a", 1),
        ("/(", 1),
        ("/)", 1),
    ],
)
def test_a_pattern_that_cannot_be_compiled_is_refused_at_its_place(pattern, position):
    with pytest.raises(PatternError) as caught:
        compile_pattern(pattern, end=True)
    error = caught.value
    assert error.pattern == pattern
    assert isinstance(error, (UsageError, ValueError))
    assert str(error).startswith(f"bad path pattern {pattern!r}: ")
    assert error.position == position
    *_, shown, arrow = str(error).split("\n")
    assert shown == f"    {pattern}"
    assert arrow == "    " + " " * position + "^"


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("users", 'a path starts with "/"'),
        ("/:", "a parameter has a name, as in /:username"),
        ("/a:-b", "a parameter has a name, as in /:username"),
        ("/a++", "multiple repeat"),
        (re.compile(r"(a+)+\1$"), "groupref cannot be matched in linear time"),
    ],
)
def test_the_error_of_a_refused_pattern_names_the_problem(pattern, problem):
    with pytest.raises(PatternError) as caught:
        compile_pattern(pattern, end=True)
    assert caught.value.problem.startswith(problem)


@pytest.mark.parametrize(
    "pattern", [[], re.compile(b"/users"), ["/a", re.compile(b"/b")], ["/a", "b"]], ids=repr
)
def test_a_pattern_that_could_never_match_is_refused(pattern):
    with pytest.raises(PatternError):
        compile_pattern(pattern, end=True)
