"""Presence of users that are connected to different nodes of a cluster."""

from __future__ import annotations

import pytest

from protoo_flask.features.missed_news import RETRY
from tests.cluster.in_process import EPOCH
from tests.features.node_sites import NodeSites

from .presence_sites import PresenceSite, everybody, publish, state_of, subscribe, take_states

ALICE, BOB, CAROL = "alice/a1", "bob/b1", "carol/c1"


class PresenceNodes(NodeSites):
    """Nodes with presence at /presence."""

    def __init__(self, count=2, allow=everybody, **core_options):
        super().__init__(lambda core: PresenceSite(core=core, allow=allow), count, **core_options)

    @property
    def now(self):
        """The time of the directory."""
        return EPOCH + self.hub.clock.time

    def check_empty(self):
        super().check_empty()
        for site in self:
            if site.core.is_alive:
                for agent in site.services().values():
                    watchers = agent._watchers
                    tables = (watchers, watchers._peers, watchers._usernames, agent._watched)
                    assert [len(table) for table in tables] == [0, 0, 0, 0]
                    assert [len(agent._states), len(agent._news), len(agent._late)] == [0, 0, 0]


def online(username="bob", **fields):
    return state_of(username, **{"online": True, "devices": 1, **fields})


def test_a_watcher_is_told_of_a_user_at_another_node():
    with PresenceNodes() as nodes:
        alice = nodes.connect(ALICE, 0)
        assert subscribe(alice, "bob") == state_of("bob")
        began = nodes.now
        bob = nodes.connect(BOB, 1)
        assert take_states(alice) == [online(since=began)]
        nodes.advance(1)
        second = nodes.connect("bob/b2", 0)
        assert take_states(alice) == [online(devices=2, since=began)]
        bob.leave()
        assert take_states(alice) == [online(since=began)]
        nodes.advance(1)
        second.leave()
        assert take_states(alice) == [state_of("bob", since=nodes.now)]
        assert subscribe(alice, "bob") == state_of("bob", since=nodes.now)


def test_a_subscriber_gets_the_state_of_a_user_that_has_come_before():
    with PresenceNodes() as nodes:
        began = nodes.now
        publish(nodes.connect(BOB, 1), status="away", note="back at two")
        alice = nodes.connect(ALICE, 0)
        expected = online(status="away", note="back at two", since=began)
        assert subscribe(alice, "bob") == expected
        assert take_states(alice) == []


def test_a_status_is_told_at_all_nodes_with_the_same_time():
    with PresenceNodes(3) as nodes:
        alice, bob, carol = (nodes.connect(name, n) for n, name in enumerate([ALICE, BOB, CAROL]))
        subscribe(alice, "bob")
        subscribe(carol, "bob")
        nodes.advance(7)
        expected = online(status="away", since=nodes.now)
        assert publish(bob, status="away") == expected
        assert take_states(alice) == take_states(carol) == [expected]
        nodes.advance(1)
        assert publish(bob, note="soon") == {**expected, "note": "soon"}
        assert take_states(alice) == take_states(carol) == [{**expected, "note": "soon"}]
        assert publish(bob, status=None)["status"] is None


def test_any_device_publishes_for_its_user():
    with PresenceNodes() as nodes:
        first, second = nodes.connect(BOB, 0), nodes.connect("bob/b2", 1)
        publish(first, status="away")
        assert publish(second, note="hm")["status"] == "away"
        second.leave()
        assert publish(first)["note"] == "hm"


def test_a_user_who_watches_itself_gets_no_older_state_after_an_answer():
    with PresenceNodes() as nodes:
        bob = nodes.connect(BOB, 1)
        subscribe(bob, "bob")
        bob.start_request("publish", "/presence", {"status": "away"})
        states = [message["data"] for message in bob.take_all()]
        assert {state["status"] for state in states} == {"away"}
        assert len(states) == 2


def test_what_was_published_is_gone_with_the_last_device():
    with PresenceNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        publish(bob, status="away", note="hm")
        bob.leave()
        nodes.connect(BOB, 0)
        assert subscribe(alice, "bob") == online(since=nodes.now)


