"""docs/flask.md tells the truth: its recipes run, and do what it says."""

from __future__ import annotations

import contextlib
import functools
import gc
import re
import weakref
from pathlib import Path

import flask
import pytest
from flask.sessions import SecureCookieSessionInterface

from protoo_flask import Protoo, Request
from protoo_flask.core.errors import UsageError
from protoo_flask.core.peers.directory import Identity
from protoo_flask.site.contexts import HandshakeContext
from protoo_flask.site.fast_contexts import FastHandshakeContext

from .fakes import FakeLink, FakeScheduler
from .joining import join, make_app

PAGE = (Path(__file__).parent.parent / "docs" / "flask.md").read_text(encoding="utf-8")

BLOCK = re.compile(r"<!-- recipe: (?P<name>.+?) -->\n```python\n(?P<source>.*?)```", re.DOTALL)
RECIPES = {block["name"]: block["source"] for block in BLOCK.finditer(PAGE)}


def run(name, **names):
    """Run a recipe, which knows some names already; returns all names then."""
    names.setdefault("__name__", "site")
    source = RECIPES[name].replace("@pytest.fixture\n", "")  # pytest calls the function itself
    exec(compile(source, f"docs/flask.md: {name}", "exec"), names)
    return names


def test_every_block_is_a_recipe_that_is_tested():
    assert PAGE.count("```python\n") == len(RECIPES)
    assert set(RECIPES) == {"pair", "lazy", "module", "factory", "fixture"}


def ask(inbox, method, path):
    inbox.receive(b'{"method": "%s", "path": "%s", "id": 1}' % (method.encode(), path.encode()))
    return inbox.peer.link.take()["status"]


@pytest.mark.parametrize(("recipe", "path"), [("module", "/echo"), ("factory", "/chat/echo")])
def test_an_app_factory_may_run_many_times(recipe, path):
    create_app = run(recipe)["create_app"]
    for _ in range(3):
        app = create_app()
        inbox = join(app)
        assert ask(inbox, "get", path) == 200
        assert ask(inbox, "message", "/users/nobody") == 404
        app.extensions["protoo"].close()


@pytest.mark.parametrize("recipe", ["module", "factory"])
def test_a_dropped_app_is_deleted(recipe):
    create_app = run(recipe)["create_app"]
    app = create_app()
    ask(join(app), "get", "/echo")
    app.extensions["protoo"].close()
    dropped = weakref.ref(app)
    del app
    gc.collect()
    assert dropped() is None


def test_the_fixture_answers_for_its_app():
    names = run("module")
    apps = []
    protoo: Protoo = names["protoo"]
    for _ in range(2):
        generator = run("fixture", create_app=names["create_app"])["app"]()
        app = next(generator)
        apps.append(app)
        peer = join(app).peer
        assert protoo.peers() == [peer]
        link = peer.link
        assert list(generator) == []
        assert link.closed == (1001, "shutting down")
    apps += [names["create_app"](), names["create_app"]()]
    with pytest.raises(UsageError, match="several apps"):
        protoo.peers()


# What runs when


def read_table():
    """Return {name of a column: {name of a hook: whether it runs}}, as the page says."""
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    header, _, *rows = table
    hooks = {
        hook: [cell == "yes" for cell in cells]
        for first, *cells in rows
        for hook in (re.findall(r"`(\w+)`", first) or [first])
    }
    return {
        column: {hook: cells[index] for hook, cells in hooks.items()}
        for index, column in enumerate(header[1:])
    }


SIGNALS = {
    *("request_started", "request_finished", "got_request_exception", "request_tearing_down"),
    *("appcontext_pushed", "appcontext_tearing_down", "appcontext_popped"),
}


