"""flask protoo routes, and flask protoo match."""

from __future__ import annotations

import pytest
from flask import Flask

from protoo_flask import Protoo, Router
from protoo_flask.commands import commands


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


@pytest.mark.parametrize("args", [["routes"], ["match", "get", "/"], ["peers"]])
def test_an_app_without_protoo_is_named(args):
    result = Flask("shop").test_cli_runner().invoke(commands, args)
    assert result.exit_code == 1
    assert result.output == (
        "Error: the app 'shop' has no Protoo: call Protoo(app), or protoo.init_app(app)\n"
    )


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


def test_a_setting_that_cannot_work_is_named():
    app = make_app(register)
    app.config["PROTOO_STRICT_ROUTING"] = "yes"
    code, output = run(app, "routes")
    assert code == 1
    assert output == "Error: PROTOO_STRICT_ROUTING is True or False, not 'yes'\n"


# Names and widths


def register_local(protoo):
    def inside(req, next): ...

    protoo.get("/short", inside)


def test_names_have_no_locals():
    _, output = run(make_app(register_local), "routes")
    assert f"{__name__}.register_local.inside" in output


def register_long_names(protoo):
    def a_function_with_a_name_that_tells_everything_about_it_and_then_some_more(req, next): ...

    router = Router()
    path = "/organisations/:organisation/departments/:department/rooms/:room(\\d+)/messages"
    router.method("mark-as-read", path, check, Handler().handle_everything)
    router.get(f"{path}{path}/:and_more", deliver)
    router.errorhandler(KeyError, ValueError, TypeError, ZeroDivisionError, explain)
    for _ in range(3):
        outer = Router()
        outer.use("/v1", router)
        router = outer
    router.get("/x", a_function_with_a_name_that_tells_everything_about_it_and_then_some_more)
    protoo.use("/api", router)


class Handler:
    def handle_everything(self, req, next): ...


@pytest.mark.parametrize(
    "args",
    [("routes",), ("match", "get", "/x"), ("match", "get", f"/api/x/{'long' * 50}")],
    ids=" ".join,
)
def test_every_line_fits_into_100_columns(args):
    _, output = run(make_app(register_long_names), *args)
    assert max(len(line) for line in output.splitlines()) <= 100


def test_what_does_not_fit_is_continued_below():
    _, output = run(make_app(register_long_names), "routes")
    lines = output.splitlines()
    header = lines[0]
    columns = [header.index(word) for word in ("path", "handler", "defined")]
    first = next(index for index, line in enumerate(lines) if "mark-as-read" in line)
    rest = next(
        index
        for index, line in enumerate(lines[first + 1 :], first + 1)
        if line[: columns[0]].strip()
    )
    path = "".join(line[columns[0] : columns[1]].strip() for line in lines[first:rest])
    assert path == "/organisations/:organisation/departments/:department/rooms/:room(\\d+)/messages"


def test_the_modules_are_left_out_where_there_is_no_room_for_them():
    def register(protoo):
        protoo.get("/a/path/that/leaves/little/room/for/anything/else", deliver)

    _, output = run(make_app(register), "routes")
    assert len(output.splitlines()) == 2
    assert __name__ not in output
    assert " deliver " in output


def test_a_place_is_relative_to_a_folder_that_python_looks_in(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    _, output = run(make_app(lambda protoo: protoo.get("/", deliver)), "routes")
    line = deliver.__code__.co_firstlineno
    assert output.splitlines()[-1].endswith(f"  tests/test_commands.py:{line}")
