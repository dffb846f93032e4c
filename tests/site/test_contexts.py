"""The Flask contexts that code of a site runs in after the handshake."""

from __future__ import annotations

import gc
import io
import threading
import weakref
from contextvars import ContextVar

import pytest
from flask import (
    Flask,
    abort,
    appcontext_popped,
    copy_current_request_context,
    current_app,
    flash,
    g,
    get_flashed_messages,
    has_app_context,
    has_request_context,
    request,
    session,
    stream_with_context,
    url_for,
)

from .active_context import active_context


def test_the_request_and_the_session_are_those_of_the_handshake(app, make_context):
    seen = []

    def look(*args):
        seen.append((args, request.path, request.args["uuid"], request.headers["X-Agent"]))
        seen.append((session["username"], current_app.name, url_for("page")))

    make_context(app).run(look, 1, 2)

    assert seen == [((1, 2), "/protoo", "a1", "tests"), ("alice", "site", "/page")]


def test_no_context_is_active_afterwards(app, make_context):
    make_context(app).run(lambda: None)

    assert not has_request_context()
    assert not has_app_context()


def test_g_is_fresh_and_each_teardown_function_runs_once(app, make_context):
    context = make_context(app)
    seen = []
    for _ in range(2):
        context.run(lambda: seen.append(g.setdefault("count", len(seen))))

    assert seen == [0, 1]
    assert app.torn_down == 2 * [("request", None), ("app", None)]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("debug", [False, True])
def test_an_error_passes_through_and_is_an_argument_of_the_teardown_functions(
    app, make_context, debug, kind
):
    app.debug = debug
    error = kind("no")

    def fail():
        raise error

    with pytest.raises(kind, match="no"):
        make_context(app).run(fail)

    assert app.torn_down == [("request", error), ("app", error)]
    assert not has_request_context()


def test_a_teardown_function_that_fails_is_an_error_of_the_message(app, make_context):
    context = make_context(app)

    @app.teardown_request
    def fail(error):
        raise ValueError("in the teardown")

    # Since Flask 3.2, such errors are in a group.
    with pytest.raises(Exception, match=r"in the teardown|Errors during context teardown"):
        context.run(lambda: None)
    assert not has_request_context()


def test_a_message_inside_of_another_has_its_own_request(app, make_context):
    inner = make_context(app, "/protoo?uuid=b1")
    seen = []

    def look():
        inner.run(lambda: seen.append(request.args["uuid"]))
        seen.append(request.args["uuid"])

    make_context(app).run(look)

    assert seen == ["b1", "a1"]


def test_a_message_inside_of_an_except_clause_has_no_error(app, make_context):
    context = make_context(app)
    try:
        raise ValueError("handled already")
    except ValueError:
        context.run(lambda: None)

    assert app.torn_down == [("request", None), ("app", None)]


def test_a_context_variable_that_the_site_sets_is_unset_for_the_next_message(app, make_context):
    context = make_context(app)
    variable = ContextVar("variable", default="unset")
    seen = []

    def look():
        seen.append(variable.get())
        variable.set("set")

    context.run(look)
    context.run(look)

    assert seen == ["unset", "unset"]


def test_flashed_messages_are_found_in_the_same_message(app, make_context):
    seen = []

    def look():
        flash("hello")
        seen.append(get_flashed_messages())

    make_context(app).run(look)

    assert seen == [["hello"]]


def test_a_context_needs_no_garbage_collector(app, make_context, no_garbage_collection):
    context, seen = make_context(app), []

    def look():
        assert url_for("page") == "/page"
        seen.append(weakref.ref(active_context()))

    context.run(look)

    assert seen[0]() is None


@pytest.fixture
def no_garbage_collection():
    gc.disable()
    yield
    gc.enable()


# The URL of the handshake


def test_the_url_is_not_matched_again(app, make_context):
    class Converter(app.url_map.converters["default"]):
        def to_python(self, value):
            matched.append(value)
            return value

    matched, seen = [], []
    app.url_map.converters["noted"] = Converter
    app.add_url_rule("/<noted:room>/protoo", "of a room", lambda room: "")
    context = make_context(app, "/lobby/protoo")
    assert matched == ["lobby"]

    def look():
        seen.append((request.endpoint, request.view_args, request.routing_exception))
        copy_current_request_context(lambda: seen.append(request.view_args))()
        url_for("page")

    context.run(look)

    assert seen == [("of a room", {"room": "lobby"}, None), {"room": "lobby"}]
    assert matched == ["lobby"]


def test_a_url_without_a_view_is_no_error(app, make_context):
    seen = []
    make_context(app, "/nowhere").run(lambda: seen.append((request.path, request.url_rule)))

    assert seen == [("/nowhere", None)]


def test_a_url_adapter_that_cannot_be_made_is_no_error_of_the_message(make_context):
    class Site(Flask):
        def create_url_adapter(self, request):
            if request is not None and self.is_broken:
                abort(404)
            return super().create_url_adapter(request)

    site, seen = Site("site"), []
    site.secret_key, site.is_broken = "secret", False
    context = make_context(site)

    def look():
        seen.append(request.path)
        # Each release of Flask says in its own way that there is no adapter.
        with pytest.raises((RuntimeError, AttributeError)):
            url_for("static", filename="x")

    site.is_broken = True
    context.run(look)

    assert seen == ["/protoo"]


