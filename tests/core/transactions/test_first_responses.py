"""The first provisional response is remembered with the answer, for a repetition of the request."""

from __future__ import annotations

import pytest

from protoo_flask.core.transactions import server as transactions
from protoo_flask.core.transactions.remembered_answers import MAX_REMEMBERED
from tests.core.transactions.test_server import RETURNS, Server
from tests.fakes import Core, FakeScheduler

PATH = (100, "connecting /1")
ANSWER = (200, "OK")
SIZE = 60_000


class GreenletScheduler(FakeScheduler):
    preempts = False


class GreenletCore(Core):
    scheduler_class = GreenletScheduler


@pytest.fixture(params=[Core, GreenletCore], ids=["threads", "greenlets"])
def server(request, monkeypatch):
    monkeypatch.setattr("tests.core.transactions.test_server.Core", request.param)
    return Server()


def begin(server, id=7):
    """Ask, and take the first response."""
    server.ask(id)
    server.handled[-1].reply(*PATH)
    assert server.answers == [PATH]
    return server.handled[-1]


def remembered(server):
    return server.client.peer.requests.answers


def counted(server):
    """The bytes that are remembered; checks that these are the bytes that are counted."""
    answers = remembered(server)
    assert answers.size == sum(len(answer.payload) + len(answer.first) for answer in answers)
    return answers.size


@pytest.mark.parametrize("come_again", RETURNS)
def test_a_repetition_gets_the_first_response_and_the_answer(server, come_again):
    request = begin(server)
    request.reply(180, "ringing")
    request.reply(*ANSWER)
    come_again(server)
    server.client.take_all()
    for _ in range(2):
        server.ask()
        assert server.answers == [PATH, ANSWER]
    assert len(server.handled) == 1


def test_an_answer_that_was_read_is_forgotten_with_its_first_response(server):
    request = begin(server)
    request.reply(*ANSWER)
    server.client.inbox.confirm(server.client.inbox.mark())
    assert counted(server) == 0


def test_without_a_grace_period_nothing_is_remembered():
    server = Server(grace_period=0)
    begin(server).reply(*ANSWER)
    assert server.answers == [ANSWER]
    assert remembered(server) is None


def fill(server, count, first=SIZE, final=10):
    for id in range(1, count + 1):
        server.ask(id)
        server.handled[-1].reply(100, "f" * first)
        server.handled[-1].reply(200, "a" * final)
        assert counted(server) <= MAX_REMEMBERED


def kept(server):
    return [(bool(answer.first), bool(answer.payload)) for answer in remembered(server)]


def test_of_too_many_texts_the_first_responses_are_forgotten_first(server):
    server.ask(100)
    server.handled[-1].reply(200, "old" + SIZE * "x")
    fill(server, 5)
    assert kept(server) == [(False, True), (False, True), (False, True)] + 3 * [(True, True)]
    server.ask(101)
    server.handled[-1].reply(200, 4 * SIZE * "x")
    assert kept(server) == [(False, False)] + 6 * [(False, True)]


@pytest.mark.parametrize("excess", [0, 1])
def test_the_bytes_at_the_limit_are_kept_and_one_more_is_not(server, excess):
    request = begin(server)
    first = len(request.repetition[0])
    request.reply(200)
    envelope = len('{"status":200,"reason":"","id":8,"data":{}}')
    rest = MAX_REMEMBERED - counted(server) - envelope + excess
    server.ask(8)
    server.handled[-1].reply(200, rest * "x")
    assert counted(server) == (MAX_REMEMBERED + 1 - first if excess else MAX_REMEMBERED)
    assert kept(server) == [(not excess, True), (False, True)]


def test_a_first_response_alone_that_is_too_large_is_not_remembered(server):
    server.ask()
    server.handled[0].reply(100, (transactions.MAX_REPETITIONS - 100) * "x")
    server.handled[0].reply(200, 200 * "y")
    assert kept(server) == [(False, True)]
    server.come_back()
    server.client.take_all()
    server.ask()
    assert [status for status, _ in server.answers] == [200]


def test_the_bytes_are_given_back_with_the_answers(server):
    fill(server, 3)
    server.client.inbox.confirm(b"2")
    assert kept(server) == [(True, True)]
    counted(server)
    server.ask(3)  # the id is free again
    assert counted(server) == 0
    server.handled[-1].reply(200)
    assert kept(server) == [(False, True)]
    counted(server)
