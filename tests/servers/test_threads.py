"""Calls of the Python API from real threads, beside gevent and under the development server."""

from __future__ import annotations

from typing import Any

import pytest

from .clients import Site, eventually
from .workshop import JOBS

#: Where one hub serves all clients.
ON_A_HUB = pytest.mark.parametrize(
    "running_server", ["gunicorn", "pywsgi", "pywsgi-unpatched"], indirect=True
)


class Outcome:
    """The outcome of a job that runs meanwhile."""

    def __init__(self, site: Site, number: str) -> None:
        self._site = site
        self._path = f"/jobs/{number}"

    def get(self) -> Any:
        eventually(lambda: self._site.get(self._path) is not None, True)
        return self._site.get(self._path)

    def result(self) -> Any:
        outcome = self.get()
        assert "error" not in outcome, outcome
        return outcome["result"]

    def error(self) -> str:
        outcome = self.get()
        assert "error" in outcome, outcome
        return outcome["error"]


class WorkshopSite(Site):
    """The site with jobs."""

    def start_job(self, name: str, username: str) -> Outcome:
        assert name in JOBS
        return Outcome(self, self.post(f"/jobs/{name}/{username}"))


@pytest.fixture
def shop(server):
    return WorkshopSite(server.port, "/workshop")


def check_time_outs(shop, alice):
    """Check that the time-outs of everybody still fire."""
    with shop.connect(alice, "a9") as client:
        client.start("get", f"/ask/{alice}", {"timeout": 0.05})
        client.expect("question")
        assert client.receive()["status"] == 408


# Peers --------------------------------------------------------------------------------


def test_a_thread_finds_peers(shop, alice):
    with shop.connect(alice):
        address = {"username": alice, "uuid": "a1"}
        assert shop.start_job("find", alice).result() == [address, True, None, True]


def test_a_thread_disconnects_a_user_and_offline_is_told(shop, alice):
    with shop.connect(alice, "a1") as a1, shop.connect(alice, "a2") as a2:
        assert shop.start_job("disconnect", alice).result() == [2, 0]
        for client in (a1, a2):
            assert client.wait_for_close() == (3001, "authorization revoked")
    eventually(lambda: f"protoo-peer-offline a1 {alice}" in shop.get(f"/journal/{alice}"), True)
    eventually(lambda: shop.get(f"/journal/{alice}").count("protoo-user-offline"), 1)
    check_time_outs(shop, alice)


def test_a_thread_gets_the_error_of_a_wrong_call(shop, alice):
    assert shop.start_job("disconnect_everybody", alice).error() == "BadName"


def test_a_thread_closes_a_peer_which_is_offline_at_once(shop, alice):
    with shop.connect(alice) as client:
        assert shop.start_job("close_peer", alice).result() == [False, False, 410]
        assert client.wait_for_close() == (4000, "closed")


def test_a_thread_listens_to_a_peer(shop, alice):
    with shop.connect(alice):
        shop.start_job("listen", alice).result()
    eventually(lambda: shop.get(f"/notes/{alice}"), ["offline"])


# Messages -------------------------------------------------------------------------------


def test_a_thread_sends_notifications_in_order(shop, alice):
    with shop.connect(alice) as client:
        assert shop.start_job("notify", alice).result() == 100
        assert [client.expect("news")["data"]["n"] for _ in range(100)] == list(range(100))


def test_a_thread_is_told_that_a_notification_is_not_json(shop, alice):
    with shop.connect(alice):
        assert shop.start_job("notify_in_vain", alice).error() == "Unsendable"


def test_a_thread_sends_a_broadcast(shop, alice):
    with shop.connect(alice, "a1") as a1, shop.connect(alice, "a2") as a2:
        assert shop.start_job("broadcast", alice).result() == 2
        for client in (a1, a2):
            assert client.expect("news")["data"] == {"n": 1}


def test_a_thread_waits_for_a_response_and_others_are_served_meanwhile(shop, alice, bob):
    with shop.connect(alice) as client, shop.connect(bob) as other:
        job = shop.start_job("ask", alice)
        question = client.expect("question")
        other.nothing_came()
        client.respond(question, 200, "OK", answer=42)
        assert job.result() == [200, {"answer": 42}]


def test_a_thread_waits_until_the_time_is_up(shop, alice):
    with shop.connect(alice):
        assert shop.start_job("ask_in_vain", alice).result() == [408, True]
    check_time_outs(shop, alice)


def test_a_thread_gets_a_local_response_for_data_that_is_not_json(shop, alice):
    with shop.connect(alice):
        assert shop.start_job("ask_nonsense", alice).result() == [400]


def test_a_thread_that_waits_learns_that_the_peer_has_gone(shop, alice):
    with shop.connect(alice) as client:
        job = shop.start_job("ask", alice)
        client.expect("question")
    assert job.result() == [410, {}]


