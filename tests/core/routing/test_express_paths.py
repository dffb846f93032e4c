"""The path language, as a table: the paths that each form matches, and the parameters.

The expected results are those of Express 4 (path-to-regexp 0.1.13), except in the second table.
"""

from __future__ import annotations

import re

import pytest

from protoo_flask.core.routing.matching.patterns import compile_pattern

#: (pattern, manner of registration, path, parameters or ``None``). Where only a part of the
#: path matches, as with ``use``: that part and the parameters.
PATHS = [
    # Literals.
    ("/", "route", "/", {}),
    ("/", "route", "//", None),
    ("/", "route", "/users", None),
    ("/users", "route", "/users", {}),
    ("/users", "route", "/users/", {}),
    ("/users", "route", "/users//", None),
    ("/users", "route", "/usersx", None),
    ("/users", "route", "/users/bob", None),
    ("/users", "route", "/Users", {}),
    ("/users/", "route", "/users", {}),
    ("/users/", "route", "/users/", {}),
    ("/users", "route, strict", "/users", {}),
    ("/users", "route, strict", "/users/", None),
    ("/users/", "route, strict", "/users", None),
    ("/Users", "route, case_sensitive", "/users", None),
    ("/Users", "route, case_sensitive", "/Users", {}),
    ("/café", "route", "/café", {}),
    ("/café", "route", "/CAFÉ", {}),
    ("/café", "route", "/caf%C3%A9", None),
    ("/日本/:x", "route", "/日本/語", {"x": "語"}),
    # Dots, dashes and escapes are themselves.
    ("/a.b", "route", "/a.b", {}),
    ("/a.b", "route", "/axb", None),
    ("/a-b_c~d", "route", "/a-b_c~d", {}),
    (r"/a\*b", "route", "/a*b", {}),
    (r"/a\*b", "route", "/axb", None),
    (r"/a\(b\)", "route", "/a(b)", {}),
    (r"/\:name", "route", "/:name", {}),
    (r"/\:name", "route", "/bob", None),
    (r"/a\.b", "route", "/a.b", {}),
    (r"/a\.b", "route", "/axb", None),
    # A parameter is one segment.
    ("/:name", "route", "/bob", {"name": "bob"}),
    ("/:name", "route", "/bob/", {"name": "bob"}),
    ("/:name", "route", "/", None),
    ("/:name", "route", "/bob/x", None),
    ("/:name", "route", "/b.o-b@x", {"name": "b.o-b@x"}),
    ("/:name", "route", "/b%20b", {"name": "b b"}),
    ("/:name", "route", "/caf%C3%A9", {"name": "café"}),
    ("/:name", "route", "/a%2Fb", {"name": "a/b"}),
    ("/:name", "route, strict", "/bob/", None),
    ("/:a_1", "route", "/x", {"a_1": "x"}),
    ("/users/:name/photos/:id", "route", "/users/bob/photos/7", {"name": "bob", "id": "7"}),
    ("/users/:name/photos/:id", "route", "/users/bob/photos", None),
    ("/:x/:x", "route", "/1/2", {"x": "2"}),
    # An optional parameter may be missing, with its slash.
    ("/:name/:uuid?", "route", "/bob", {"name": "bob"}),
    ("/:name/:uuid?", "route", "/bob/", {"name": "bob"}),
    ("/:name/:uuid?", "route", "/bob/b1", {"name": "bob", "uuid": "b1"}),
    ("/:name/:uuid?", "route", "/bob/b1/x", None),
    ("/:name/:uuid?", "route", "/", None),
    ("/:name?", "route", "/", {}),
    ("/:name?", "route", "/bob", {"name": "bob"}),
    ("/a/:b?/c", "route", "/a/c", {}),
    ("/a/:b?/c", "route", "/a/x/c", {"b": "x"}),
    ("/a/:b?/c", "route", "/a/x/y/c", None),
    ("/:a?/:b?", "route", "/x", {"a": "x"}),
    ("/:a?/:b?", "route", "/x/y", {"a": "x", "b": "y"}),
    # With a star, the rest after the segment is a parameter of its own, slash included.
    ("/dir/:first*", "route", "/dir/a", {0: "", "first": "a"}),
    ("/dir/:first*", "route", "/dir/a/b/c", {0: "/b/c", "first": "a"}),
    ("/dir/:first*", "route", "/dir", None),
    ("/dir/:first*", "route", "/dir/", None),
    ("/dir/:first*/end", "route", "/dir/a/b/end", {0: "/b", "first": "a"}),
    ("/dir/:first*/end", "route", "/dir/a/end", {0: "", "first": "a"}),
    ("/:file.:ext*", "route", "/a.b", {0: "", "file": "a", "ext": "b"}),
    ("/:file.:ext*", "route", "/a.b.c", {0: ".c", "file": "a", "ext": "b"}),
    ("/dir/:first*?", "route", "/dir", {}),
    ("/dir/:first*?", "route", "/dir/a/b", {0: "/b", "first": "a"}),
    # With a plus, there are one or more segments, and the last is the parameter.
    ("/dir/:last+", "route", "/dir", None),
    ("/dir/:last+", "route", "/dir/a", {"last": "a"}),
    ("/dir/:last+", "route", "/dir/a/b/c", {"last": "c"}),
    ("/dir/:last+/end", "route", "/dir/a/b/end", {"last": "b"}),
    ("/dir/:last+/end", "route", "/dir/end", None),
    # A parameter may have a form.
    (r"/item/:id(\d+)", "route", "/item/7", {"id": "7"}),
    (r"/item/:id(\d+)", "route", "/item/x", None),
    (r"/item/:id(\d+)", "route", "/item/7x", None),
    (r"/item/:id(\d+)?", "route", "/item", {}),
    (r"/item/:id(\d+)?", "route", "/item/7", {"id": "7"}),
    (r"/item/:id(\d+)?", "route", "/item/x", None),
    ("/:kind(photos|files)", "route", "/photos", {"kind": "photos"}),
    ("/:kind(photos|files)", "route", "/files", {"kind": "files"}),
    ("/:kind(photos|files)", "route", "/other", None),
    ("/:all(*)", "route", "/a/b", {0: "a/b", "all": "a/b"}),
    ("/:x([a-f]{2})", "route", "/af", {"x": "af"}),
    ("/:x([a-f]{2})", "route", "/AF", {"x": "AF"}),
    ("/:x([a-f]{2})", "route", "/a", None),
    (r"/:major(\d+).:minor(\d+)", "route", "/1.2", {"major": "1", "minor": "2"}),
    # Parameters in one segment end where the text between them begins.
    ("/:from-:to", "route", "/a-b", {"from": "a", "to": "b"}),
    ("/:from-:to", "route", "/a-b-c", {"from": "a-b", "to": "c"}),
    ("/:from-:to", "route", "/a", None),
    ("/:from-:to", "route", "/a-", None),
    ("/:a.:b", "route", "/x.y", {"a": "x", "b": "y"}),
    ("/:a.:b", "route", "/x.y.z", {"a": "x.y", "b": "z"}),
    ("/:a.:b", "route", "/x", None),
    ("/:file.:ext?", "route", "/x", {"file": "x"}),
    ("/:file.:ext?", "route", "/x.y", {"file": "x", "ext": "y"}),
    ("/flights/:from-to-:to", "route", "/flights/ber-to-par", {"from": "ber", "to": "par"}),
    ("/@:name", "route", "/@bob", {"name": "bob"}),
    ("/@:name", "route", "/bob", None),
    ("/:a:b", "route", "/xyz", {"a": "x", "b": "yz"}),
    ("/:a:b", "route", "/x", None),
    ("/v:major.:minor", "route", "/v1.2", {"major": "1", "minor": "2"}),
    # A star is anything, also nothing and slashes; stars are numbered.
    ("*", "route", "/", {0: "/"}),
    ("*", "route", "/a/b", {0: "/a/b"}),
    ("/file/*", "route", "/file/a/b.txt", {0: "a/b.txt"}),
    ("/file/*", "route", "/file/", {0: ""}),
    ("/file/*", "route", "/file", None),
    ("/*/x/*", "route", "/a/b/x/c/d", {0: "a/b", 1: "c/d"}),
    ("/a*b", "route", "/ab", {0: ""}),
    ("/a*b", "route", "/a/x/b", {0: "/x/"}),
    ("/:x/*", "route", "/a/b/c", {0: "b/c", "x": "a"}),
    ("/*.:ext", "route", "/a/b.png", {0: "a/b", "ext": "png"}),
    # A character may be optional, or come several times.
    ("/ab?cd", "route", "/acd", {}),
    ("/ab?cd", "route", "/abcd", {}),
    ("/ab?cd", "route", "/abbcd", None),
    ("/ab+cd", "route", "/abcd", {}),
    ("/ab+cd", "route", "/abbbcd", {}),
    ("/ab+cd", "route", "/acd", None),
    ("/a/?b", "route", "/ab", {}),
    ("/a/?b", "route", "/a/b", {}),
    ("/ab{2}", "route", "/abb", {}),
    ("/ab{2}", "route", "/ab", None),
    # A group right after a slash is no parameter; any other is a numbered one.
    ("/(a|b)", "route", "/a", {}),
    ("/(a|b)", "route", "/b", {}),
    ("/(a|b)", "route", "/c", None),
    ("/a(bc)?d", "route", "/ad", {}),
    ("/a(bc)?d", "route", "/abcd", {0: "bc"}),
    ("/x(/y)?/:z", "route", "/x/1", {"z": "1"}),
    ("/x(/y)?/:z", "route", "/x/y/1", {0: "/y", "z": "1"}),
    ("/(a|b)/:x", "route", "/b/1", {"x": "1"}),
    ("/users(/:id)?", "route", "/users", {}),
    ("/users(/:id)?", "route", "/users/7", {0: "/7", "id": "7"}),
    # Without a group, alternatives are whole paths.
    ("/a|/b", "route", "/a", {}),
    ("/a|/b", "route", "/a/x", ("/a", {})),
    ("/a|/b", "route", "/x/b", ("/b", {})),
    ("/a|/b", "route", "/c", None),
    # Of a list, the first that matches.
    (["/users/:name", "/people/:person"], "route", "/users/bob", {"name": "bob"}),
    (["/users/:name", "/people/:person"], "route", "/people/bob", {"person": "bob"}),
    (["/users/:name", "/people/:person"], "route", "/other", None),
    (["/a/*", "/b/*"], "route", "/a/x", {0: "x"}),
    (["/a/*", "/b/*"], "route", "/b/x", {0: "x"}),
    (["/a", "/b"], "use", "/b/x", ("/b", {})),
    (["/a", "/b"], "use", "/ab", None),
    # use() is for a prefix up to a slash.
    ("/users", "use", "/users", ("/users", {})),
    ("/users", "use", "/users/", ("/users/", {})),
    ("/users", "use", "/users/bob", ("/users", {})),
    ("/users", "use", "/usersx", None),
    ("/users", "use", "/users.x", None),
    ("/users", "use", "/x/users", None),
    ("/users", "use", "/UsErS/bob", ("/UsErS", {})),
    ("/users", "use", "/users//bob", ("/users/", {})),
    ("/users", "use, case_sensitive", "/USERS", None),
    ("/users/", "use", "/users", ("/users", {})),
    ("/users/", "use", "/users/bob", ("/users", {})),
    ("/:name", "use", "/bob/photos", ("/bob", {"name": "bob"})),
    ("/:name", "use", "/", None),
    ("/:name/:uuid?", "use", "/bob", ("/bob", {"name": "bob"})),
    ("/:name/:uuid?", "use", "/bob/b1/x", ("/bob/b1", {"name": "bob", "uuid": "b1"})),
    (r"/item/:id(\d+)", "use", "/item/7/x", ("/item/7", {"id": "7"})),
    (r"/item/:id(\d+)", "use", "/item/7x", None),
    ("/a/*", "use", "/a/b/c", ("/a/b/c", {0: "b/c"})),
    ("/:a-:b", "use", "/x-y/z", ("/x-y", {"a": "x", "b": "y"})),
    ("/(a|b)", "use", "/a/x", ("/a", {})),
    ("/(a|b)", "use", "/ab", None),
    ("*", "use", "/a/b", ("/a/b", {0: "/a/b"})),
    ("/dir/:last+", "use", "/dir/a/b", ("/dir/a/b", {"last": "b"})),
]

