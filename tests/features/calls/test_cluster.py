"""Calls in a cluster: their homes, and what happens when a node cannot be reached or is lost."""

from __future__ import annotations

import pytest

from protoo_flask.features.calls import calls as module
from protoo_flask.features.calls.calls import MAX_RINGING
from protoo_flask.features.calls.early_messages import MAX_MESSAGES
from tests.cluster.in_process import BURIAL_TIME
from tests.cluster.nodes import NodeClient

from .spread_switchboards import spread_switchboard
from .switchboards import S1, end, got, take_end, without_id

SESSION = ("session", None)
LOST = ("end", "server lost")


@pytest.fixture
def boards():
    """Makes switchboards; at the end, everybody leaves, and all tables are empty."""
    made = []

    def make(*names, count=2, **options):
        board = spread_switchboard(count)(**options)
        made.append(board)
        for name, node in zip(names, range(len(names))):
            board.connect(name, node % count)
        return board

    yield make
    for board in made:
        board.finish()
        for site in board.sites:
            calls = type(board).__mro__[2].all_calls(site)
            if calls is not None and site.core.is_alive:
                assert (calls._made, calls._ends, len(calls._parties)) == ({}, {}, 0)


def node(board, number):
    """Return the connection of a node to the hub."""
    return board.sites[number].core.cluster


# Homes ---------------------------------------------------------------------------------


class Reader(NodeClient):
    """A client that reads paths as they are."""


def test_the_path_of_a_call_ends_with_its_home(boards):
    board = boards("alice/a1", "bob/b1")
    carol = board.sites[0].core.connect("carol", "c1", kind=Reader)
    answer = carol.request("session", "/users/bob")
    path = answer["data"]["sessionPath"]
    assert path == f"/users/sessions/s1.{node(board, 0).node}"
    assert board["bob/b1"].take()["data"]["sessionPath"] == S1


@pytest.mark.parametrize("method", ["end", "icecandidate", "session", "anything"])
@pytest.mark.parametrize("home", ["{}", "{}.", ".{}", "{}.{}", "0123456789ab", "x/y", "%2e{}", "é"])
def test_a_path_with_a_home_that_is_none_is_answered_404(boards, home, method):
    board = boards("alice/a1", "bob/b1")
    board.open_call()
    path = "/users/sessions/s1." + home.format(node(board, 1).node, node(board, 0).node)
    assert board["bob/b1"].request(method, path)["status"] == 404
    assert got(board["alice/a1"]) == []


def test_nothing_is_sent_to_nodes_that_a_client_has_made_up(boards, monkeypatch):
    board = boards("alice/a1", "bob/b1")
    board.open_call()
    sent = []
    monkeypatch.setattr(node(board, 1), "send", lambda *args: sent.append(args))
    client = board["bob/b1"]
    for number in range(100):
        path = f"/users/sessions/s1.{number:012x}"
        assert client.request("hold", path)["status"] == 404
        client.notify("hold", path)
    assert sent == []


def test_a_party_reaches_the_home_of_its_call_before_that_node_is_known(boards, monkeypatch):
    board = boards("alice/a1", "bob/b1")
    monkeypatch.setattr(node(board, 1), "others", list)
    bob = board["bob/b1"]
    _, rung = board.call("alice/a1", "/users/bob")
    bob.start_request("icecandidate", S1)  # while it rings
    bob.respond(rung["b1"], 200)
    bob.start_request("hold", S1)  # in the call
    assert got(board["alice/a1"]) == [("icecandidate", None), 200, ("hold", None)]


def test_a_call_that_is_over_is_404_at_its_home(boards):
    board = boards("alice/a1", "bob/b1")
    board.open_call()
    board["alice/a1"].request("end", S1)
    take_end(board["bob/b1"])
    for name in ("alice/a1", "bob/b1"):
        assert board[name].request("hold", S1)["status"] == 404


def test_a_device_of_another_node_may_be_a_user_called_sessions(boards):
    board = boards()
    for site in board.sites:
        site.core.router.all("/users/:username/:uuid", lambda req, next: req.reply(299))
    board.connect("alice/a1", 0)
    board.connect("sessions/u1", 1)
    assert board["alice/a1"].request("message", "/users/sessions/u1")["status"] == 299
    assert board["alice/a1"].request("message", "/users/sessions/u2")["status"] == 404


