"""No event of a user overtakes an older one, at whatever nodes they happen."""

from __future__ import annotations

import random

import pytest

from protoo_flask.core.errors import NotAdmitted
from protoo_flask.core.remote.event_order import PATIENCE
from tests.cluster.nodes import BURIAL_TIME, Nodes

GRACE = 10


class SlowSite:
    """The listeners of all nodes: what they were told, and what happens while they have not ended.

    :ivar log: ``(node, event, device or user)``, in the order in which the listeners ended.
    :ivar overlaps: events that were told while another one of that device, or user, was.
    """

    def __init__(self, nodes: Nodes) -> None:
        self.log: list[tuple[str, str, str]] = []
        self.overlaps: list[tuple[str, str, str]] = []
        self._meanwhile: dict[tuple[str, str], list] = {}
        self._running: set[str] = set()
        #: Called in each listener.
        self.always = lambda: None
        for letter, core in zip("abc", nodes):
            core.framework.on_event.append(lambda event, letter=letter: self._hear(letter, event))

    def during(self, node, name, function):
        """Have something happen while the next listener of an event has not ended."""
        self._meanwhile.setdefault((node, name), []).append(function)

    def _hear(self, node, event):
        subject = event.subject
        what = getattr(subject, "uuid", subject)
        entry = (node, event.name, what)
        if what in self._running:
            self.overlaps.append(entry)
        self._running.add(what)
        for function in self._meanwhile.pop((node, event.name), ()):
            function()
        self.always()
        self._running.discard(what)
        self.log.append(entry)

    def take(self):
        log, self.log = self.log, []
        return log


@pytest.fixture
def nodes():
    with Nodes(3, grace_period=0) as nodes:
        yield nodes


@pytest.fixture
def site(nodes):
    return SlowSite(nodes)


OFFLINE = [("a", "peer_offline", "b1"), ("a", "user_offline", "bob")]


@pytest.mark.parametrize("event", ["peer_offline", "user_offline"])
def test_a_device_is_online_after_another_node_has_told_that_it_was_offline(nodes, site, event):
    bob = nodes[0].connect("bob", "b1")
    site.take()
    during = []

    def come_back():
        nodes[1].connect("bob", "b1")
        nodes.run()
        during.extend(site.log)
        assert [peer.uuid for peer in nodes[2].peers("bob")] == ["b1"]  # it is served meanwhile

    site.during("a", event, come_back)
    bob.leave()
    nodes.run()

    assert [entry for entry in during if entry[0] == "b"] == []
    assert site.take() == [*OFFLINE, ("b", "peer_online", "b1"), ("b", "user_online", "bob")]
    assert site.overlaps == []


def test_other_users_do_not_wait(nodes, site):
    bob = nodes[0].connect("bob", "b1")
    site.take()
    site.during("a", "peer_offline", lambda: nodes[1].connect("carol", "c1"))

    bob.leave()
    nodes.run()

    online = [("b", "peer_online", "c1"), ("b", "user_online", "carol")]
    assert site.take() == [*online, *OFFLINE]


def test_a_device_is_offline_after_another_node_has_told_that_it_was_online(nodes, site):
    """It has moved meanwhile."""

    def move_and_leave():
        again = nodes[1].connect("bob", "b1")
        again.leave()
        nodes.run()

    site.during("a", "peer_online", move_and_leave)
    nodes[0].connect("bob", "b1")
    nodes.run()

    assert site.take() == [
        ("a", "peer_online", "b1"),
        ("a", "user_online", "bob"),
        ("b", "peer_offline", "b1"),
        ("b", "user_offline", "bob"),
    ]
    assert site.overlaps == []


def test_events_of_three_nodes_follow_each_other(nodes, site):
    bob = nodes[0].connect("bob", "b1")
    site.take()

    def come_and_go():
        nodes[1].connect("bob", "b1").leave()
        nodes[2].connect("bob", "b1")
        nodes.run()

    site.during("a", "peer_offline", come_and_go)
    bob.leave()
    nodes.run()

    told = site.take()
    assert [entry[0] for entry in told] == ["a", "a", "b", "b", "b", "b", "c", "c"]
    assert site.overlaps == []


def test_a_device_that_is_back_elsewhere_is_told_so_after_it_was_away():
    with Nodes(2, grace_period=GRACE) as nodes:
        site = SlowSite(nodes)
        bob = nodes[0].connect("bob", "b1")
        site.take()

        def come_back():
            nodes[1].connect("bob", "b1")
            nodes.run()

        site.during("a", "peer_disconnect", come_back)
        bob.drop()
        nodes.run()

        assert site.take() == [("a", "peer_disconnect", "b1"), ("b", "peer_reconnect", "b1")]
        assert site.overlaps == []


