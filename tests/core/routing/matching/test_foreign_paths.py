"""Patterns of other frameworks are refused, with the pattern that means the same here."""

from __future__ import annotations

import pytest

from protoo_flask import Protoo, Router
from protoo_flask.core.errors import PatternError
from protoo_flask.core.routing.matching.patterns import compile_pattern


@pytest.mark.parametrize(
    ("pattern", "right"),
    [
        ("/users/<username>", "/users/:username"),
        ("/users/<username>/<uuid>", "/users/:username/:uuid"),
        ("/item/<int:id>", r"/item/:id(\d+)"),
        ("/item/<int(min=1):id>", r"/item/:id(\d+)"),
        ("/at/<float:x>,<float:y>", r"/at/:x(\d+\.\d+),:y(\d+\.\d+)"),
        ("/in/<string(length=2):language>", "/in/:language"),
        ("/device/<uuid:id>", "/device/:id"),
        ("/<any(users, rooms):kind>", "/:kind(users|rooms)"),
        ("/files/<path:name>", "/files/*"),
        ("/files/<path:name>/edit", "/files/*/edit"),
        ("/users/{username}", "/users/:username"),
        ("/item/{id:int}", r"/item/:id(\d+)"),
        ("/files/{name:path}", "/files/*"),
        ("/users/:name/<uuid>", "/users/:name/:uuid"),
        ("/users/<user-name>", "/users/:user_name"),
    ],
)
def test_a_parameter_of_another_framework_is_refused_with_the_right_pattern(pattern, right):
    with pytest.raises(PatternError) as raised:
        Router().get(pattern, print)
    assert raised.value.problem == f"write {right}"
    assert compile_pattern(right, end=True)


@pytest.mark.parametrize(
    "register",
    [
        lambda it, path: it.use(path, print),
        lambda it, path: it.message(path)(print),
        lambda it, path: it.method("wave", path, print),
        lambda it, path: it.all(["/x", path], print),
        lambda it, path: it.errorhandler(path, print),
        lambda it, path: it.route(path),
    ],
    ids=["use", "message", "method", "a list", "errorhandler", "route"],
)
def test_it_is_refused_in_the_line_that_registers_it(register):
    with pytest.raises(PatternError, match="write /users/:username"):
        register(Protoo(), "/users/<username>")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/a(?P<name>x)", "/ax"),
        ("/a{2}b", "/aab"),
        ("/a{1,2}b", "/aab"),
        (r"/a\<b>", "/a<b>"),
        (r"/a\{b}", "/a{b}"),
        ("/a<b", "/a<b"),
        ("/<3>", "/<3>"),
    ],
)
def test_regular_expressions_and_literal_characters_are_not_mistaken_for_it(pattern, path):
    assert compile_pattern(pattern, end=True).match(path)
