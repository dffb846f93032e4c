"""flask protoo routes, and flask protoo match."""

from __future__ import annotations

import pytest
from flask import Flask

from protoo_flask import Protoo, Router


def check(req, next):
    next()


def deliver(req, next):
    req.reply(200)


def explain(error, req, next):
    next(error)


def make_app(register=lambda protoo: None, **config):
    app = Flask(__name__)
    app.config.update(SECRET_KEY="a key", **config)
    protoo = Protoo(app)
    register(protoo)
    return app


def register(protoo):
    rooms = Router()
    rooms.get("/:id", check, deliver)
    protoo.use(check)
    protoo.use("/rooms", rooms)
    protoo.message("/users/:name/:uuid?", deliver)
    protoo.errorhandler("/users", KeyError, explain)


def run(app, *args):
    result = app.test_cli_runner().invoke(args=["protoo", *args])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def cells(output):
    """Return the words of each line, without the place."""
    return [line.split() for line in output.splitlines()]


def test_routes_prints_the_whole_tree():
    code, output = run(make_app(register), "routes")
    assert code == 0
    lines = output.splitlines()
    assert lines[0].split() == ["method", "path", "handler", "defined"]
    assert [line.split()[:-1] for line in lines[1:] if "Router" not in line] == [
        ["use", f"{__name__}.check"],
        ["get", "/:id", f"{__name__}.check"],
        ["get", "/:id", f"{__name__}.deliver"],
        ["message", "/users/:name/:uuid?", f"{__name__}.deliver"],
        ["error", "/users", f"{__name__}.explain", "for", "KeyError"],
    ]
    assert lines[3].startswith("  get")
    line = deliver.__code__.co_firstlineno
    assert lines[4].endswith(f"test_commands.py:{line}")


def test_routes_of_an_app_without_any_says_so():
    code, output = run(make_app(), "routes")
    assert (code, output) == (0, "nothing is registered: every request is answered 404\n")


def test_match_prints_the_functions_of_a_request_with_its_params():
    code, output = run(make_app(register), "match", "get", "/rooms/a%20b")
    assert code == 0
    *_, first, second, end = output.splitlines()
    for line, name in ((first, "check"), (second, "deliver")):
        assert line.startswith("  get")
        assert "id='a b'" in line
        assert f"{__name__}.{name}" in line
    assert end == "then, if nobody has replied: 404 not found"
    assert f"{__name__}.explain" not in output


def test_match_leaves_out_functions_for_other_methods_and_paths():
    _, output = run(make_app(register), "match", "put", "/users/bob")
    assert [line[0] for line in cells(output)] == ["method", "use", "then,"]


def test_match_of_an_unknown_path_prints_the_404():
    app = make_app(lambda protoo: protoo.get("/x", deliver))
    code, output = run(app, "match", "get", "/y")
    assert (code, output) == (0, "then, if nobody has replied: 404 not found\n")


def test_match_says_that_a_parameter_does_not_decode():
    code, output = run(make_app(register), "match", "message", "/users/%zz")
    assert code == 0
    assert output.splitlines()[-1].startswith("then the error handlers, or: 400 ")
    assert "bad escape" in output


@pytest.mark.parametrize("path", ["rooms/7", ""])
def test_match_needs_a_path_that_starts_with_a_slash(path):
    code, output = run(make_app(register), "match", "get", path)
    assert code == 2
    assert 'a path starts with "/"' in output


@pytest.mark.parametrize(("case_sensitive", "found"), [(True, False), (False, True)])
def test_match_uses_the_settings_of_the_app(case_sensitive, found):
    app = make_app(register, PROTOO_CASE_SENSITIVE_ROUTING=case_sensitive)
    _, output = run(app, "match", "get", "/ROOMS/7")
    assert ("deliver" in output) is found