def test_a_user_within_the_grace_period_is_online():
    with PresenceNodes(grace_period=5) as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        subscribe(alice, "bob")
        bob.drop()
        nodes.advance(4)
        nodes.connect(BOB, 1)
        assert take_states(alice) == []
        nodes.sites[1]["bob/b1"].drop()
        nodes.advance(5)
        assert take_states(alice) == [state_of("bob", since=nodes.now)]


def test_a_watcher_within_its_grace_period_is_told_what_has_changed():
    with PresenceNodes(grace_period=5) as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        subscribe(alice, "bob")
        alice.drop()
        expected = publish(bob, status="away")
        assert take_states(nodes.connect(ALICE, 0)) == [expected]


@pytest.mark.parametrize("end", ["unsubscribe", "leave"])
def test_a_user_is_watched_for_as_long_as_somebody_at_the_node_subscribes(end):
    with PresenceNodes() as nodes:
        alice, carol, bob = (nodes.connect(n, i) for n, i in [(ALICE, 0), (CAROL, 0), (BOB, 1)])
        cluster = nodes.cores[0].cluster
        subscribe(alice, "bob")
        subscribe(carol, "bob")
        for client in (alice, carol):
            assert "bob" in cluster.watches.watchers
            if end == "leave":
                client.leave()
            else:
                client.request("unsubscribe", "/presence/bob")
        assert "bob" not in cluster.watches.watchers
        publish(bob, status="away")
        assert carol.take_all() == []


def test_a_user_of_a_node_that_is_killed_is_offline_for_all():
    with PresenceNodes(3) as nodes:
        alice, _, carol = (nodes.connect(name, n) for n, name in enumerate([ALICE, BOB, CAROL]))
        subscribe(alice, "bob")
        subscribe(carol, "bob")
        nodes.bury(1)
        (state,) = take_states(alice)
        assert take_states(carol) == [state]
        assert state == state_of("bob", since=state["since"])


def test_a_directory_that_is_away_lets_subscribe_with_the_latest_known_state():
    with PresenceNodes() as nodes:
        alice, bob, carol = (nodes.connect(n, i) for n, i in [(ALICE, 0), (BOB, 1), (CAROL, 0)])
        expected = subscribe(alice, "bob")
        nodes.hub.go_away()
        doubt = {"doubt": nodes.cores[0].application.directory.doubt("bob")}
        assert subscribe(carol, "bob") == {**expected, **doubt}
        dave = nodes.connect("dave/d1", 1)
        state = subscribe(alice, "dave")
        assert (state["online"], state["doubt"]) == (False, doubt["doubt"])
        state = subscribe(bob, "dave")
        assert (state["online"], state["devices"]) == (True, 1)
        nodes.hub.come_back()
        nodes.advance(1)
        (state,) = take_states(alice)
        assert (state["username"], state["online"]) == ("dave", True)
        assert take_states(carol) == []
        bob.take_all()
        assert publish(bob, status="back") == take_states(carol)[0]
        assert dave.link.closed is None


def test_a_status_that_is_published_while_the_directory_is_away_is_told_later():
    with PresenceNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        subscribe(alice, "bob")
        nodes.hub.go_away()
        state = publish(bob, status="away")
        assert (state["status"], "doubt" in state) == ("away", True)
        assert take_states(alice) == []
        nodes.hub.come_back()
        nodes.advance(1)
        (state,) = take_states(alice)
        assert (state["online"], state["status"]) == (True, "away")


def test_a_directory_that_has_forgotten_everything_changes_no_state():
    with PresenceNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        subscribe(alice, "bob")
        publish(bob, status="away")
        (before,) = take_states(alice)
        nodes.hub.go_away()
        nodes.advance(5)
        nodes.hub.come_back(empty=True)
        nodes.advance(5)
        # A new time, at most; nobody is told to be offline.
        assert all({**state, "since": before["since"]} == before for state in take_states(alice))


def test_a_slow_watcher_is_told_the_latest_state_of_a_user_at_another_node():
    with PresenceNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        subscribe(alice, "bob")
        alice.link.refused.add("bob")
        for n in range(5):
            publish(bob, note=f"note {n}")
        assert take_states(alice) == []
        alice.link.refused.clear()
        nodes.advance(RETRY)
        assert [state["note"] for state in take_states(alice)] == ["note 4"]