# Contexts that the site pushes


def test_the_context_can_be_copied_for_later(app, make_context):
    later = []

    def look():
        return request.args["uuid"], session["username"], current_app.name

    make_context(app).run(lambda: later.append(copy_current_request_context(look)))

    assert later[0]() == ("a1", "alice", "site")
    assert not has_request_context()


def test_an_error_in_a_copy_leaves_no_context_active(app, make_context):
    app.debug = True  # then Flask before 2.2 keeps a context in which something failed

    def fail():
        raise ValueError("no")

    def look():
        with pytest.raises(ValueError, match="no"):
            copy_current_request_context(fail)()

    make_context(app).run(look)

    assert not has_request_context()


def test_a_generator_runs_in_the_context_of_the_message(app, make_context):
    seen = []

    def look():
        g.color = "red"
        seen.extend(stream_with_context(word for word in (request.path, g.color)))
        seen.append(has_request_context())

    make_context(app).run(look)

    assert seen == ["/protoo", "red", True]
    assert app.torn_down == [("request", None), ("app", None)]


# Functions and receivers of any kind


def test_a_coroutine_function_is_run_as_flask_runs_it(make_context, monkeypatch):
    site = Flask("site")
    site.secret_key, called = "secret", []
    monkeypatch.setattr(
        site, "async_to_sync", lambda function: lambda error: run_to_its_end(function(error))
    )
    context = make_context(site)

    @site.teardown_appcontext
    async def tear_down(error):
        called.append(error)

    context.run(lambda: None)

    assert called == [None]


def run_to_its_end(coroutine):
    # Without an event loop: where the tests in a browser ran before, one runs in this thread.
    with pytest.raises(StopIteration):
        coroutine.send(None)


def test_coroutine_functions_run_with_the_async_extra_of_flask(app, make_context):
    pytest.importorskip("asgiref", reason="the async extra of Flask is not installed")
    context = make_context(app)

    @app.teardown_request
    async def tear_down_request(error):
        app.torn_down.append(("async request", has_request_context()))

    @app.teardown_appcontext
    async def tear_down_app_context(error):
        app.torn_down.append(("async app", has_app_context()))

    # A thread of its own has no event loop that runs already.
    thread = threading.Thread(target=context.run, args=(lambda: None,))
    thread.start()
    thread.join()

    assert app.torn_down == [
        ("async request", True),
        ("request", None),
        ("async app", True),
        ("app", None),
    ]


def test_a_teardown_function_may_be_a_method_or_any_callable(make_context):
    site = Flask("site")
    site.secret_key, called = "secret", []
    context = make_context(site)
    site.teardown_appcontext(called.append)
    site.teardown_appcontext(Extension(called).close)

    context.run(lambda: None)

    assert called == ["closed", None]


class Extension:
    __hash__ = None  # as of a dataclass

    def __init__(self, called):
        self.called = called

    def close(self, error):
        self.called.append("closed")


def test_a_receiver_hears_of_contexts_of_its_own_site_only(app, make_context):
    other, heard = Flask("other"), []
    with appcontext_popped.connected_to(lambda sender: heard.append("other"), other):
        with appcontext_popped.connected_to(lambda sender: heard.append("site"), app):
            context = make_context(app)
            heard.clear()
            context.run(lambda: None)

    assert heard == ["site"]


# The environ


def environ_of(context):
    """Return the environ that messages of a handshake see."""
    seen = []
    context.run(lambda: seen.append(dict(request.environ)))
    return seen[0]


def test_sockets_and_buffers_of_the_server_are_dropped(app, make_context):
    buffers = {"wsgi.input": io.BytesIO(b"x"), "wsgi.input_terminated": True}
    sockets = {"gunicorn.socket": 1, "werkzeug.socket": 2, "gevent.server": 3}

    environ = environ_of(make_context(app, **buffers, **sockets, **{"site.own": 4}))

    assert not set(sockets) & set(environ)
    assert environ["site.own"] == 4
    assert environ["wsgi.input"].read() == b""
    assert "wsgi.input_terminated" not in environ


def test_the_environ_stays_equal_from_message_to_message(app, make_context):
    context = make_context(app)

    assert environ_of(context) == environ_of(context)


def test_equal_headers_of_two_clients_are_kept_once(app, make_context):
    # Made at run time: equal literals are the same object anyway.
    agents = ["-".join(["Mozilla", "5.0", "of", "both"]) for _ in range(2)]
    one, other = [environ_of(make_context(app, HTTP_USER_AGENT=agent)) for agent in agents]

    assert agents[0] is not agents[1]
    assert one["HTTP_USER_AGENT"] == agents[0]
    assert one["HTTP_USER_AGENT"] is other["HTTP_USER_AGENT"]


def test_long_and_personal_headers_are_kept_as_they_are(app, make_context):
    kept = environ_of(make_context(app, HTTP_X_LONG="x" * 5000, **{"HTTP_X.DOTTED": "y"}))

    assert kept["HTTP_COOKIE"] == "sid=1a2b"
    assert kept["QUERY_STRING"] == "uuid=a1"
    assert kept["HTTP_X_LONG"] == "x" * 5000
    assert kept["HTTP_X.DOTTED"] == "y"