class Site:
    """A site that notes which of its functions run."""

    def __init__(self, monkeypatch, context_class):
        self.ran = set()
        self.app = make_app()
        self.protoo = Protoo(self.app, reauthorize_interval=60)
        self.scheduler = FakeScheduler()
        self.add_functions()
        self.add_occasions()
        self.receivers = []  # kept for the signals, which do not keep them
        for name in SIGNALS:
            receiver = functools.partial(self.note, name)
            self.receivers.append(receiver)
            getattr(flask, name).connect(receiver, self.app)
        monkeypatch.setattr("protoo_flask.site.service.choose_context", lambda app: context_class)
        self.context_class = context_class

    def note(self, name, *args, **kwargs):
        self.ran.add(name)

    def add_functions(self):
        app, note = self.app, self.note
        app.url_value_preprocessor(lambda endpoint, values: note("url_value_preprocessor"))
        app.before_request(lambda: note("before_request"))
        app.after_request(lambda response: (note("after_request"), response)[1])
        app.teardown_request(lambda error: note("teardown_request"))
        app.teardown_appcontext(lambda error: note("teardown_appcontext"))

        @app.errorhandler(KeyError)
        def handle(error):
            note("errorhandler")
            return "sorry", 400

        @app.errorhandler(ValueError)
        def handle_by_raising(error):
            raise error

        class Interface(SecureCookieSessionInterface):
            def save_session(self, app, session, response):
                note("the session is saved")
                return super().save_session(app, session, response)

        app.session_interface = Interface()

    def add_occasions(self):
        note, protoo = self.note, self.protoo

        def use_everything():
            with contextlib.suppress(AttributeError, RuntimeError):
                flask.after_this_request(lambda response: (note("after_this_request"), response)[1])
            flask.session["seen"] = True

        @self.app.get("/page/<error>")
        def page(error):
            use_everything()
            raise KeyError if error == "key" else ValueError

        @protoo.authorize
        def authorize():
            use_everything()
            if flask.request.args.get("error"):
                raise KeyError if flask.request.args["error"] == "key" else ValueError
            return "alice", "a1"

        @protoo.get("/message")
        def message(req, next):
            use_everything()
            raise KeyError

        @protoo.on("offline")
        def offline(peer):
            use_everything()
            raise KeyError

        @protoo.on("user_offline")
        def user_offline(username):
            raise KeyError

    def join(self):
        site = self.app.extensions["protoo"]
        application = site.open(self.scheduler)
        with self.app.test_request_context("/protoo") as context:
            kept = self.context_class(self.app, context.request, context.session)
        inbox = application.connect(Identity("alice", "a1"), FakeLink(), kept)
        inbox.open()
        site.service.reauthorization.watch(inbox.peer)
        self.ran.clear()
        return inbox

    # The columns of the table

    def handle_page(self):
        # Errors of both kinds: one has a handler, the other is a 500.
        for error in ("key", "value"):
            self.app.test_client().get(f"/page/{error}")
        yield self.ran.copy()
        self.ran.clear()
        for error in ("", "key", "value"):
            self.app.test_client().get(f"/protoo?error={error}")
        yield self.ran

    def handle_message(self):
        ask(self.join(), "get", "/message")
        yield self.ran

    def handle_response(self):
        inbox = self.join()
        inbox.peer.send(Request("get"), lambda response: {}["key"]).cancel()
        yield self.ran.copy()
        self.protoo.listeners.pop("user_offline")
        self.ran.clear()
        inbox.peer.close()
        yield self.ran

    def handle_listener_of_a_user(self):
        inbox = self.join()
        self.protoo.listeners.pop("peer_offline")
        inbox.peer.close()
        yield self.ran

    def authorize_again(self):
        self.join()
        self.scheduler.advance(61)
        yield self.ran


COLUMNS = {
    "page, handshake": Site.handle_page,
    "message": Site.handle_message,
    "response, listener": Site.handle_response,
    "listener of a user": Site.handle_listener_of_a_user,
    "authorizer again": Site.authorize_again,
}


@pytest.mark.parametrize("context_class", [HandshakeContext, FastHandshakeContext])
@pytest.mark.parametrize("column", COLUMNS)
def test_the_table_tells_what_runs_when(monkeypatch, column, context_class):
    table = read_table()
    assert set(table) == set(COLUMNS)
    site = Site(monkeypatch, context_class)
    expected = {hook for hook, runs in table[column].items() if runs}
    for ran in COLUMNS[column](site):
        assert ran == expected
    site.app.extensions["protoo"].close()


# A pair of before_request and teardown_request


class Database:
    opened = 0

    def __init__(self):
        Database.opened += 1

    def close(self):
        Database.opened -= 1


def make_pair(recipe):
    app = make_app()
    protoo = Protoo(app)
    names = run(recipe, app=app, protoo=protoo, g=flask.g, connect=Database)
    get_db = names.get("get_db", lambda: flask.g.db)

    @protoo.get("/echo")
    def echo(req, next):
        assert isinstance(get_db(), Database)
        req.reply(200 if Database.opened == 1 else 500)

    protoo.on("online", lambda peer: None)
    protoo.on("user_online", lambda username: None)
    app.add_url_rule("/page", "page", lambda: str(isinstance(get_db(), Database)))
    return app


@pytest.mark.parametrize("recipe", ["pair", "lazy"])
def test_the_database_is_open_in_messages_and_closed_after_them(caplog, recipe):
    app = make_pair(recipe)
    inbox = join(app)
    assert [ask(inbox, "get", "/echo") for _ in range(2)] == [200, 200]
    assert ask(inbox, "get", "/nowhere") == 404
    inbox.peer.send(Request("get"), lambda response: None).cancel()
    assert app.test_client().get("/page").data == b"True"
    app.extensions["protoo"].close()
    assert Database.opened == 0
    assert caplog.records == []


def test_without_the_middleware_the_log_names_the_function_that_failed(caplog):
    app = make_app()
    protoo = Protoo(app)
    protoo.get("/echo", lambda req, next: req.reply(200))
    protoo.on("offline", lambda peer: None)
    inbox = join(app)

    @app.teardown_request
    def close_db(error):
        flask.g.db.close()

    assert [ask(inbox, "get", "/echo") for _ in range(2)] == [200, 200]
    inbox.peer.send(Request("get"), on_response).cancel()
    app.extensions["protoo"].close()
    place = f"close_db ({__file__}:{close_db.__code__.co_firstlineno})"
    messages = [record.getMessage() for record in caplog.records]
    assert all(place in message for message in messages)
    assert [message.partition(":")[0] for message in messages] == [
        "error after get /echo from <Peer alice/a1 online>",
        "error after get /echo from <Peer alice/a1 online>",
        f"error after {__name__}.on_response ({__file__}",
        "error after the listeners of peer_offline",
    ]
    hints = ["before_request functions do not: docs/flask.md" in message for message in messages]
    assert hints == [True, False, False, False], "once"


def on_response(response): ...