# Watchers that move ---------------------------------------------------------------------


def watchers_at(nodes):
    """The number of subscriptions at each node."""
    return [
        sum(len(agent._watchers) for agent in site.services().values()) if site.core.is_alive else 0
        for site in nodes
    ]


@pytest.mark.parametrize("is_away", [False, True], ids=["taken over", "away"])
def test_subscriptions_move_with_a_watcher_there_and_back(is_away):
    with PresenceNodes(3, grace_period=5) as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        subscribe(alice, "bob")
        subscribe(alice, "carol")
        for n, status in [(2, "one"), (0, "two"), (2, "three"), (1, "four")]:
            if is_away:
                alice.drop()
            alice = nodes.connect(ALICE, n)
            nodes.run()
            assert watchers_at(nodes) == [2 if at == n else 0 for at in range(3)]
            assert take_states(alice) == []
            expected = publish(bob, status=status)
            assert take_states(alice) == [expected]
        assert alice.request("unsubscribe", "/presence/bob")["status"] == 200
        publish(bob, status="five")
        assert take_states(alice) == []
        nodes.connect(CAROL, 0)
        assert [state["username"] for state in take_states(alice)] == ["carol"]


@pytest.mark.parametrize("others", [[], [CAROL]], ids=["the first watcher", "the second"])
def test_a_watcher_is_told_at_its_new_node_what_has_changed_on_the_way(others):
    with PresenceNodes(3, grace_period=5) as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        for client in [alice, *(nodes.connect(name, 2) for name in others)]:
            subscribe(client, "bob")
        nodes.hub.delay(nodes.cores[0], nodes.cores[2], 0.5)
        changed = []
        nodes.hub.clock.on_wait.append(lambda: changed.append(publish(bob, status="away")))
        alice = nodes.connect(ALICE, 2)
        nodes.advance(1)
        assert take_states(alice) == changed


def test_a_state_that_a_slow_watcher_has_missed_is_told_at_its_new_node():
    with PresenceNodes(grace_period=5) as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        subscribe(alice, "bob")
        alice.link.refused.add("bob")
        expected = publish(bob, status="away")
        alice = nodes.connect(ALICE, 1)
        assert take_states(alice) == [expected]
        nodes.advance(RETRY)
        assert take_states(alice) == []


def test_a_watcher_whose_node_was_killed_is_a_new_peer_without_subscriptions():
    with PresenceNodes(grace_period=5) as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        subscribe(alice, "bob")
        nodes.kill(0)
        alice = nodes.connect(ALICE, 1)
        publish(bob, status="away")
        assert take_states(alice) == []
        assert watchers_at(nodes) == [0, 0]


def test_a_watcher_that_leaves_too_much_is_a_new_peer_without_subscriptions(monkeypatch):
    monkeypatch.setattr("protoo_flask.core.remote.estate_transfer.MAX_ESTATE", 100)
    with PresenceNodes(grace_period=5) as nodes:
        alice = nodes.connect(ALICE, 0)
        subscribe(alice, "bob")
        alice.drop()
        alice.peer.notify("note", {"text": "x" * 200})
        nodes.connect(ALICE, 1)
        assert watchers_at(nodes) == [0, 0]


@pytest.mark.parametrize("method", ["subscribe", "unsubscribe"])
def test_a_request_that_is_handled_where_the_watcher_was_counts_where_it_is(method):
    moves, refused = [], set()

    def allow(peer, username):
        # The watcher moves while the site is still deciding.
        while moves:
            moves.pop()()
        return username not in refused

    with PresenceNodes(3, allow=allow) as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        if method == "unsubscribe":
            # A refusal ends an earlier subscription.
            subscribe(alice, "bob")
            refused.add("bob")
        moves.append(lambda: nodes.connect(ALICE, 2))
        alice.start_request("subscribe", "/presence/bob")
        nodes.run()
        assert watchers_at(nodes) == [0, 0, 1 if method == "subscribe" else 0]
        alice = nodes.sites[2]["alice/a1"]
        alice.take_all()
        expected = publish(bob, status="away")
        assert take_states(alice) == ([expected] if method == "subscribe" else [])
