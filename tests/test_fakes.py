"""The fakes are as strict as the real things: both have the methods of the same interface."""

from __future__ import annotations

import inspect

import pytest

from protoo_flask import transport
from protoo_flask.core.handling import Framework
from protoo_flask.core.link import Context, Link, Outbox
from protoo_flask.core.peers.directory import Directory
from protoo_flask.core.peers.local_directory import LocalDirectory
from protoo_flask.core.scheduling import Scheduler
from protoo_flask.core.wire.dialect import Dialect, ProtooDialect
from protoo_flask.site.contexts import HandshakeContext
from protoo_flask.site.flask_framework import FlaskFramework
from protoo_flask.transport.connection import Connection
from protoo_flask.transport.greenlets.loop import GreenletLoop
from protoo_flask.transport.threads.loop import ThreadLoop

from .core.wire.toy import ToyDialect
from .fakes import FakeContext, FakeFramework, FakeLink, FakeScheduler

KINDS_BY_INTERFACE = {
    Link: [FakeLink, Connection],
    Outbox: [FakeLink, transport.outbox.Outbox],
    Context: [FakeContext, HandshakeContext],
    Framework: [FakeFramework, FlaskFramework],
    Scheduler: [FakeScheduler, GreenletLoop, ThreadLoop],
    Directory: [LocalDirectory],
    Dialect: [ToyDialect, ProtooDialect],
}


def methods_of(interface):
    """Return the public methods that a protocol declares, ``{name: function}``."""
    found = inspect.getmembers(interface, inspect.isfunction)
    return {name: function for name, function in found if not name.startswith("_")}


def find_conflicts(expected, found):
    """Return why ``found`` cannot be called in every way in which ``expected`` can."""
    wanted = list(inspect.signature(expected).parameters.values())[1:]  # without self
    try:
        given = list(inspect.signature(found).parameters.values())
    except ValueError:
        return []  # written in C, as time.monotonic() is, and does not say
    if given and given[0].name == "self":
        del given[0]
    conflicts = []
    for want, have in zip(wanted, given):
        if want.name != have.name or want.kind is not have.kind:
            conflicts.append(f"{have} where {want} is expected")
        elif want.default is not want.empty and want.default != have.default:
            conflicts.append(f"{have} has another default than {want}")
    conflicts += [f"{want} is missing" for want in wanted[len(given) :]]
    extra = given[len(wanted) :]
    return conflicts + [f"{have} is not expected" for have in extra if have.default is have.empty]


@pytest.mark.parametrize(
    ("interface", "kind"),
    [(interface, kind) for interface, kinds in KINDS_BY_INTERFACE.items() for kind in kinds],
    ids=lambda value: value.__name__,
)
def test_an_implementation_can_be_called_in_every_way_that_its_interface_declares(interface, kind):
    methods = methods_of(interface)
    assert methods
    conflicts = {
        name: find_conflicts(function, getattr(kind, name)) if hasattr(kind, name) else "missing"
        for name, function in methods.items()
    }
    assert {name: found for name, found in conflicts.items() if found} == {}


def test_every_method_of_a_link_is_checked():
    assert set(methods_of(Link)) == {
        *("close", "retire", "fail", "take_unsent", "pause_reading", "resume_reading")
    }
    assert set(methods_of(Outbox)) == {"admits", "send_text"}


class Wrong:
    def send_text(self, payload, identity=None): ...
    def close(self, code): ...
    def retire(self, code, reason, now): ...
    def fail(self, code, *, reason): ...


def test_a_method_with_other_parameters_is_a_conflict():
    assert find_conflicts(Outbox.send_text, Wrong.send_text)
    for name in ("close", "retire", "fail"):
        assert find_conflicts(getattr(Link, name), getattr(Wrong, name))


# The behaviour of a closed link, which the core relies on


def test_a_closed_fake_link_takes_no_message_and_keeps_its_first_close():
    link = FakeLink()
    assert link.fail(1011, "internal error") is True
    assert link.send(b"x") is False
    assert link.fail(1008, "later") is False
    link.close(1000, "later")
    link.retire(3000, "later")
    assert link.closed == (1011, "internal error")


def test_a_fake_link_gives_its_unsent_messages_back_once():
    link = FakeLink()
    link.is_stuck = True
    link.send(b"x", 7)
    link.retire(3000, "online elsewhere")
    assert link.take_unsent() == [(b"x", 7)]
    assert link.take_unsent() == []
