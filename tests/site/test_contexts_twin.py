"""The short way into Flask's contexts, compared with Flask's own push and pop."""

from __future__ import annotations

from contextlib import ExitStack
from random import Random

import flask.globals
import pytest
from flask import (
    Flask,
    appcontext_popped,
    appcontext_pushed,
    appcontext_tearing_down,
    copy_current_request_context,
    current_app,
    g,
    has_app_context,
    has_request_context,
    request,
    request_tearing_down,
    session,
    url_for,
)

from .test_contexts import make_context


class Failure(Exception):
    pass


class Site(Flask):
    """A subclass, as many sites have one."""


def observe(site, random, log):
    """Have the site told of everything, or of some things, and fail at random."""

    def note(what, fails):
        def listener(*args, **kwargs):
            active = (has_app_context(), has_request_context())
            told = [value for value in (*args, *kwargs.values()) if isinstance(value, Exception)]
            count = g.setdefault("count", 0) if active[0] else None
            log.append((what, active, count, [repr(error) for error in told]))
            if fails:
                raise Failure(what)

        return listener

    def is_chosen():
        return random.random() < 0.4

    if is_chosen():
        site.teardown_appcontext(note("teardown_appcontext", random.random() < 0.2))
    if is_chosen():
        site.teardown_appcontext(note("another", random.random() < 0.2))
    if is_chosen():
        site.teardown_request(note("teardown_request", random.random() < 0.2))
    receivers = []
    # A receiver of the first that failed would leave Flask's own context active for ever.
    for signal in (
        appcontext_pushed,
        appcontext_popped,
        appcontext_tearing_down,
        request_tearing_down,
    ):
        if is_chosen():
            receivers.append(
                (
                    signal,
                    note(signal.name, signal is not appcontext_pushed and random.random() < 0.2),
                )
            )
    return receivers


def make_handler(random, log, runs, depth=0):
    """Return a handler that does some of what handlers do; others inside of it, too."""
    steps = [
        random.choice(("g", "url", "session", "again", "copy", "inside", "other", "fail"))
        for _ in range(random.randrange(4))
    ]

    def handler():
        for step in steps:
            if step == "g":
                g.count = g.get("count", 0) + 1
                log.append(("g", g.count))
            elif step == "url":
                log.append((url_for("page"), url_for("page", _external=True), request.path))
            elif step == "session":
                log.append((session["username"], current_app.name, request.args["uuid"]))
            elif step == "again":
                with flask.globals.request_ctx._get_current_object():
                    log.append(("again", g.get("count")))
            elif step == "copy":
                copy_current_request_context(lambda: log.append(("copy", session["username"])))()
            elif step == "fail":
                raise Failure("handler")
            elif depth < 2:
                inner = make_handler(Random(repr((depth, steps))), log, runs, depth + 1)
                runs[step == "other"](inner)

    return handler


def do(seed, way):
    """Return what is noticed of two messages that are handled in this way."""
    log = []
    random = Random(seed)
    site = random.choice((Flask, Site))("site")
    site.secret_key, site.torn_down = "secret", []
    site.add_url_rule("/page", "page", lambda: "")
    runs = [getattr(make_context(site), way) for _ in range(2)]
    receivers = observe(site, random, log)
    handler = make_handler(random, log, runs)
    with ExitStack() as stack:
        for signal, receiver in receivers:
            stack.enter_context(signal.connected_to(receiver, site))
        for _ in range(2):
            try:
                runs[0](handler)
            except Failure as error:
                log.append((str(error), str(error.__context__)))
            log.append((has_app_context(), has_request_context()))
    return log


@pytest.mark.skipif(not hasattr(flask.globals, "_cv_app"), reason="this Flask has one way only")
@pytest.mark.parametrize("seed", range(400))
def test_both_ways_do_the_same(seed):
    assert do(seed, "run") == do(seed, "run_fully")


def test_a_site_with_contexts_of_its_own_gets_these():
    class Site(Flask):
        def app_context(self):
            self.asked += 1
            return super().app_context()

    site = Site("site")
    site.secret_key, site.torn_down, site.asked = "secret", [], 0
    context = make_context(site)
    site.asked = 0

    context.run(lambda: None)

    assert site.asked == 1
