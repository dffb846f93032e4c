"""An answer is remembered until its client has read it, and no longer."""

from __future__ import annotations

import threading

import pytest

from protoo_flask.core.transactions.remembered_answers import MAX_ANSWERS
from tests.core.transactions.test_server import DETECTION, GRACE, RETURNS, Server

#: Longer than the server has ever remembered an answer by the clock.
AGES = 100 * (DETECTION + GRACE)


def remembered(server):
    answers = server.client.peer.requests.answers
    return [] if answers is None else [answer.id for answer in answers]


def answer(server, *ids):
    for id in ids:
        server.ask(id)
        server.handled[-1].reply(200, f"answer {id}")


def ping(server):
    return server.client.inbox.mark()


def pong(server, payload):
    server.client.inbox.confirm(payload)


@pytest.mark.parametrize("come_again", RETURNS)
def test_an_answer_that_was_not_read_is_remembered_however_long_that_takes(come_again):
    server = Server()
    answer(server, 7)
    server.core.scheduler.advance(AGES)
    come_again(server)
    server.client.take_all()
    server.ask(7)
    assert len(server.handled) == 1
    assert server.answers == [(200, "answer 7")]


def test_an_answer_is_forgotten_with_the_pong_to_a_ping_behind_it():
    server = Server()
    answer(server, 1, 2)
    behind_two = ping(server)
    answer(server, 3)
    assert remembered(server) == [1, 2, 3]
    pong(server, behind_two)
    assert remembered(server) == [3]
    pong(server, ping(server))
    assert remembered(server) == []
    answers = server.client.peer.requests.answers
    assert answers.size == 0
    assert not answers._with_text


def test_a_ping_behind_nothing_has_no_payload():
    server = Server()
    assert ping(server) == b""
    server.ask(1)
    assert ping(server) == b""
    server.handled[0].reply(100, "working")
    assert ping(server) == b""
    server.handled[0].reply(200, "first")
    assert ping(server) == b"1"
    pong(server, b"1")
    assert ping(server) == b""


def test_without_a_grace_period_a_ping_never_has_a_payload():
    server = Server(grace_period=0)
    answer(server, 1)
    assert ping(server) == b""
    assert remembered(server) == []


def test_an_id_that_is_free_again_belongs_to_its_newest_answer():
    server = Server()
    answer(server, 1)
    behind_the_first = ping(server)
    answer(server, 1)
    pong(server, behind_the_first)
    assert remembered(server) == [1]
    pong(server, ping(server))
    assert remembered(server) == []


def test_after_a_return_pongs_confirm_nothing_while_requests_may_be_repeated():
    server = Server()
    answer(server, 1)
    server.come_back()
    server.core.scheduler.advance(GRACE)
    assert ping(server) == b""
    server.ask(1)
    assert len(server.handled) == 1
    server.core.scheduler.advance(0.1)
    assert ping(server) == b"1"


def test_an_answer_that_was_lost_twice_is_repeated_twice():
    server = Server()
    answer(server, 7)
    for _ in range(2):
        server.come_back()
        server.client.take_all()
        server.ask(7)
        assert server.answers == [(200, "answer 7")]
        server.core.scheduler.advance(GRACE + 1)
        ping(server)  # and its pong is lost, too
        server.core.scheduler.advance(AGES)
    assert len(server.handled) == 1


@pytest.mark.parametrize(
    "payload", [b"", b"x", b"-1", b"1.0", b"\xff", b"9" * 125, "\u0661".encode(), b"0", b" 1"]
)
def test_a_pong_that_answers_no_ping_confirms_nothing(payload):
    server = Server()
    answer(server, 1)
    pong(server, payload)
    assert remembered(server) == [1]


def test_a_forged_pong_harms_only_its_client():
    server = Server()
    other = server.core.connect("bob", "b1")
    other.start_request("get", "/")
    server.handled[-1].reply(200)
    answer(server, 1)
    pong(server, b"999999999")
    assert remembered(server) == []
    assert len(other.peer.requests.answers) == 1


def test_a_client_that_answers_no_ping_has_no_more_remembered_than_others():
    server = Server()
    for id in range(1, MAX_ANSWERS + 11):
        answer(server, id)
        ping(server)
    assert len(remembered(server)) == MAX_ANSWERS


def test_answers_are_forgotten_when_the_peer_goes():
    server = Server()
    answer(server, 1)
    peer = server.client.peer
    server.client.leave()
    assert peer.requests.answers is None
    assert server.core.scheduler.pending_timers == 0


# Without pings


def test_without_pings_an_answer_is_forgotten_after_some_time_if_it_has_arrived():
    server = Server(answers_time=60)
    answers = server.core.application.runtime.answers
    answer(server, 1)
    server.core.scheduler.advance(59)
    answer(server, 2)
    server.core.scheduler.advance(0.9)
    assert remembered(server) == [1, 2]
    server.core.scheduler.advance(0.1)
    assert remembered(server) == [2]
    server.core.scheduler.advance(60)
    assert remembered(server) == []
    assert len(answers) == server.core.scheduler.pending_timers == 0
    answer(server, 3)
    server.core.scheduler.advance(60)
    assert remembered(server) == []


def test_without_pings_an_answer_that_waits_for_a_slow_reader_is_remembered():
    server = Server(answers_time=60)
    server.client.link.is_stuck = True
    answer(server, 7)
    server.core.scheduler.advance(AGES)
    assert remembered(server) == [7]
    server.come_back()
    assert server.answers == [(200, "answer 7")]
    server.ask(7)
    assert len(server.handled) == 1
    server.core.scheduler.advance(120)
    assert remembered(server) == []


def test_without_pings_an_absent_client_finds_its_answer():
    server = Server(answers_time=60, grace_period=200)
    answer(server, 7)
    server.client.drop()
    server.core.scheduler.advance(150)
    server.connect()
    server.core.scheduler.advance(100)
    server.ask(7)
    assert len(server.handled) == 1


def test_without_pings_no_timer_keeps_a_peer_that_has_gone():
    server = Server(answers_time=60)
    answer(server, 1)
    server.client.leave()
    assert len(server.core.application.runtime.answers) == 0


# Threads


def test_a_ping_between_an_answer_and_its_sending_marks_nothing():
    server = Server()
    marks = []
    send = server.client.link.send

    def ping_and_send(payload, id=None):
        # As from the thread of the keep-alive; the lock of the fakes is re-entrant.
        marks.append(ping(server))
        return send(payload, id)

    server.client.link.send = ping_and_send
    answer(server, 7)
    assert marks == [b""]
    assert ping(server) == b"1"


def test_threads_that_answer_at_once_leave_marks_that_confirm_all():
    server = Server()
    for id in range(1, 201):
        server.ask(id)

    def reply(requests):
        for request in requests:
            request.reply(200)
            pong(server, ping(server))

    halves = server.handled[:100], server.handled[100:]
    threads = [threading.Thread(target=reply, args=(half,)) for half in halves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pong(server, ping(server))
    assert remembered(server) == []
    assert server.client.peer.requests.answers.size == 0