def test_middleware_runs_where_the_party_is_connected(boards):
    board = boards("alice/a1", "bob/b1")
    seen = []
    for number, site in enumerate(board.sites):
        layer = site.core.router
        assert layer is not None
        site.core.framework.run = lambda function, *args, number=number: (
            seen.append(number),
            function(*args),
        )
    board.open_call()
    seen.clear()
    board["bob/b1"].start_request("hold", S1)
    request = board["alice/a1"].take()
    board["alice/a1"].respond(request, 200, "held")
    assert board["bob/b1"].take()["reason"] == "held"
    assert seen[0] == 1


# Parties -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_device_that_comes_online_at_any_node_joins_the_ringing_call(boards, number):
    board = boards("alice/a1", "bob/b1", count=3)
    board.call(sdp="offer")
    board["alice/a1"].notify("icecandidate", S1, {"candidate": 1})
    board["alice/a1"].start_request("update", S1, {"n": 2})
    late = board.connect("bob/b2", number)
    methods = [message["method"] for message in late.take_all()]
    assert methods == ["session", "icecandidate", "update"]
    got(board["bob/b1"])
    # And it wins.
    board2 = board["bob/b2"]
    calls = board.all_calls()._calls
    (call,) = calls.values()
    assert len(call.legs) == 2
    assert board2.peer.uuid in [peer.uuid for peer in call.legs]


def test_a_device_that_rings_is_rung_once_whatever_the_directory_tells(boards):
    board = boards("alice/a1", "bob/b1", count=3)
    board.call()
    board.connect("bob/b2", 2)
    board.connect("bob/b3", 0)
    assert [got(board[f"bob/{uuid}"]) for uuid in ("b2", "b3")] == [[SESSION], [SESSION]]
    board["bob/b3"].leave()
    assert got(board["bob/b2"]) == got(board["bob/b1"]) == []


def test_a_device_that_has_rejected_is_not_rung_again_when_others_come(boards):
    board = boards("alice/a1", "bob/b1")
    _, rung = board.call()
    board.connect("bob/b2", 1)
    board["bob/b1"].respond(rung["b1"], 486)
    board.connect("bob/b3", 0)
    assert got(board["bob/b1"]) == []
    board["bob/b1"].leave()
    assert got(board.connect("bob/b1", 0)) == []


@pytest.mark.parametrize("leaver", ["alice/a1", "bob/b1"])
@pytest.mark.parametrize("how", ["leave", "drop"])
def test_a_party_that_goes_offline_anywhere_ends_the_call_once(boards, leaver, how):
    board = boards("alice/a1", "bob/b1")
    board.open_call()
    other = "bob/b1" if leaver == "alice/a1" else "alice/a1"
    getattr(board[leaver], how)()
    assert take_end(board[other]) == end(reason="offline")
    assert got(board[other]) == []
    assert len(board.all_calls()) == 0


def test_carbons_of_an_answer_reach_devices_of_all_nodes(boards):
    board = boards("alice/a1", "bob/b1", "bob/b2", "bob/b3", count=3)
    id, rung = board.call()
    assert sorted(rung) == ["b1", "b2", "b3"]
    board["bob/b2"].respond(rung["b2"], 200, "OK")
    assert board["alice/a1"].take()["id"] == id
    for uuid in ("b1", "b3"):
        assert take_end(board[f"bob/{uuid}"]) == end(reason="answered elsewhere")
    assert got(board["bob/b2"]) == []


def test_two_devices_of_two_nodes_that_accept_have_one_winner(boards):
    board = boards("alice/a1", "bob/b1", "bob/b2", count=3)
    _, rung = board.call()
    # Neither node knows of the answer of the other one.
    for uuid in ("b1", "b2"):
        client = board[f"bob/{uuid}"]
        client.inbox.receive(client.encode({"status": 200, "id": rung[uuid]["id"], "data": {}}))
    assert got(board["alice/a1"]) == [200]
    ends = [got(board[f"bob/{uuid}"]) for uuid in ("b1", "b2")]
    assert sorted(ends) == [[], [("end", "answered elsewhere")]]


def test_listeners_run_at_the_home(boards):
    events = []

    def on_session(session, req):
        for name in ("progress", "open", "close"):
            session.on(name, lambda session, name=name: events.append((name, session.cause)))

    board = boards("alice/a1", "bob/b1", on_session=on_session)
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 180)
    board["bob/b1"].respond(rung["b1"], 200)
    board["bob/b1"].request("end", S1)
    board.hub.run()
    assert events == [("progress", None), ("open", None), ("close", "ended")]


