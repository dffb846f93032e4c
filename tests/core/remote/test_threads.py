"""Peers of other nodes among threads."""

from __future__ import annotations

import json
import sys
import threading

import pytest

from protoo_flask.core.remote.cluster_directory import ClusterDirectory
from protoo_flask.core.remote.outbound import SharedRemoteOutbound
from protoo_flask.core.request import Request
from tests.fakes import Core, FakeContext, FakeLink

from .loopback import Loopback, LoopbackCluster

THREADS, REQUESTS = 4, 200


@pytest.fixture(autouse=True)
def switch_often():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


class Answering(FakeLink):
    """A client that answers each request at once, with the number in it."""

    def send(self, payload, id=None):
        message = json.loads(payload)
        if "id" in message and "method" in message:
            answer = {"status": 200, "id": message["id"], "data": message["data"]}
            self.inbox.receive(json.dumps(answer).encode())
        return True


def make_node(loopback, name, first):
    def make_directory(runtime, events):
        cluster = LoopbackCluster(loopback, name, lambda: None, lambda call, *args: call(*args))
        return ClusterDirectory(
            runtime,
            events,
            cluster,
            describe_context=lambda context: b"",
            restore_context=lambda text: FakeContext(core.framework),
        )

    core = Core(make_directory=make_directory, first_id=lambda: first)
    directory = core.application.directory
    directory.cluster.start(directory.host)
    return core


def test_each_request_of_many_threads_is_answered_once():
    loopback = Loopback()
    a, b = make_node(loopback, "a", 1), make_node(loopback, "b", 1_000_000)
    link = Answering()
    link.inbox = None
    client = b.connect("bob", "b1", link=link)
    link.inbox = client.inbox
    wrong = []

    def ask(thread):
        for number in range(REQUESTS):
            [bob] = a.application.directory.find("bob")
            found = []
            bob.send(Request("get", {"thread": thread, "number": number}), found.append)
            if [response.data for response in found] != [{"thread": thread, "number": number}]:
                wrong.append((thread, number, found))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    [bob] = a.application.directory.find("bob")
    assert isinstance(bob.outbound, SharedRemoteOutbound)
    for node in (a, b):
        assert {name: len(t) for name, t in node.application.directory.host.tables.items()} == {
            "asks": 0,
            "halves": 0,
            "visits": 0,
            "missed news": 0,
            "held": 0,
        }
    assert bob.outbound.unanswered.size == client.peer.outbound.unanswered.size == 0


def test_all_threads_find_the_same_peer():
    loopback = Loopback()
    a, b = make_node(loopback, "a", 1), make_node(loopback, "b", 1_000_000)
    b.connect("bob", "b1")
    found = []
    start = threading.Barrier(THREADS)

    def find():
        start.wait()
        found.extend(a.application.directory.find("bob"))

    threads = [threading.Thread(target=find) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == THREADS
    assert len(set(map(id, found))) == 1
