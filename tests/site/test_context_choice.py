"""The choice between the fast way into Flask's contexts and the simple one."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from flask import (
    Flask,
    Request,
    appcontext_popped,
    appcontext_pushed,
    has_app_context,
    url_for,
)

from protoo_flask import Protoo
from protoo_flask.site import context_choice, fast_contexts
from protoo_flask.site.context_choice import choose_context, probe
from protoo_flask.site.contexts import HandshakeContext
from protoo_flask.site.fast_contexts import FastHandshakeContext

from ..joining import join, make_app
from .active_context import active_context
from .conftest import keep_handshake

FLASK = tuple(int(number) for number in version("flask").split(".")[:2])
BEST = FastHandshakeContext if FLASK >= (2, 2) else HandshakeContext

needs_fast_way = pytest.mark.skipif(
    BEST is HandshakeContext, reason="there is no fast way before Flask 2.2"
)


class Site(Flask):
    """A subclass that changes nothing."""


# The probe


def test_the_probe_finds_no_difference_on_the_releases_that_have_a_fast_way():
    assert probe() == (BEST is FastHandshakeContext)


def test_the_probe_gives_the_same_inside_of_a_request(app):
    # That is where the first client of a process has it run.
    with app.test_request_context("/protoo"):
        assert context_choice.probe.__wrapped__() == probe()


def test_the_probe_leaves_no_receiver_and_no_active_context():
    context_choice.probe.__wrapped__()

    assert not appcontext_pushed.receivers
    assert not appcontext_popped.receivers
    assert not has_app_context()


@needs_fast_way
@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda *args: None, id="calls nothing"),
        pytest.param(lambda *args: args[-2](*args[-1]), id="makes nothing active"),
        pytest.param(lambda app, *args: app.attribute, id="raises AttributeError"),
    ],
)
def test_the_probe_notices_a_way_that(broken, monkeypatch):
    monkeypatch.setattr(fast_contexts, "run_in_light_contexts", broken)

    assert not context_choice.probe.__wrapped__()


@needs_fast_way
def test_the_probe_notices_a_teardown_function_that_is_not_called(monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(fast_contexts, "_call_teardown", lambda app, function: None)

    assert not context_choice.probe.__wrapped__()
    assert "the fast contexts give another result with this Flask" in caplog.text


# The choice


def test_a_site_gets_the_fast_way_where_there_is_one():
    assert choose_context(Flask("site")) is BEST
    assert choose_context(Site("site")) is BEST


def test_the_handshakes_of_a_site_are_kept_in_that_way():
    site = make_app()
    protoo = Protoo(site)
    context = join(site).peer.context
    protoo.close()

    assert type(context) is BEST
    assert site.extensions["protoo"].service.context_class is BEST


def test_a_site_gets_the_simple_way_where_the_probe_finds_a_difference(monkeypatch):
    monkeypatch.setattr(context_choice, "probe", lambda: False)

    assert choose_context(Flask("site")) is HandshakeContext


@pytest.mark.parametrize("name", context_choice._METHODS)
def test_a_site_that_overrides_a_method_for_contexts_gets_the_simple_way(name):
    def override(self, ctx=None, *args):
        raise NotImplementedError

    override.__name__ = name  # Flask 3.2 looks at it
    site = type("Site", (Flask,), {name: override})("site")
    patched = Flask("site")
    setattr(patched, name, override)

    assert choose_context(site) is HandshakeContext
    assert choose_context(patched) is HandshakeContext


def test_a_site_with_requests_that_must_be_closed_gets_the_simple_way():
    class ClosingRequest(Request):
        def close(self):
            raise NotImplementedError

    class Site(Flask):
        request_class = ClosingRequest

    assert choose_context(Site("site")) is HandshakeContext


def test_the_simple_way_uses_the_context_class_of_the_site(app):
    class OwnContext(type(app.request_context(app.test_request_context().request.environ))):
        pass

    class Site(Flask):
        def request_context(self, environ):
            context = super().request_context(environ)
            context.__class__ = OwnContext
            return context

    site, seen = Site("site"), []
    site.secret_key = "secret"
    keep_handshake(HandshakeContext, site).run(lambda: seen.append(active_context()))

    assert isinstance(seen[0], OwnContext)


# The gain


@needs_fast_way
def test_a_url_adapter_is_made_only_for_a_message_that_needs_one(app):
    made = []

    class Site(Flask):
        def create_url_adapter(self, request):
            made.append(request)
            return super().create_url_adapter(request)

    site = Site("site")
    site.secret_key = "secret"
    site.add_url_rule("/page", "page", lambda: "")
    context = keep_handshake(choose_context(site), site)

    made.clear()
    context.run(lambda: None)
    assert made == []

    context.run(lambda: [url_for("page"), url_for("page")])
    assert len(made) == 1
