"""The ways into the contexts of a message, compared with Flask's own on random sites."""

from __future__ import annotations

import re
from contextlib import ExitStack
from contextvars import ContextVar, copy_context
from random import Random

import pytest
from flask import (
    Flask,
    appcontext_popped,
    appcontext_pushed,
    appcontext_tearing_down,
    copy_current_request_context,
    current_app,
    flash,
    g,
    get_flashed_messages,
    has_app_context,
    has_request_context,
    request,
    request_tearing_down,
    session,
    stream_with_context,
    url_for,
)
from flask.sessions import SecureCookieSession, SessionInterface

from .active_context import active_context
from .conftest import WAYS, keep_handshake

variable = ContextVar("variable", default=0)


class Failure(Exception):
    pass


class Exit(BaseException):
    """An error that ends a greenlet, as ``gevent.Timeout`` does."""


class Site(Flask):
    """A subclass, as many sites have one."""


class OneSession(SessionInterface):
    """Gives every request the same session."""

    def __init__(self):
        self.session = SecureCookieSession()

    def open_session(self, app, request):
        return self.session


class FlaskContext:
    """Does what Flask does for an HTTP request: the model of the other ways."""

    def __init__(self, app, request, session):
        self.app, self.environ = app, dict(request.environ)

    def run(self, function):
        copy_context().run(self._run, function)

    def _run(self, function):
        with self.app.request_context(self.environ):
            function()


def observe(site, random, log):
    """Have the site told of everything, or of some things, and fail at random."""

    def note(name, fails):
        def listener(*args, **kwargs):
            active = (has_app_context(), has_request_context())
            count = g.setdefault("count", 0) if active[0] else None
            told = [
                value for value in (*args, *kwargs.values()) if isinstance(value, BaseException)
            ]
            log.append((name, active, count, [*map(describe, told)], variable.get()))
            if fails:
                raise Failure(name)

        return listener

    def is_chosen(chance=0.4):
        return random.random() < chance

    for name in ("teardown_appcontext", "another teardown_appcontext"):
        if is_chosen():
            site.teardown_appcontext(note(name, is_chosen(0.2)))
    if is_chosen():
        site.teardown_request(note("teardown_request", is_chosen(0.2)))
    signals = (appcontext_pushed, appcontext_popped, appcontext_tearing_down, request_tearing_down)
    has_receivers = is_chosen(0.5)
    return [
        (signal, note(signal.name, is_chosen(0.2)))
        for signal in signals
        if has_receivers and is_chosen()
    ]


class Handler:
    """Does some of the things that handlers do, one method for each.

    :param runs: handle a message: of the same handshake, and of another one.
    :param generators: takes the generators that are left unfinished.
    """

    STEPS = ("count", "urls", "read", "flash", "set_variable", "push_again", "copy", "stream")
    STEPS += ("stream_unfinished", "message_inside", "other_inside", "fail", "exit")

    def __init__(self, random, log, runs, generators, depth=0):
        self.steps = [random.choice(self.STEPS) for _ in range(random.randrange(5))]
        self.log, self.runs, self.generators, self.depth = log, runs, generators, depth

    def __call__(self):
        for step in self.steps:
            getattr(self, step)()

    def count(self):
        g.count = g.get("count", 0) + 1
        self.log.append(("count", g.count))

    def urls(self):
        self.log.append((url_for("page"), url_for("page", _external=True), request.url))
        self.log.append((request.endpoint, request.view_args, request.routing_exception))

    def read(self):
        self.log.append((session["username"], current_app.name, request.args["uuid"]))

    def flash(self):
        flash("hello")
        self.log.append(get_flashed_messages())

    def set_variable(self):
        variable.set(variable.get() + 1)

    def push_again(self):
        with active_context():
            self.log.append(("push_again", g.get("count")))

    def copy(self):
        copy_current_request_context(self.read)()

    def stream(self):
        self.log.extend(stream_with_context(self._generate()))

    def stream_unfinished(self):
        # Its context stays pushed. After one in a message inside of another, Flask 3.1.2 and
        # newer cannot pop the outer context; the fast way does not pop when nobody would notice.
        if self.depth == 0:
            self.generators.append(stream_with_context(self._generate()))
            self.log.append(next(self.generators[-1]))

    def _generate(self):
        self.read()
        yield request.path
        self.log.append("end of the stream")

    def message_inside(self, run=0):
        if self.depth < 2:
            random = Random(repr((self.depth, self.steps)))
            self.runs[run](Handler(random, self.log, self.runs, self.generators, self.depth + 1))

    def other_inside(self):
        self.message_inside(run=1)

    def fail(self):
        raise Failure("handler")

    def exit(self):
        raise Exit("handler")


def do(seed, way):
    """Return the observations of a site while two messages are handled in this way."""
    log, generators = [], []
    random = Random(seed)
    site = random.choice((Flask, Site))("site")
    site.secret_key, site.session_interface = "secret", OneSession()
    site.add_url_rule("/protoo", "protoo", lambda: "")
    site.add_url_rule("/page", "page", lambda: "")
    runs = [keep_handshake(way, site).run for _ in range(2)]
    receivers = observe(site, random, log)
    handler = Handler(random, log, runs, generators)
    with ExitStack() as stack:
        for signal, receiver in receivers:
            stack.enter_context(signal.connected_to(receiver, site))
        for _ in range(2):
            log.append("message")
            try:
                runs[0](handler)
            except (Exception, Exit) as error:  # noqa: BLE001
                log.append(describe(error))
            log.append((has_app_context(), has_request_context(), variable.get()))
        for generator in generators:
            log.append("closing")
            try:
                generator.close()
            except Exception as error:  # noqa: BLE001
                log.append(type(error))
    return log


def describe(error):
    """Return an error and the one before it, without addresses in memory."""
    return re.sub(r" at 0x[0-9a-f]+| \d{9,}", "", repr((error, error.__context__)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(400))
def test_each_way_does_what_flask_does(seed, way):
    assert do(seed, way) == do(seed, FlaskContext)
