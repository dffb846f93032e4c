"""A site in each of the worlds; a test that leaves anything behind fails."""

from __future__ import annotations

import os
from typing import Any, Callable, Iterator

import pytest

from protoo_flask.transport.outbox import Outbox

from .connections import Gate
from .fake_channel import FakeChannel, make_outbox
from .worlds import WORLDS, Site, count_fds


@pytest.fixture(params=WORLDS, ids=[world.name for world in WORLDS])
def world(request: Any) -> Any:
    return request.param()


@pytest.fixture
def make_site(world: Any) -> Iterator[Callable[..., Site]]:
    """Make sites; at the end their clients go, and nothing may be left of them."""
    sites = []

    def make(**settings: Any) -> Site:
        site = Site(world, **settings)
        sites.append(site)
        return site

    fds = count_fds() if os.path.isdir("/proc/self/fd") else None
    with world.check_leaks():
        yield make
        for site in sites:
            site.close()
    for site in sites:
        assert site.application.directory.find() == []
        assert {client.connection.state for client in site.clients} <= {"closed"}
    if fds is not None:
        assert count_fds() == fds


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


@pytest.fixture
def gate(site: Any) -> Any:
    gate = Gate(site)
    site.router.method("wait", gate)
    yield gate
    gate.open()


@pytest.fixture
def online_gate(site: Any) -> Any:
    """Hold the listeners of ``peer_online`` until the test opens the gate."""
    gate = Gate(site)

    def listen(event: Any) -> None:
        if event.name == "peer_online":
            gate.block()

    site.framework.on_event.append(listen)
    yield gate
    gate.open()


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
def outbox(channel: FakeChannel) -> Outbox:
    return make_outbox(channel)