#: Better results than in Express: (pattern, manner of registration, path, of Express, ours).
DIFFERENT = [
    # A group before a parameter in the same segment is an error in Express, or breaks it.
    ("/(a|b)-:x", "route", "/a-1", "refused", {"x": "1"}),
    ("*(b)?:x", "route", "/ab", None, {0: "/a", "x": "b"}),
    # A repeat with nothing to repeat, made by the text between two parameters.
    ("/:x+-:z", "route", "/a/b-c", "refused", {"x": "b", "z": "c"}),
    # The names of parameters: \w of Python, so that names are not cut off.
    ("/:größe", "route", "/7", None, {"größe": "7"}),
]


def register(pattern, how):
    """Compile a pattern as ``use``, or as a route, with the options that ``how`` names."""
    manner, *options = how.split(", ")
    return compile_pattern(pattern, end=manner == "route", **dict.fromkeys(options, True))


def match(pattern, how, path):
    """Return a match as the tables have it: the parameters, and a part of the path."""
    found = register(pattern, how).match(path)
    if found is None:
        return None
    matched, params = found
    return params if matched == path and how.startswith("route") else found


@pytest.mark.parametrize(("pattern", "how", "path", "expected"), PATHS)
def test_paths_are_those_of_express(pattern, how, path, expected):
    assert match(pattern, how, path) == expected