# Limits --------------------------------------------------------------------------------


def test_calls_that_ring_at_a_device_are_counted_over_all_homes(boards):
    board = boards("bob/b1", count=3)
    for number in range(MAX_RINGING + 2):
        board.connect(f"caller{number}/c", number % 3)
        board[f"caller{number}/c"].start_request("session", "/users/bob")
    answers = [got(board[f"caller{number}/c"]) for number in range(MAX_RINGING + 2)]
    assert answers == [[100]] * MAX_RINGING + [[100, 486]] * 2
    # One rejects, and another may ring.
    requests = board["bob/b1"].take_all()
    board["bob/b1"].respond(requests[3], 486)
    board["caller9/c"].start_request("session", "/users/bob")
    assert got(board["caller9/c"]) == [100]


def test_ends_that_a_device_does_not_answer_are_counted_over_all_homes(boards, monkeypatch):
    monkeypatch.setattr(module, "MAX_ENDS", 3)
    board = boards("bob/b1", count=3)
    for number in range(3):
        board.connect(f"caller{number}/c", number)
        board[f"caller{number}/c"].start_request("session", "/users/bob")
        assert got(board[f"caller{number}/c"]) == [100]
        board[f"caller{number}/c"].start_request("end", f"/users/sessions/s{number + 1}")
    board.connect("late/c", 0)
    board["late/c"].start_request("session", "/users/bob")
    assert got(board["late/c"]) == [100, 486]
    for message in board["bob/b1"].take_all():
        if message["method"] == "end":
            board["bob/b1"].respond(message, 200)
    board["late/c"].start_request("session", "/users/bob")
    assert got(board["late/c"]) == [100]


def test_early_messages_of_a_caller_are_kept_for_devices_elsewhere(boards):
    board = boards("alice/a1", "bob/b1")
    board.call()
    for number in range(MAX_MESSAGES + 5):
        board["alice/a1"].notify("icecandidate", S1, {"n": number})
    late = board.connect("bob/b2", 1)
    candidates = late.take_all()[1:]
    assert [message["data"]["n"] for message in candidates] == list(range(5, MAX_MESSAGES + 5))


# The list of calls -----------------------------------------------------------------------


def calls_of_three_homes(boards):
    board = boards("carol/c1", "dave/d1", "bob/b1", count=3)
    for name in ("carol/c1", "dave/d1"):
        board[name].start_request("session", "/users/bob/b1")
        board.advance(1)
    board["bob/b1"].start_request("session", "/users/carol/c1")
    board.hub.run()
    return board


def test_the_list_has_the_calls_of_all_homes_the_oldest_first(boards):
    board = calls_of_three_homes(boards)
    got(board["bob/b1"])
    # The call of Bob to Carol meets her call to him, and s1 stays.
    assert [call["path"] for call in board.sessions("bob/b1")] == [S1, "/users/sessions/s2"]


def test_the_list_is_answered_503_while_a_home_does_not_answer(boards):
    board = calls_of_three_homes(boards)
    got(board["bob/b1"])
    board.hub.cut(node(board, 2))
    board.advance(5)
    board["bob/b1"].start_request("get", "/users/sessions")
    assert got(board["bob/b1"]) == [503]
    board.hub.mend(node(board, 2))


def test_the_list_has_no_calls_of_a_home_that_dies_meanwhile(boards):
    board = calls_of_three_homes(boards)
    got(board["bob/b1"])
    board.hub.stop(node(board, 0))
    board["bob/b1"].start_request("get", "/users/sessions")
    assert got(board["bob/b1"]) == []
    board.advance(BURIAL_TIME + 1)
    messages = {message.get("status"): message for message in board["bob/b1"].take_all()}
    assert [call["path"] for call in messages[200]["data"]["sessions"]] == ["/users/sessions/s2"]
    board.hub.kill(node(board, 0))
    board.clients.pop("carol/c1")


# Nodes that are lost ---------------------------------------------------------------------


