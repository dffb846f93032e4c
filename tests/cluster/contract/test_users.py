"""The contract of a cluster: watching users, and their presence."""

from __future__ import annotations

from protoo_flask.core.cluster.places import Presence, User


class Seen:
    """A watcher that writes down what it is told."""

    def __init__(self):
        self.users = []

    def note(self, user):
        self.users.append(user)

    @property
    def devices(self):
        """The devices of the user as told last; ``None``: nothing was told yet."""
        if not self.users:
            return None
        return sorted((place.uuid, place.online) for place in self.users[-1].places)

    @property
    def status(self):
        return self.users[-1].presence.status if self.users else None


# Watching -----------------------------------------------------------------------------


def test_a_watcher_is_told_soon_how_the_user_is(world, a, b):
    claim = a.claim()
    seen, nobody = Seen(), Seen()

    b.cluster.watch("alice", seen.note)
    b.cluster.watch("nobody", nobody.note)

    world.until(lambda: seen.users and nobody.users)
    assert [(place.node, place.token) for place in seen.users[0].places] == [(a.id, claim.token)]
    assert nobody.users == [User((), Presence())]


def test_a_watcher_is_told_after_each_change(world, a, b):
    seen = Seen()
    b.cluster.watch("alice", seen.note)
    world.until(lambda: seen.devices == [])

    claim = a.claim("alice", "a1")
    world.until(lambda: seen.devices == [("a1", True)])
    b.claim("alice", "a2")
    world.until(lambda: seen.devices == [("a1", True), ("a2", True)])
    a.cluster.mark("alice", "a1", claim.token, False)
    world.until(lambda: seen.devices == [("a1", False), ("a2", True)])
    a.release("alice", "a1", claim.token)
    world.until(lambda: seen.devices == [("a2", True)])
    assert seen.users[-1].places[0].node == b.id


def test_a_watcher_sees_a_takeover(world, a, b):
    a.claim()
    seen = Seen()
    a.cluster.watch("alice", seen.note)
    world.until(lambda: seen.users)

    claim = b.claim()

    world.until(lambda: seen.users[-1].places[0].token == claim.token)
    assert seen.users[-1].places[0].node == b.id


def test_the_latest_of_many_changes_is_never_left_out(world, a, b):
    seen = Seen()
    b.cluster.watch("alice", seen.note)
    claim = a.claim()
    for number in range(200):
        a.cluster.mark("alice", "a1", claim.token, number % 2 == 0, str(number).encode())

    world.until(lambda: seen.users and seen.users[-1].places and seen.users[-1].places[0].data)
    world.until(lambda: seen.users[-1].places[0].data == b"199")
    assert seen.devices == [("a1", False)]


def test_several_functions_may_watch_a_user_and_one_several_times(world, a, b):
    first, second = Seen(), Seen()
    b.cluster.watch("alice", first.note)
    b.cluster.watch("alice", first.note)
    b.cluster.watch("alice", second.note)
    world.until(lambda: first.users and second.users)

    b.cluster.unwatch("alice", first.note)
    a.claim()

    world.until(lambda: first.devices == second.devices == [("a1", True)])


def test_a_function_that_watches_no_more_is_not_called(world, a, b):
    seen, other = Seen(), Seen()
    b.cluster.watch("alice", seen.note)
    b.cluster.watch("alice", other.note)
    world.until(lambda: seen.users and other.users)

    b.cluster.unwatch("alice", seen.note)
    seen.users.clear()
    a.claim()

    world.until(lambda: other.devices == [("a1", True)])
    assert seen.users == []


def test_a_watcher_sees_the_places_of_a_dead_node_go(world, a, b):
    a.claim()
    seen = Seen()
    b.cluster.watch("alice", seen.note)
    world.until(lambda: seen.devices == [("a1", True)])

    world.kill(a)

    world.until(lambda: seen.devices == [])


