"""A site with presence, and helpers that subscribe, publish and read the notifications."""

from __future__ import annotations

from protoo_flask.middleware import presence
from tests.features.sites import Site


def everybody(peer, username):
    """An ``allow`` that lets every peer watch every user."""
    return True


class PresenceSite(Site):
    """A site with presence at /presence; the time is that of the scheduler."""

    def __init__(self, allow=everybody, **options):
        super().__init__(allow=allow, **options)

    def mount(self, router, *, allow, **options):
        options.setdefault("now", self.core.scheduler.now)
        self.presence = presence(self, allow, **options)
        router.use("/presence", self.presence)

    def agent(self):
        """Return the one agent of the app."""
        (agent,) = self.services().values()
        return agent

    def sizes(self):
        """Return for each agent the numbers of subscriptions, watched users and watchers."""
        kept = []
        for agent in self.services().values():
            watchers = agent._watchers
            kept.append((len(watchers), len(watchers._peers), len(watchers._usernames)))
        return kept


def subscribe(client, username):
    """Subscribe; returns the state of the user."""
    answer = client.request("subscribe", f"/presence/{username}")
    assert answer["status"] == 200
    return answer["data"]


def publish(client, **fields):
    """Publish; returns the new state."""
    answer = client.request("publish", "/presence", fields)
    assert (answer["status"], answer["reason"]) == (200, "published")
    return answer["data"]


def take_states(client):
    """Take all messages, which must be notifications of presence; returns their states."""
    messages = client.take_all()
    assert [set(message) for message in messages] == [{"method", "data"}] * len(messages)
    assert {message["method"] for message in messages} <= {"presence"}
    return [message["data"] for message in messages]


def state_of(username, **fields):
    """Return the state of a user, offline unless the fields say otherwise."""
    state = {
        "username": username,
        "online": False,
        "devices": 0,
        "status": None,
        "note": None,
        "since": None,
    }
    assert set(fields) <= set(state)
    return {**state, **fields}


def bob_online(**fields):
    """Return the state of Bob with one device since the start of the test."""
    return state_of("bob", **{"online": True, "devices": 1, "since": 1000.0, **fields})
