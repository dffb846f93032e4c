"""Departures: devices that come under new names all the time leave nothing behind."""

from __future__ import annotations

import pytest

from tests.features.calls.switchboards import NOTHING, Switchboard
from tests.features.presence.presence_sites import PresenceSite, subscribe
from tests.features.rooms.room_sites import RoomSite, join

GRACE = 30
DEVICES = 4


@pytest.fixture(params=["leave", "drop", "drop and wait"])
def depart(request):
    """Return a function that lets a client go, and the greatest number of its likes that stay."""

    def depart(site, client):
        if request.param == "leave":
            client.leave()
        else:
            client.drop()
        if request.param == "drop and wait":
            site.advance(GRACE)

    depart.most = DEVICES if request.param == "drop" else 0
    return depart


def options():
    return {"core_options": {"grace_period": GRACE, "max_peers_per_user": DEVICES}}


def test_subscriptions_go_with_their_devices(depart):
    site = PresenceSite(**options())
    for number in range(50):
        client = site.connect(f"alice/a{number}")
        for name in ("bob", "carol", f"nobody-{number}"):
            subscribe(client, name)
        depart(site, client)
        ((subscriptions, _, watchers),) = site.sizes()
        assert (subscriptions, watchers) <= (3 * DEVICES, DEVICES)
    assert site.sizes()[0][2] == depart.most
    site.advance(GRACE)
    assert site.sizes() == [(0, 0, 0)]
    assert len(site.agent()._watchers._sizes) == 0


def test_memberships_go_with_their_devices(depart):
    site = RoomSite(**options())
    for number in range(50):
        client = site.connect(f"alice/a{number}")
        join(client, f"/chat/rooms/{number}")
        join(client, "/chat/rooms/common")
        depart(site, client)
    assert site.sizes()[0][1] == depart.most
    site.advance(GRACE)
    assert site.sizes() == [(0, 0, 0)]
    (rooms,) = site.services().values()
    assert (rooms._memberships, rooms._untold) == ({}, {})


def test_calls_go_with_their_callers_and_callees(depart):
    site = Switchboard("bob/b1", **options())
    for number in range(20):
        client = site.connect(f"alice/a{number}")
        client.start_request("session", "/users/bob", {"sdp": "offer"})
        for message in site["bob/b1"].take_all():
            site["bob/b1"].respond(message, 180 if message["method"] == "session" else 200)
        depart(site, client)
        assert len(site.all_calls()) <= DEVICES
    assert len(site.all_calls()) == depart.most
    site.advance(GRACE)
    for message in site["bob/b1"].take_all():
        site["bob/b1"].respond(message, 200)
    calls = site.all_calls()
    assert (site.left_behind(), calls._made, calls._ends) == (NOTHING, {}, {})