def test_a_thread_iterates_over_responses(shop, alice):
    with shop.connect(alice) as client:
        job = shop.start_job("iterate", alice)
        question = client.expect("question")
        client.respond(question, 100)
        client.respond(question, 180)
        client.respond(question, 200)
        assert job.result() == [100, 180, 200]


def test_a_thread_gives_up_waiting_and_cancels(shop, alice):
    with shop.connect(alice) as client:
        assert shop.start_job("give_up", alice).result() == ["terminated", 487]
        client.respond(client.expect("question"), 200)  # too late
        client.nothing_came()


def test_a_thread_cancels_a_request(shop, alice):
    with shop.connect(alice):
        assert shop.start_job("cancel", alice).result() == [True, 487, False]


def test_the_callback_of_a_request_from_a_thread_runs_in_contexts_of_the_peer(shop, alice):
    with shop.connect(alice) as client:
        shop.start_job("call_back", alice).result()
        client.respond(client.expect("question"), 200)
        eventually(lambda: [note[:2] for note in shop.get(f"/notes/{alice}")], [[200, alice]])


@ON_A_HUB
def test_the_callback_of_a_request_from_a_thread_runs_on_the_hub(shop, alice):
    with shop.connect(alice):
        shop.start_job("call_back", alice).result()
    # Also for a local response.
    hub = int(shop.get("/thread"))
    eventually(lambda: shop.get(f"/notes/{alice}"), [[410, alice, hub]])


# Requests -------------------------------------------------------------------------------


def test_a_thread_answers_a_request_that_was_kept_open(shop, alice):
    with shop.connect(alice) as client:
        assert client.request("get", "/keep")["status"] == 100
        job = shop.start_job("reply", alice)
        assert client.receive()["reason"] == "working"
        assert client.receive()["data"] == {"n": 1}
        assert job.error() == "AlreadyReplied"
        client.nothing_came()


def test_a_thread_that_answers_nonsense_may_answer_again(shop, alice):
    with shop.connect(alice) as client:
        client.request("get", "/keep")
        assert shop.start_job("reply_nonsense", alice).error() == "Unsendable"
        assert client.receive()["status"] == 500


def test_a_thread_relays_a_request(shop, alice, bob):
    with shop.connect(alice) as a, shop.connect(bob) as b:
        a.request("get", "/keep", {"username": bob})
        shop.start_job("relay", alice).result()
        b.respond(b.expect("get"), 200, "from Bob")
        assert a.receive()["reason"] == "from Bob"


# Rooms ------------------------------------------------------------------------------------


@pytest.fixture
def members(shop, alice, bob):
    """Two members of the room of Alice."""
    path = f"/chat/rooms/{alice}"
    with shop.connect(alice) as a, shop.connect(bob) as b:
        assert a.request("session", path)["status"] == 200
        assert b.request("session", path)["status"] == 200
        a.expect("join")
        yield a, b


def test_a_thread_sends_to_the_members_of_a_room(shop, members, alice):
    a, b = members
    assert shop.start_job("speak_in_room", alice).result() == [2, 1]
    assert b.expect("news")["data"]["n"] == 1
    a.nothing_came()


def test_a_thread_asks_a_member_of_a_room(shop, members, alice):
    a, _ = members
    job = shop.start_job("ask_in_room", alice)
    a.respond(a.expect("question"), 200)
    assert job.result() == 200


def test_a_thread_removes_a_member_from_a_room(shop, members, alice):
    a, b = members
    assert shop.start_job("remove_from_room", alice).result() == [True, False, 1]
    a.expect("end")
    b.expect("leave")
    eventually(lambda: shop.get(f"/notes/{alice}"), [f"leave {alice}"])


def test_a_thread_closes_a_room(shop, members, alice, bob):
    assert shop.start_job("close_room", alice).result() == [2, 0, []]
    for client in members:
        client.expect("end")
    eventually(lambda: shop.get(f"/notes/{alice}"), [f"leave {alice}", f"leave {bob}", "close"])


def test_a_room_loses_a_member_that_a_thread_disconnects(shop, members, alice):
    _, b = members
    assert shop.start_job("disconnect", alice).result() == [1, 0]
    assert b.expect("leave")["data"]["peer"]["username"] == alice
    eventually(lambda: shop.get(f"/notes/{alice}"), [f"leave {alice}"])


# gevent's threadpool -----------------------------------------------------------------------


@ON_A_HUB
def test_the_threadpool_of_gevent_does_the_same(shop, alice):
    with shop.connect(alice) as client:
        call = lambda name: shop.post(f"/in-threadpool/{name}/{alice}")  # noqa: E731
        assert call("notify") == {"result": 100}
        for _ in range(100):
            client.expect("news")
        assert call("ask_in_vain") == {"result": [408, True]}
        client.expect("question")
        assert call("disconnect_everybody") == {"error": "BadName"}
        assert call("disconnect") == {"result": [1, 0]}
        assert client.wait_for_close()[0] == 3001
    eventually(lambda: f"protoo-peer-offline a1 {alice}" in shop.get(f"/journal/{alice}"), True)
    check_time_outs(shop, alice)