def test_no_watcher_is_told_that_somebody_has_gone_when_the_directory_was_away(world, a, b):
    a.claim()
    seen = Seen()
    b.cluster.watch("alice", seen.note)
    world.until(lambda: seen.devices == [("a1", True)])

    world.go_away()
    world.until(lambda: a.cluster.status == b.cluster.status == "away")
    world.come_back(empty=True)
    world.until(lambda: a.cluster.status == b.cluster.status == "up")
    a.claim("alice", "a2")

    world.until(lambda: seen.devices == [("a1", True), ("a2", True)])
    assert all(user.places for user in seen.users)


# Presence -----------------------------------------------------------------------------


def test_a_user_that_was_never_seen_has_no_presence(a, b):
    assert a.cluster.get_presence("nobody") == User((), Presence(None, None, None))


def test_a_published_status_is_seen_by_others(world, a, b):
    a.claim()
    seen = Seen()
    b.cluster.watch("alice", seen.note)

    a.cluster.publish("alice", {"status": "away", "note": "ä, back at 5"})

    world.until(lambda: seen.status == "away")
    user = b.cluster.get_presence("alice")
    assert (user.presence.status, user.presence.note) == ("away", "ä, back at 5")
    assert len(user.places) == 1


def test_a_publication_changes_only_the_fields_that_it_names(world, a, b):
    a.claim()
    a.cluster.publish("alice", {"status": "away", "note": "lunch"})

    a.cluster.publish("alice", {"note": None})
    world.settle()

    presence = a.cluster.get_presence("alice").presence
    assert (presence.status, presence.note) == ("away", None)


def test_an_empty_status_is_not_the_same_as_none(world, a, b):
    a.claim()
    a.cluster.publish("alice", {"status": "", "note": ""})
    world.settle()

    presence = a.cluster.get_presence("alice").presence
    assert (presence.status, presence.note) == ("", "")


def test_nothing_is_published_of_a_user_who_is_offline(world, a, b):
    a.cluster.publish("alice", {"status": "away"})
    world.settle()

    assert b.cluster.get_presence("alice") == User((), Presence())


def test_since_tells_when_online_or_the_status_has_changed(world, a, b):
    a.claim("alice", "a1")
    began = b.cluster.get_presence("alice").presence.since
    assert began is not None

    world.let_pass(0.05)
    b.claim("alice", "a2")
    a.cluster.publish("alice", {"note": "hello"})
    world.settle()
    assert a.cluster.get_presence("alice").presence.since == began

    a.cluster.publish("alice", {"status": "away"})
    world.settle()
    changed = a.cluster.get_presence("alice").presence.since
    assert changed > began

    world.let_pass(0.05)
    a.cluster.publish("alice", {"status": "away"})
    world.settle()
    assert a.cluster.get_presence("alice").presence.since == changed


def test_nothing_stays_published_when_the_last_device_has_gone(world, a, b):
    claim = a.claim()
    a.cluster.publish("alice", {"status": "away", "note": "lunch"})
    world.settle()
    before = a.cluster.get_presence("alice").presence.since
    world.let_pass(0.05)

    outcomes = a.release("alice", "a1", claim.token)
    world.until(lambda: outcomes)

    world.until(lambda: b.cluster.get_presence("alice").places == ())
    presence = b.cluster.get_presence("alice").presence
    assert (presence.status, presence.note) == (None, None)
    assert presence.since > before


def test_what_was_published_stays_while_the_user_has_a_device_anywhere(world, a, b):
    claim = a.claim("alice", "a1")
    b.claim("alice", "a2")
    a.cluster.publish("alice", {"status": "away"})
    world.settle()

    outcomes = a.release("alice", "a1", claim.token)
    world.until(lambda: outcomes)

    assert b.cluster.get_presence("alice").presence.status == "away"


def test_a_status_survives_an_emptied_directory(world, a, b):
    a.claim()
    a.cluster.publish("alice", {"status": "away", "note": "lunch"})
    world.settle()

    world.go_away()
    world.until(lambda: a.cluster.status == b.cluster.status == "away")
    world.come_back(empty=True)
    world.until(lambda: a.cluster.status == b.cluster.status == "up")

    presence = b.cluster.get_presence("alice").presence
    assert (presence.status, presence.note) == ("away", "lunch")
