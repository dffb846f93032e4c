"""Requests that a client repeats: answered again, and never handled twice."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import pytest

from protoo_flask.core.transactions.inquiry import fingerprint
from protoo_flask.core.transactions.remembered_answers import MAX_ANSWERS, MAX_REMEMBERED
from tests.fakes import Core

GRACE = 10
DETECTION = 50

MESSAGE = b'{"method":"put","path":"/orders","id":7,"data":{"n":1}}'


class Server:
    """A core with a handler that keeps the requests, and Alice's device."""

    def __init__(self, grace_period=GRACE, **options):
        self.core = Core(
            grace_period=grace_period, detection_time=DETECTION, response_timeout=None, **options
        )
        self.handled = []
        self.core.router.all("/", lambda req, next: self.handled.append(req))
        self.connect()

    def connect(self):
        self.client = self.core.connect("alice", "a1")

    def come_back(self):
        self.client.drop()
        self.connect()

    def ask(self, id=7, n=1):
        self.client.send({"method": "get", "path": "/", "id": id, "data": {"n": n}})

    @property
    def answers(self):
        return [(answer["status"], answer["reason"]) for answer in self.client.take_all()]


def take_over(server):
    server.connect()


def come_back(server):
    server.come_back()


def come_back_late(server):
    server.client.drop()
    server.core.scheduler.advance(GRACE - 1)
    server.connect()


RETURNS = [take_over, come_back, come_back_late]


@pytest.mark.parametrize("come_again", RETURNS)
def test_a_request_that_was_answered_is_answered_again(come_again):
    server = Server()
    server.ask()
    server.handled[0].reply(100, "working")
    server.handled[0].reply(200, "first")
    come_again(server)
    assert server.answers == []
    server.ask()
    server.ask()
    assert server.answers == [(100, "working"), (200, "first")] * 2
    assert len(server.handled) == 1


@pytest.mark.parametrize("come_again", RETURNS)
def test_a_request_in_progress_is_answered_once_when_its_answer_is_there(come_again):
    server = Server()
    server.ask()
    come_again(server)
    server.ask()
    server.ask()
    assert server.answers == []
    server.handled[0].reply(100, "working")
    server.handled[0].reply(200, "first")
    assert server.answers == [(100, "working"), (200, "first")]
    assert len(server.handled) == 1
    server.ask()
    assert server.answers == [(100, "working"), (200, "first")]


@pytest.mark.parametrize("come_again", RETURNS)
def test_a_repeated_request_hears_the_first_and_the_latest_provisional_response_again(come_again):
    server = Server()
    server.ask()
    server.handled[0].reply(100, "working")
    server.handled[0].reply(180, "ringing")
    server.handled[0].reply(182, "queued")
    come_again(server)
    server.ask()
    assert server.answers == [(100, "working"), (182, "queued")]
    server.handled[0].reply(200, "first")
    assert server.answers == [(200, "first")]


def test_an_answer_that_comes_while_the_client_is_away_waits_for_it():
    server = Server()
    server.ask()
    server.client.drop()
    server.handled[0].reply(180, "still working")
    server.handled[0].reply(200, "first")
    server.connect()
    assert server.answers == [(180, "still working"), (200, "first")]
    server.ask()
    assert server.answers == [(180, "still working"), (200, "first")]
    assert len(server.handled) == 1


def test_an_answer_that_was_taken_and_not_sent_comes_after_the_return():
    server = Server()
    server.ask()
    server.client.link.is_stuck = True
    server.handled[0].reply(200, "first")
    server.come_back()
    assert server.answers == [(200, "first")]


def test_an_answer_survives_several_returns():
    server = Server()
    server.ask()
    server.handled[0].reply(200, "first")
    for _ in range(3):
        server.come_back()
        server.ask()
        assert server.answers == [(200, "first")]
    assert len(server.handled) == 1


@pytest.mark.parametrize("come_again", RETURNS)
@pytest.mark.parametrize("is_answered", [True, False], ids=["answered", "in progress"])
def test_another_request_that_happens_to_have_the_same_id_is_another_request(
    come_again, is_answered
):
    server = Server()
    server.ask(n=1)
    if is_answered:
        server.handled[0].reply(200, "first")
    come_again(server)
    server.ask(n=2)
    assert [request.data["n"] for request in server.handled] == [1, 2]
    if not is_answered:
        server.handled[0].reply(100, "nobody hears this")
        server.handled[0].reply(200, "nor this")
        assert server.handled[0].ended
    server.handled[1].reply(200, "second")
    assert server.answers == [(200, "second")]


def test_on_the_same_connection_an_id_is_free_again_once_it_was_answered():
    server = Server()
    for number in range(3):
        server.ask()
        server.handled[number].reply(200, str(number))
    assert server.answers == [(200, "0"), (200, "1"), (200, "2")]


def test_on_the_same_connection_an_id_in_progress_is_a_violation_also_after_a_return():
    server = Server()
    server.come_back()
    server.ask()
    server.ask()
    assert server.answers == [(400, "id 7 is that of a request still in progress")]
    assert len(server.handled) == 1


def test_after_the_grace_period_a_client_that_came_back_asks_anew():
    server = Server()
    server.ask()
    server.handled[0].reply(200, "first")
    server.come_back()
    server.core.scheduler.advance(GRACE + 0.1)
    server.ask()
    assert len(server.handled) == 2


def test_an_answer_is_remembered_even_if_the_loss_of_the_connection_is_noticed_late():
    server = Server()
    server.ask()
    server.handled[0].reply(200, "first")
    server.core.scheduler.advance(DETECTION)
    server.client.drop()
    server.core.scheduler.advance(GRACE - 1)
    server.connect()
    server.ask()
    assert server.answers == [(200, "first")]


