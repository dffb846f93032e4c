"""Clients that ask for it are told who they are."""

from __future__ import annotations

import pytest

from .clients import eventually


def welcome(username, uuid):
    return {"method": "welcome", "data": {"username": username, "uuid": uuid}}


@pytest.mark.parametrize("query", ["welcome=1", "welcome=yes", "welcome=", "welcome"])
def test_a_client_that_asks_is_told_its_username_and_uuid_first(site, alice, query):
    with site.connect(alice, "a1", f"&{query}") as client:
        assert client.receive() == welcome(alice, "a1")
        client.nothing_came()


@pytest.mark.parametrize("query", ["", "&welcome=0"])
def test_other_clients_are_left_alone(site, alice, query):
    with site.connect(alice, "a1", query) as client:
        client.nothing_came()


def test_a_client_is_told_the_uuid_that_was_made_up_for_it(site, alice):
    with site.connect_with("?welcome=1", Cookie=site.login(alice)) as client:
        told = client.receive()
        assert site.get(f"/peers?username={alice}") == [f"{alice}/{told['data']['uuid']}"]


def test_a_client_is_told_the_username_as_a_string(site_at):
    with site_at("/strict").connect_with("?how=number&welcome=1") as client:
        assert client.receive()["data"]["username"] == "42"


def test_the_connection_that_takes_over_is_told_too(site, alice):
    with site.connect(alice, "a1", "&welcome=1") as first:
        first.receive()
        with site.connect(alice, "a1", "&welcome=1") as second:
            assert second.receive() == welcome(alice, "a1")
            second.nothing_came()
            assert first.wait_for_close() == (3000, "online elsewhere")


def test_the_welcome_comes_before_the_messages_that_waited(site_at, alice, bob):
    patient = site_at("/patient")
    with patient.connect(bob, "b1") as client, patient.connect_raw(alice, "a1") as lost:
        lost.break_off()
        peers = f"/users/{alice}"
        eventually(lambda: "disconnect" in str(patient.get(f"/journal/{alice}")), True)
        client.start("message", peers, {"text": "hi"})
        client.notify("message", peers, {"text": "bye"})
        with patient.connect(alice, "a1", "&welcome=1") as back:
            assert back.receive() == welcome(alice, "a1")
            request = back.expect("message")
            assert request["data"] == {"text": "hi"}
            back.respond(request, 200)
            assert back.expect("message")["data"] == {"text": "bye"}
            assert client.receive()["status"] == 200
            back.nothing_came()


def test_the_welcome_disturbs_no_event(site, alice):
    with site.connect(alice, "a1", "&welcome=1") as client:
        client.receive()
        client.nothing_came()
        journal = [entry for entry in client.journal() if "teardown" not in entry]
        assert journal == [f"protoo-peer-online a1 {alice}", "protoo-user-online"]