def test_a_node_that_dies_as_it_tells_is_not_waited_for(nodes, site):
    bob = nodes[0].connect("bob", "b1")
    site.take()

    def die():
        nodes[1].connect("bob", "b1")
        nodes.run()
        assert site.log == []
        nodes.hub.kill(nodes[0])
        nodes.advance(BURIAL_TIME)
        assert site.take() == [("b", "peer_online", "b1"), ("b", "user_online", "bob")]

    site.during("a", "peer_offline", die)
    bob.leave()
    nodes.run()


def test_a_listener_that_hangs_is_not_waited_for_without_end(nodes, site):
    bob = nodes[0].connect("bob", "b1")
    site.take()

    def hang():
        nodes[1].connect("bob", "b1")
        nodes.advance(PATIENCE - 1)
        assert site.log == []
        nodes.advance(1)
        assert site.log == [("b", "peer_online", "b1"), ("b", "user_online", "bob")]

    site.during("a", "peer_offline", hang)
    bob.leave()
    nodes.run()


def test_a_lost_answer_is_asked_for_again(nodes, site):
    bob = nodes[0].connect("bob", "b1")
    site.take()
    lossy = nodes.hub.lose_items(nodes[0], nodes[1])

    def come_back():
        nodes[1].connect("bob", "b1")
        lossy.__enter__()

    site.during("a", "peer_offline", come_back)
    bob.leave()
    nodes.run()
    assert site.take() == OFFLINE

    lossy.__exit__(None, None, None)
    nodes[0].peers("bob")[0].notify("anything")
    nodes.advance(2)

    assert site.take() == [("b", "peer_online", "b1"), ("b", "user_online", "bob")]


def test_events_keep_their_order_when_the_directory_is_emptied_meanwhile(nodes, site):
    bob = nodes[0].connect("bob", "b1")
    site.take()

    def come_back():
        nodes.hub.go_away()
        nodes.hub.come_back(empty=True)
        nodes.advance(2)
        nodes[1].connect("bob", "b1")
        nodes.run()
        assert site.log == []

    site.during("a", "peer_offline", come_back)
    bob.leave()
    nodes.run()

    assert site.take() == [*OFFLINE, ("b", "peer_online", "b1"), ("b", "user_online", "bob")]


def test_a_peer_of_a_dead_node_is_online_after_others_have_told_that_it_was_offline(nodes, site):
    nodes[0].connect("bob", "b1")
    site.take()
    nodes.hub.kill(nodes[0])

    def come_back():
        for other in (1, 2):
            nodes[other].connect("bob", "b1")
        nodes.run()

    for letter in "bc":
        site.during(letter, "peer_offline", come_back)
    nodes.advance(BURIAL_TIME)

    told = [entry[1:] for entry in site.take()]
    assert told[:3] == [
        ("peer_offline", "b1"),
        ("user_offline", "bob"),
        ("peer_online", "b1"),
    ]
    assert site.overlaps == []


def test_a_claim_that_nobody_uses_holds_nobody_up(nodes, site):
    nodes[0].connect("bob", "b1").leave()
    site.take()
    for number in range(16):
        nodes[1].connect("bob", f"b{number}")
    with pytest.raises(NotAdmitted):
        nodes[1].connect("bob", "one too many")
    nodes.run()
    assert len(site.take()) == 17
    assert site.overlaps == []


@pytest.mark.parametrize("grace", [0, GRACE])
@pytest.mark.parametrize("seed", range(30))
def test_events_come_in_turn_whatever_happens_while_they_are_told(seed, grace):
    rnd = random.Random(seed)
    with Nodes(3, grace_period=grace) as nodes:
        site = SlowSite(nodes)
        clients = []
        depth = 0

        def act():
            kind = rnd.choice(["connect", "connect", "connect", "leave", "drop", "advance"])
            if kind == "connect":
                core, uuid = nodes[rnd.randrange(3)], rnd.choice(["b1", "b2"])
                # A handshake goes on only when those that began after it are done.
                if not core.application.directory.is_arriving("bob", uuid):
                    clients.append(core.connect("bob", uuid))
            elif kind == "advance":
                nodes.advance(rnd.choice([0.1, GRACE / 3]))
            elif clients:
                client = clients.pop(rnd.randrange(len(clients)))
                if client.link.closed is None:
                    client.leave() if kind == "leave" else client.drop()

        def act_meanwhile():
            nonlocal depth
            if depth < 4 and rnd.random() < 0.6:
                depth += 1
                for _ in range(rnd.randint(1, 3)):
                    act()
                depth -= 1

        site.always = act_meanwhile
        for _ in range(30):
            act()
        site.always = lambda: None
        nodes.finish()

        assert site.overlaps == []
        check_turns(site.log)


def check_turns(log):
    """Check that "online" and "offline" come in turn, for each device and for the user."""
    online = set()
    for _, name, what in log:
        if name.endswith("_online"):
            assert what not in online, log
            online.add(what)
        elif name.endswith("_offline"):
            assert what in online, log
            online.remove(what)
    assert not online