def test_a_peer_that_has_gone_offline_asks_anew():
    server = Server()
    server.ask()
    server.handled[0].reply(200, "first")
    server.client.drop()
    server.core.scheduler.advance(GRACE)
    server.connect()
    server.ask()
    assert len(server.handled) == 2


def test_without_a_grace_period_only_requests_in_progress_are_remembered():
    server = Server(grace_period=0)
    server.ask(7)
    server.ask(8)
    server.handled[0].reply(200, "first")
    server.connect()
    server.ask(7)
    server.ask(8)
    assert [request.id for request in server.handled] == [7, 8, 7]
    server.handled[1].reply(200, "second")
    assert server.answers == [(200, "second")]
    assert server.core.scheduler.pending_timers == 0


def test_a_request_that_was_dropped_before_it_was_handled_is_handled_when_it_is_repeated():
    server = Server()
    inbox = server.client.inbox
    inbox.peer.workload.take()  # another request is being handled, so this one waits
    inbox.receive(b'{"method":"get","path":"/","id":7,"data":{"n":1}}')
    inbox.drop()
    inbox._give_back()
    server.come_back()
    server.client.send_raw(b'{"method":"get","path":"/","id":7,"data":{"n":1}}')
    assert len(server.handled) == 1


def test_a_request_discarded_after_another_took_its_id_takes_nothing_with_it():
    server = Server()
    old_inbox = server.client.inbox
    old_inbox.peer.workload.take()  # another request is being handled, so this one waits
    old_inbox.receive(b'{"method":"get","path":"/","id":7}')
    server.come_back()
    server.ask(7)
    old_inbox.drop()
    old_inbox._give_back()
    server.handled[0].reply(200, "second")
    assert server.answers == [(200, "second")]


def test_a_notification_is_not_remembered():
    server = Server()
    server.client.notify("get", "/")
    server.come_back()
    server.client.notify("get", "/")
    assert len(server.handled) == 2


# Memory


def answer_many(server, numbers, size):
    for id in numbers:
        server.ask(id)
        server.handled[-1].reply(200, "x" * size)
        assert server.client.peer.requests.answers.size <= MAX_REMEMBERED


def test_the_size_of_answers_is_bounded_and_the_oldest_lose_their_text_first():
    server = Server()
    answer_many(server, range(1, 100), 10_000)
    server.come_back()
    server.client.take_all()
    for id in (1, 99, 50):
        server.ask(id)
    assert len(server.handled) == 99
    assert server.answers == [
        (409, "answered before; the answer is not kept any more"),
        (200, "x" * 10_000),
        (409, "answered before; the answer is not kept any more"),
    ]


def test_of_too_many_answers_the_oldest_are_forgotten():
    server = Server()
    answer_many(server, range(1, MAX_ANSWERS + 101), 1)
    answers = server.client.peer.requests.answers
    assert [answer.id for answer in answers] == list(range(101, MAX_ANSWERS + 101))
    assert len(answers._with_text) <= len(answers)


@pytest.mark.parametrize("size", [1, 1000])
def test_thousands_of_requests_may_be_repeated_and_none_is_done_twice(size):
    server = Server()
    count = 3000
    answer_many(server, range(1, count + 1), size)
    server.come_back()
    server.client.take_all()
    for id in range(1, count + 1):
        server.ask(id)
    assert len(server.handled) == count
    # Those that are not kept any more are the oldest.
    statuses = [status for status, _ in server.answers]
    assert statuses == sorted(statuses, reverse=True)
    assert (409 in statuses) is (size == 1000)


def test_a_peer_that_has_gone_remembers_no_answers():
    server = Server()
    server.ask()
    server.client.leave()
    server.handled[0].reply(200, "too late")
    assert server.client.peer.requests.answers is None


def test_the_last_answer_is_remembered_however_large_it_is():
    server = Server()
    server.ask()
    server.handled[0].reply(200, "x" * 2 * MAX_REMEMBERED)
    server.come_back()
    server.ask()
    assert len(server.answers) == len(server.handled) == 1


def test_a_size_is_given_back_with_its_answer():
    server = Server()
    for _ in range(3):
        server.ask()
        server.handled[-1].reply(200, "again")
    answers = server.client.peer.requests.answers
    (answer,) = answers
    assert answers.size == len(answer.payload)
    answers.forget(answer)
    answers.forget(answer)
    assert answers.size == 0


def test_an_answer_keeps_no_connection_alive():
    server = Server()
    server.ask()
    server.handled.pop().reply(200)
    link = weakref.ref(server.client.link)
    server.come_back()
    gc.collect()
    assert link() is None


# Fingerprints


def fingerprint_in_another_process(hash_seed):
    script = (
        "from protoo_flask.core.transactions.inquiry import fingerprint;"
        f"print(fingerprint({MESSAGE!r}), hash({MESSAGE!r}))"
    )
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    output = subprocess.run(
        [sys.executable, "-c", script], env=environ, check=True, capture_output=True, text=True
    ).stdout
    return [int(number) for number in output.split()]


def test_a_message_has_the_same_fingerprint_in_every_process():
    first, first_hash = fingerprint_in_another_process("1")
    second, second_hash = fingerprint_in_another_process("2")
    assert first == second == fingerprint(MESSAGE)
    assert first_hash != second_hash, "the processes do not differ"


def test_messages_that_differ_in_a_byte_have_other_fingerprints():
    found = {fingerprint(MESSAGE + bytes([number])) for number in range(256)}
    assert len(found | {fingerprint(MESSAGE)}) == 257
