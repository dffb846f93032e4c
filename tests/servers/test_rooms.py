"""Rooms on real servers, with three members that join, talk and leave."""

from __future__ import annotations

from typing import Any

import pytest

from .clients import Client, Site, eventually


@pytest.fixture
def meeting(site_at):
    """The site with rooms."""
    return site_at("/meeting")


@pytest.fixture
def carol(alice):
    return alice.replace("alice", "carol")


def join(client: Client, path: str) -> list[str]:
    answer = client.request("session", path)
    assert answer["status"] == 200, answer
    assert answer["data"]["sessionPath"] == path
    return [peer["username"] for peer in answer["data"]["peers"]]


def address(username: str) -> dict[str, str]:
    return {"username": username, "uuid": "a1"}


def books(site: Site, username: str) -> list[str]:
    kinds = ("join ", "leave ", "close ")
    return [entry for entry in site.get(f"/journal/{username}") if entry.startswith(kinds)]


def expect_notification(client: Client, method: str, **data: Any) -> None:
    message = client.expect(method)
    assert "id" not in message
    assert message["data"] == data


def test_three_members_join_talk_and_leave(meeting, alice, bob, carol):
    path = f"/chat/rooms/of-{alice}"
    with meeting.connect(alice) as a, meeting.connect(bob) as b:
        assert join(a, path) == []
        assert join(b, path) == [alice]
        expect_notification(a, "join", peer=address(bob), sessionPath=path)
        with meeting.connect(carol) as c:
            assert join(c, path) == [alice, bob]
            for client in (a, b):
                expect_notification(client, "join", peer=address(carol), sessionPath=path)

            assert c.request("message", path, {"text": "hello"})["data"] == {"sent": 2}
            for client in (a, b):
                message = client.expect("message")
                assert message["sender"] == address(carol)
                assert message["data"] == {"text": "hello", "sessionPath": path}

            # A mesh: each new member makes an offer to the earlier ones.
            id = c.start("private", path, {"peer": address(bob), "offer": "o"})
            offer = b.expect("private")
            assert (offer["sender"], offer["data"]["offer"]) == (address(carol), "o")
            b.respond(offer, 180, "ringing")
            b.respond(offer, 200, "accepted", answer="a")
            assert [c.receive()["status"], c.receive()] == [
                180,
                {"status": 200, "reason": "accepted", "id": id, "data": {"answer": "a"}},
            ]
            a.nothing_came()

            assert b.request("kick", path, {"username": carol})["status"] == 405
            assert a.start("kick", path, {"username": bob})
            expect_notification(a, "leave", peer=address(bob), sessionPath=path)
            assert a.receive()["data"] == {"removed": True}
            expect_notification(c, "leave", peer=address(bob), sessionPath=path)
            end = b.expect("end")
            assert end["data"] == {"reason": "be polite", "sessionPath": path}
            b.respond(end, 200)
            assert b.request("message", path)["status"] == 403
        # Carol has disconnected, without leaving the room first.
        expect_notification(a, "leave", peer=address(carol), sessionPath=path)
        assert a.request("end", path)["status"] == 200
        assert a.request("message", path)["status"] == 404
    expected = [
        *(f"join {name} {name}" for name in (alice, bob, carol)),
        *(f"leave {name} {name}" for name in (bob, carol, alice)),
        f"close of-{alice}",
    ]
    eventually(lambda: books(meeting, alice), expected)


def test_a_member_that_reloads_the_page_stays_in_the_room(meeting, alice, bob):
    path = f"/chat/rooms/of-{alice}"
    with meeting.connect(alice) as a:
        join(a, path)
        with meeting.connect_raw(bob) as raw:
            raw.send_request("session", path, 1)
            assert raw.read_message()["status"] == 200
            expect_notification(a, "join", peer=address(bob), sessionPath=path)
            raw.break_off()
        with meeting.connect(bob) as b:
            assert join(b, path) == [alice]
            assert a.request("message", path, {"text": "there?"})["data"] == {"sent": 1}
            assert b.expect("message")["data"]["text"] == "there?"
        expect_notification(a, "leave", peer=address(bob), sessionPath=path)


def test_a_peer_refused_by_the_site_is_not_in_the_room(meeting, alice):
    path = f"/chat/rooms/of-{alice}"
    with meeting.connect(alice) as a, meeting.connect(f"stranger-{alice}") as stranger:
        join(a, path)
        answer = stranger.request("session", path)
        assert (answer["status"], answer["reason"]) == (403, "members only")
        assert stranger.request("message", path)["status"] == 403
        a.nothing_came()


def test_a_client_gets_the_ice_servers(meeting, alice):
    with meeting.connect(alice) as a:
        data = a.request("get", "/ice")["data"]
    [server] = data["iceServers"]
    assert (server["urls"], data["ttl"]) == ("turn:turn.example.org", 86400)
    assert server["username"].endswith(f":{alice}")
