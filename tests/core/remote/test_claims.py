"""The claim of a device, before its link is let in."""

from __future__ import annotations

import pytest

from protoo_flask.core.arrivals import TurnedAway
from protoo_flask.core.errors import NotAdmitted, UsageError
from protoo_flask.core.peers.directory import Identity, NoPlace, NotClaimed, TooManyPeers
from tests.cluster.clock import HubEvent
from tests.cluster.nodes import BURIAL_TIME, Nodes
from tests.fakes import FakeContext, FakeLink


@pytest.fixture
def nodes():
    with Nodes(2, max_peers_per_user=2) as nodes:
        yield nodes


def test_a_user_has_the_same_number_of_devices_on_many_nodes(nodes):
    nodes[0].connect("bob", "b1")
    nodes[1].connect("bob", "b2")
    with pytest.raises(TooManyPeers) as caught:
        nodes[0].connect("bob", "b3")
    assert caught.value.status == 429
    with pytest.raises(NoPlace):
        nodes[0].application.directory.check_space(Identity("bob", "b3"))
    nodes[0].application.directory.check_space(Identity("bob", "b2"))
    assert len(nodes[0].peers("bob")) == 2


def test_a_directory_that_takes_no_claims_refuses_clients_with_503(nodes):
    nodes.hub.refuse_claims("it is full")
    with pytest.raises(NotAdmitted, match="no more connections are accepted for now") as caught:
        nodes[0].connect("bob", "b1")
    assert isinstance(caught.value, NotClaimed)
    assert caught.value.status == 503
    nodes.hub.take_claims()


def test_a_claim_that_is_not_used_is_released(nodes):
    [core, _] = nodes
    application = core.application
    arrival = application.runtime.arrivals.begin()
    claim = core.cluster.claim

    def claim_and_close(*args):
        outcome = claim(*args)
        application.runtime.arrivals.turn_away("bob", None, 3001, "bye")
        return outcome

    core.cluster.claim = claim_and_close
    core.router.freeze(core.routing_options)
    with pytest.raises(TurnedAway):
        application.connect(
            Identity("bob", "b1"), FakeLink(), FakeContext(core.framework), arrival=arrival
        )
    nodes.run()
    assert nodes[1].peers("bob") == []
    assert nodes.told == []


def test_a_handshake_that_is_turned_away_claims_nothing(nodes):
    [core, _] = nodes
    application = core.application
    arrival = application.runtime.arrivals.begin()
    application.disconnect("bob", None, 3001, "bye")
    core.cluster.claim = None  # not to be called
    with pytest.raises(TurnedAway):
        application.connect(
            Identity("bob", "b1"), FakeLink(), FakeContext(core.framework), arrival=arrival
        )


def test_disconnecting_a_user_turns_handshakes_at_other_nodes_away(nodes):
    application = nodes[1].application
    arrival = application.runtime.arrivals.begin()
    nodes[0].application.disconnect("bob", None, 3001, "bye")
    nodes.run()
    with pytest.raises(TurnedAway, match="bye"):
        application.connect(
            Identity("bob", "b1"), FakeLink(), FakeContext(nodes[1].framework), arrival=arrival
        )


def test_a_device_that_leaves_while_it_is_claimed_anew_comes_online_once_more(nodes):
    core = nodes[0]
    first = core.connect("bob", "b1")
    claim = core.cluster.claim

    def claim_and_leave(*args):
        core.cluster.claim = claim
        outcome = claim(*args)
        first.leave()
        return outcome

    core.cluster.claim = claim_and_leave
    second = core.connect("bob", "b1")
    nodes.run()
    assert second.peer is not first.peer
    assert [name for name, _ in core.told] == [
        *("peer_online", "user_online", "peer_offline", "user_offline"),
        *("peer_online", "user_online"),
    ]
    assert len(nodes[1].peers("bob")) == 1


def test_data_that_other_nodes_cannot_read_is_refused(nodes):
    for data, complaint in [(object(), "is JSON"), ({"x": "y" * 5000}, "at most 4096 bytes")]:
        with pytest.raises(UsageError, match=complaint):
            nodes[0].connect("bob", "b1", data)
        with pytest.raises(UsageError, match=complaint):
            nodes[0].application.directory.check_space(Identity("bob", "b1", data))


def test_new_data_of_a_peer_is_seen_at_other_nodes(nodes):
    bob = nodes[0].connect("bob", "b1", {"role": "user"})
    [seen] = nodes[1].peers("bob")
    nodes[0].application.directory.renew(bob.peer, {"role": "admin"})
    nodes.run()
    assert nodes[1].peers("bob") == [seen]
    assert seen.data == bob.peer.data == {"role": "admin"}


class Ended(BaseException):
    """An exception that ends a greenlet, as GreenletExit does."""


def raise_ended(*args):
    raise Ended


@pytest.mark.parametrize("is_online", [True, False], ids=["connected", "away"])
def test_a_handshake_that_ends_in_the_middle_leaves_no_peer_behind(monkeypatch, is_online):
    with Nodes(2, grace_period=10) as nodes:
        former, core = nodes
        first = former.connect("bob", "b1")
        if not is_online:
            first.drop()
        nodes.run()
        directory = core.application.directory
        with monkeypatch.context() as patch:
            patch.setattr(HubEvent, "wait", raise_ended)  # it waits for the estate
            with pytest.raises(Ended):
                core.connect("bob", "b1")
        nodes.advance(60)
        assert nodes[0].peers("bob") == nodes[1].peers("bob") == []
        assert directory.estates.tables["expected"] == {}
        events = [name for name, _ in nodes.told]
        assert [events.count(name) for name in ("peer_online", "peer_offline")] == [1, 1]


def test_a_claim_of_a_node_that_was_taken_for_dead_is_made_anew(nodes):
    core = nodes[0]
    claim = core.cluster.claim

    def claim_and_die(*args):
        core.cluster.claim = claim
        outcome = claim(*args)
        nodes.hub.cut(core.cluster)
        nodes.advance(BURIAL_TIME)
        nodes.hub.mend(core.cluster)
        nodes.run()
        return outcome

    core.cluster.claim = claim_and_die
    bob = core.connect("bob", "b1")
    nodes.run()
    assert [peer.uuid for peer in nodes[1].peers("bob")] == ["b1"]
    nodes[1].peers("bob")[0].notify("hello")
    assert bob.take()["method"] == "hello"


def test_releases_are_counted_in_one_step_with_those_of_other_threads(nodes):
    directory = nodes[0].application.directory

    class Guarded(dict):
        def __setitem__(self, key, value):
            assert directory._lock._is_owned()
            super().__setitem__(key, value)

        def __delitem__(self, key):
            assert directory._lock._is_owned()
            super().__delitem__(key)

    directory.releases.leaving = Guarded()
    nodes[0].connect("bob", "b1").leave()
    nodes.run()
    assert directory.releases.leaving == {}