@pytest.mark.parametrize("state", ["ringing", "open"])
def test_the_parties_of_a_home_that_dies_are_told(boards, state):
    board = boards("alice/a1", "bob/b1", "bob/b2", count=3)
    if state == "open":
        _, rung = board.call()
        board["bob/b1"].respond(rung["b1"], 200)
        take_end(board["bob/b2"])
    else:
        board.call()
    board.hub.kill(node(board, 0))
    board.advance(BURIAL_TIME + 1)
    assert take_end(board["bob/b1"]) == end(reason="server lost")
    assert got(board["bob/b2"]) == ([LOST] if state == "ringing" else [])
    for name in ("bob/b1", "bob/b2"):
        assert board[name].request("hold", S1)["status"] == 404
        assert board.sessions(name) == []


def test_a_call_whose_home_is_silent_is_503_until_it_is_dead(boards):
    board = boards("alice/a1", "bob/b1")
    board.open_call()
    board.hub.kill(node(board, 0))
    assert board["bob/b1"].request("hold", S1)["status"] == 503
    board.advance(BURIAL_TIME + 1)
    assert got(board["bob/b1"]) == [LOST]
    assert board["bob/b1"].request("hold", S1)["status"] == 404


def test_a_party_whose_node_dies_leaves(boards):
    board = boards("alice/a1", "bob/b1")
    board.open_call()
    board.hub.kill(node(board, 1))
    board.advance(BURIAL_TIME + 1)
    assert take_end(board["alice/a1"]) == end(reason="offline")
    assert board.sessions("alice/a1") == []


def test_a_device_whose_node_dies_rings_no_more(boards):
    board = boards("alice/a1", "bob/b1", "bob/b2", count=3)
    _, rung = board.call()
    board.hub.kill(node(board, 1))
    board.advance(BURIAL_TIME + 1)
    assert got(board["alice/a1"]) == []
    board["bob/b2"].respond(rung["b2"], 200)
    assert got(board["alice/a1"]) == [200]


@pytest.mark.parametrize("which", [0, 1], ids=["the home", "the node of the callee"])
@pytest.mark.parametrize("state", ["ringing", "open"])
def test_a_node_that_was_taken_for_dead_ends_calls_with_others(boards, state, which):
    board = boards("alice/a1", "bob/b1")
    board.open_call() if state == "open" else board.call()
    board.hub.stop(node(board, which))
    board.advance(BURIAL_TIME + 1)
    board.hub.resume(node(board, which))
    board.advance(1)
    alice, bob = got(board["alice/a1"]), got(board["bob/b1"])
    assert bob == [LOST]
    if which == 0:
        assert alice == ([LOST] if state == "open" else [503])
    else:
        assert alice == ([("end", "offline")] if state == "open" else alice)
    assert len(board.all_calls()) == 0


def test_a_call_within_a_node_that_was_taken_for_dead_goes_on(boards):
    board = boards("alice/a1", "carol/c1")
    board.connect("bob/b1", 0)
    board.open_call()
    board.hub.stop(node(board, 0))
    board.advance(BURIAL_TIME + 1)
    board.hub.resume(node(board, 0))
    board.advance(1)
    assert got(board["alice/a1"]) == got(board["bob/b1"]) == []
    board["bob/b1"].start_request("hold", S1)
    board["alice/a1"].respond(board["alice/a1"].take(), 200)
    assert got(board["bob/b1"]) == [200]


def test_a_user_who_may_be_there_is_503(boards):
    board = boards("alice/a1", "bob/b1")
    board.hub.go_away()
    answer = board["alice/a1"].request("session", "/users/carol")
    assert answer["status"] == 503
    assert answer["reason"] == "users of other servers cannot be reached for now"
    board.hub.come_back()
    assert board["alice/a1"].request("session", "/users/carol")["status"] == 404


def test_calls_within_a_node_go_on_without_the_directory(boards):
    board = boards("alice/a1", "carol/c1")
    board.connect("bob/b1", 0)
    board.hub.go_away()
    board.open_call()
    assert board["bob/b1"].request("end", S1)["status"] == 200
    take_end(board["alice/a1"])
    board.hub.come_back()


def test_an_open_call_outlasts_an_absence_of_the_directory(boards):
    board = boards("alice/a1", "bob/b1")
    board.open_call()
    for empty in (False, True):
        board.hub.go_away()
        assert board["bob/b1"].request("hold", S1)["status"] == 503
        board.advance(30)
        board.hub.come_back(empty=empty)
        board.advance(5)
        board["bob/b1"].start_request("hold", S1)
        message = board["alice/a1"].take()
        assert without_id(message)["method"] == "hold"
        board["alice/a1"].respond(message, 200)
        assert got(board["bob/b1"]) == [200]