@pytest.mark.parametrize(("pattern", "how", "path", "express", "ours"), DIFFERENT)
def test_patterns_that_break_in_express_work(pattern, how, path, express, ours):
    assert express != ours
    assert match(pattern, how, path) == ours


def test_a_parameter_without_a_value_is_absent_even_when_its_name_comes_twice():
    assert match("/:x/a/:x?", "route", "/1/a") == {"x": "1"}


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (re.compile(r"^/users/(\d+)$"), "/users/7", {0: "7"}),
        (re.compile(r"^/users/(\d+)$"), "/users/x", None),
        (re.compile(r"^/(?P<kind>\w+)/(\d+)-(\d+)$"), "/r/1-2", {"kind": "r", 0: "1", 1: "2"}),
        (re.compile(r"^/Users$"), "/users", None),
        (re.compile(r"^/Users$", re.IGNORECASE), "/users", {}),
        (["/x/:name", re.compile(r"^/(\d)$")], "/7", {0: "7"}),
    ],
    ids=str,
)
def test_a_compiled_pattern_is_a_path_with_its_own_flags(pattern, path, expected):
    assert match(pattern, "route", path) == expected


def test_the_table_has_every_form():
    patterns = " ".join(pattern for pattern, *_ in PATHS if isinstance(pattern, str))
    for form in (":name", ":uuid?", ":first*", ":last+", r":id(\d+)", "/*", "b?", "b+", "(a|b)"):
        assert form in patterns
    assert {how for _, how, _, _ in PATHS} >= {"route", "use", "route, strict"}
