"""The memory of answers to ids that a client uses again and again.

With a grace period, answers are remembered. An answer whose id is used anew on the same
connection is forgotten at once, with its text, wherever it stands among the others.
"""

from __future__ import annotations

import tracemalloc

from protoo_flask.core.routing.router import Router
from protoo_flask.core.transactions.remembered_answers import MAX_REMEMBERED

from ...fakes import Core


def handle(req, next):
    req.reply(200, "OK", {"text": "x" * req.data["size"]})


def make_client():
    return Core(Router().get("/text", handle), grace_period=30).connect()


def ask(client, id, size):
    text = f'{{"method": "get", "path": "/text", "id": {id}, "data": {{"size": {size}}}}}'
    client.inbox.receive(text.encode())
    client.link.payloads.clear()


def test_an_id_that_is_used_again_and_again_takes_the_memory_of_one_answer():
    client = make_client()
    ask(client, 1, 10)  # it stays the oldest answer
    ask(client, 2, 10_000)
    tracemalloc.start()
    try:
        for _ in range(1000):
            ask(client, 2, 10_000)
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 200_000  # before: 10 MB


def test_few_answers_without_a_use_are_kept_at_most():
    client = make_client()
    answers = client.inbox.peer.requests.answers
    ask(client, 1, 10)
    most = 0
    for _ in range(1000):
        ask(client, 2, 10)
        most = max(most, len(answers._with_text))
    assert most < 100
    assert len(answers) == 2


def test_the_others_keep_their_texts_and_their_order():
    client = make_client()
    answers = client.inbox.peer.requests.answers
    size = MAX_REMEMBERED // 10
    for id in (1, 2, 3):
        ask(client, id, size)
    for _ in range(300):
        ask(client, 4, 10)
    assert [bool(answers._answers[id].payload) for id in (1, 2, 3, 4)] == [True] * 4
    for id in range(5, 13):  # together with the first three, more than may be remembered
        ask(client, id, size)
    texts = {id: bool(answer.payload) for id, answer in answers._answers.items()}
    assert (texts[1], texts[2], texts[12]) == (False, False, True)
    kept = sum(len(answer.payload) for answer in answers)
    assert kept == answers.size <= MAX_REMEMBERED
