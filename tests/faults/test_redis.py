"""A Redis that is emptied, away, hung or full, and a network between it and one worker."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.servers.clients import eventually

from .field import NODE_TIMEOUT, Responder, answers_of, ask, states

ONLINE = {
    "alice": ["online a1", "user_online"],
    "bob": ["online b1", "user_online"],
    "carol": ["online c1", "user_online"],
}


@pytest.fixture
def people(field):
    """Return alice and carol at one worker, bob at the other; alice watches bob."""
    clients = {
        "alice": field.a.connect("alice"),
        "carol": field.a.connect("carol"),
        "bob": field.b.connect("bob"),
    }
    assert clients["alice"].request("subscribe", "/presence/bob")["data"]["online"]
    yield clients
    for client in clients.values():
        client.close()


_numbers = itertools.count(1)


def talk(sender, receiver, username):
    """Send a message, which is answered. Messages whose senders wait no longer may come first."""
    text = f"message {next(_numbers)}"
    id = sender.start("message", f"/users/{username}", {"text": text})
    receiver.respond(receiver.find(lambda message: message.get("data") == {"text": text}), 200)
    assert answers_of(sender, [id]) == {id: 200}


def talk_when_possible(sender, receiver, username):
    """Send messages until one is answered: the others are refused with 503."""
    status = 503
    while status == 503:
        status = try_to_talk(sender, receiver, username)
    assert status == 200


def try_to_talk(sender, receiver, username):
    """Send a message, which is answered if it arrives; returns the status."""
    text = f"message {next(_numbers)}"
    id = sender.start("message", f"/users/{username}", {"text": text})
    answer = None
    while answer is None:
        request = receiver.poll(lambda message: message.get("data") == {"text": text})
        if request is not None:
            receiver.respond(request, 200)
        answer = sender.poll(lambda message: message.get("id") == id)
    return answer["status"]


def wait_until_whole(field, people):
    """Wait until each reaches the others."""
    for worker in field.workers:
        eventually(worker.peers, ["alice/a1", "bob/b1", "carol/c1"])
    talk_when_possible(people["alice"], people["bob"], "bob")
    talk_when_possible(people["bob"], people["carol"], "carol")


def check_that_nobody_was_told(field, people):
    for username, entries in ONLINE.items():
        assert field.journal(username) == entries
    # Nor was the watcher: she is told once that he goes, and then nothing.
    people["bob"].close()
    expect_offline(people["alice"], "bob")
    people["alice"].nothing_came()


def expect_offline(client, username):
    for state in states(client, username):
        if not state["online"]:
            return


def test_a_redis_that_is_started_again_empty_is_whole_again_and_nobody_is_told(field, people):
    talk(people["alice"], people["bob"], "bob")
    field.redis.stop()

    eventually(lambda: ask(people["alice"], "bob"), 503)
    talk(people["alice"], people["carol"], "carol")

    field.redis.start()
    wait_until_whole(field, people)
    check_that_nobody_was_told(field, people)


def test_a_request_that_nobody_has_answered_survives_an_emptied_redis(field, people):
    id = people["alice"].start("message", "/users/bob", {"text": "hi"})
    request = people["bob"].expect("message")
    field.redis.stop()
    eventually(lambda: ask(people["carol"], "bob"), 503)
    field.redis.start()
    for worker in field.workers:
        eventually(worker.peers, ["alice/a1", "bob/b1", "carol/c1"])

    people["bob"].respond(request, 200, "late")

    assert answers_of(people["alice"], [id])[id] in (200, 503)


def test_while_redis_is_away_new_connections_are_accepted_and_found_afterwards(field, people):
    field.redis.stop()
    eventually(lambda: ask(people["alice"], "bob"), 503)

    with field.a.connect("dave") as dave:
        talk(people["alice"], dave, "dave")
        assert ask(people["bob"], "dave") == 503  # nobody knows whether he is there

        field.redis.start()

        eventually(lambda: "dave/d1" in field.b.peers(), True)
        talk_when_possible(people["bob"], dave, "dave")
    eventually(
        lambda: field.journal("dave"), ["online d1", "user_online", "offline d1", "user_offline"]
    )
    check_that_nobody_was_told(field, people)


def test_a_peer_that_leaves_while_redis_is_away_is_gone_when_it_is_back(field, people):
    field.redis.stop()
    eventually(lambda: ask(people["alice"], "bob"), 503)
    people["bob"].close()

    field.redis.start()

    state = next(states(people["alice"], "bob"))
    assert not state["online"]
    for worker in field.workers:
        eventually(worker.peers, ["alice/a1", "carol/c1"])
    field.expect_journal("bob", *ONLINE["bob"], "offline b1", "user_offline")


def test_a_redis_that_hangs_takes_no_request_with_it(field, people):
    field.redis.pause()
    try:
        eventually(lambda: ask(people["alice"], "bob"), 503)
        talk(people["alice"], people["carol"], "carol")
    finally:
        field.redis.resume()
    wait_until_whole(field, people)


def test_a_full_redis_refuses_new_devices_and_nothing_else(field, people):
    field.redis.ask("CONFIG", "SET", "maxmemory", "1")

    answer = field.a.site.knock("?username=dave&uuid=d1")
    assert answer.status == 503
    talk(people["alice"], people["bob"], "bob")
    talk(people["bob"], people["carol"], "carol")
    assert field.a.peers() == field.b.peers() == ["alice/a1", "bob/b1", "carol/c1"]

    field.redis.ask("CONFIG", "SET", "maxmemory", "0")
    with field.a.connect("dave") as dave:
        talk(people["bob"], dave, "dave")
    check_that_nobody_was_told(field, people)


def test_a_worker_that_is_cut_off_from_redis_serves_its_own_peers_and_joins_again(field, people):
    with field.b.connect("dave") as dave:
        field.b.network.hold()

        assert not next(states(people["alice"], "bob"))["online"]
        eventually(lambda: ask(people["bob"], "alice"), 503)
        talk(people["bob"], dave, "dave")
        field.expect_journal("bob", *ONLINE["bob"], "offline b1", "user_offline")

        field.b.network.release()

        assert next(states(people["alice"], "bob"))["online"]
        eventually(lambda: len(field.a.peers()), 4)
        talk(people["alice"], people["bob"], "bob")
        talk(people["bob"], people["carol"], "carol")
    field.expect_journal("bob", *ONLINE["bob"], "offline b1", "user_offline", *ONLINE["bob"])
    for username in ("alice", "carol"):
        assert field.journal(username) == ONLINE[username]


def test_connections_to_redis_that_are_reset_are_opened_anew(field, people):
    for _ in range(3):
        field.b.network.reset()
        wait_until_whole(field, people)
    check_that_nobody_was_told(field, people)


def test_a_worker_that_reads_the_bus_too_slowly_is_told_that_it_has_missed_something(field, people):
    field.redis.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 65536 0 0")
    dave = Responder(lambda: field.b.connect("dave"))
    eventually(lambda: ask(people["carol"], "dave"), 200)
    ids = []
    field.b.stop()
    for n in range(400):
        # More than the buffers of the kernel, of the network and of Redis hold.
        people["carol"].notify("message", "/users/dave", {"text": 50_000 * "x"})
        if n % 10 == 0:
            ids.append(people["carol"].start("message", "/users/dave", {"text": str(n)}))
    echo = people["carol"].start("get", "/echo")
    people["carol"].find(lambda message: message.get("id") == echo)  # all are on their way
    field.b.go_on()

    answers = answers_of(people["carol"], ids)

    field.b.server.wait_for_output("connection to Redis .* is lost")
    assert set(answers.values()) <= {200, 503}
    assert 503 in answers.values()
    # No message is read twice, and what was answered with 200 has been read.
    assert len(set(dave.texts)) == len(dave.texts)
    assert {str(10 * n) for n, id in enumerate(ids) if answers[id] == 200} <= set(dave.texts)
    eventually(lambda: ask(people["alice"], "dave"), 200)
    dave.leave()


def test_the_clocks_of_hosts_need_not_agree(make_field):
    field = make_field(b={"TEST_CLOCK_OFFSET": "3600"})
    with field.a.connect("alice") as alice, field.b.connect("bob") as bob:
        at_a = alice.request("subscribe", "/presence/bob")["data"]
        at_b = bob.request("subscribe", "/presence/bob")["data"]
        assert at_a["since"] == at_b["since"]
        assert abs(at_a["since"] - time.time()) < 1800
        talk(alice, bob, "bob")
        # The later connection wins, on either clock.
        for worker in (field.a, field.b, field.a):
            with worker.connect("bob") as again:
                assert bob.wait_for_close()[0] == 3000
                bob = again
                talk(alice, again, "bob")
                break
        # Nobody is taken for dead.
        time.sleep(NODE_TIMEOUT)
        assert field.a.peers() == field.b.peers()
    field.finish()
