"""Jobs, commands and shells that reach the peers of two gunicorn workers, over a real Redis."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from websockets.exceptions import ConnectionClosed

from ..cluster.redis_servers import RedisServer
from .clients import Site, eventually
from .cluster_site import PREFIX, REQUESTS, THREADS, URL
from .processes import DEADLINE, ROOT, start

APP = "tests.servers.cluster_site:create_app"
COMMAND = ["-m", "gunicorn", "-k", "gevent", "-w", "2", "--bind", "127.0.0.1:0", f"{APP}()"]

#: A connection comes to either worker by chance: all of so many come to one of them once in a
#: million runs.
MAX_TRIES = 20

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked")


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def workers(redis_server):
    server = start("gunicorn -w 2", COMMAND, **{URL: redis_server.url})
    yield server
    server.stop()
    assert server.complaints() == []
    assert redis_server.left_keys() == []


@pytest.fixture
def site(workers):
    return Site(workers.port)


class Answering:
    """A client that answers each ping, and keeps all other messages."""

    def __init__(self, client):
        self.client = client
        self.pid = client.request("get", "/pid")["data"]["pid"]
        self.messages = []
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self):
        with contextlib.suppress(ConnectionClosed):
            for text in self.client.connection:
                message = json.loads(text)
                if message.get("method") == "ping":
                    self.client.respond(message, 200, "OK", **message["data"])
                else:
                    self.messages.append(message)

    def close(self):
        self.client.close()
        self._thread.join(DEADLINE)


@pytest.fixture
def pair(site):
    """Alice and Bob, connected to two different workers."""
    with contextlib.ExitStack() as stack:
        alice = Answering(site.connect("alice"))
        stack.callback(alice.close)
        # Both workers listen, and it may always be the same one that is faster.
        os.kill(alice.pid, signal.SIGSTOP)
        try:
            bob = Answering(site.connect("bob"))
        finally:
            os.kill(alice.pid, signal.SIGCONT)
        stack.callback(bob.close)
        assert bob.pid != alice.pid
        yield alice, bob


def environ(redis_server, **more):
    return {**os.environ, URL: redis_server.url, "FLASK_APP": APP, **more}


def run_job(redis_server, world, action, **more):
    """Run a job; return the facts that it has told."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.servers.cluster_site", world, action],
        cwd=ROOT,
        env=environ(redis_server, **more),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def flask(redis_server, *args, input=None):
    return subprocess.run(
        [sys.executable, "-m", "flask", *args],
        cwd=ROOT,
        env=environ(redis_server),
        input=input,
        capture_output=True,
        text=True,
        timeout=60,
    )


in_each_world = pytest.mark.parametrize("world", ["threads", "gevent"])


def test_a_view_of_one_worker_asks_a_peer_of_the_other(site, pair):
    for _ in range(MAX_TRIES):  # by chance, of either worker
        assert json.loads(site.http("GET", "/ask/bob").text) == {"status": [200]}
        found = json.loads(site.http("GET", "/peers").text)
        assert sorted(found) == ["alice", "bob"]
        assert sorted(found.values()) == [False, True]


@in_each_world
def test_a_job_pushes_to_a_user(redis_server, pair, world):
    assert run_job(redis_server, world, "push") == [{"reached": 1}]
    alice, bob = pair
    eventually(lambda: [message["data"] for message in bob.messages], [{"url": "/1"}])
    assert alice.messages == []


@in_each_world
def test_a_job_asks_a_user_and_gets_the_answer(redis_server, pair, world):
    assert run_job(redis_server, world, "ask") == [{"status": 200, "data": {"n": 1}}]


@in_each_world
def test_several_threads_of_a_job_ask_at_once(redis_server, pair, world):
    facts = run_job(redis_server, world, "ask_in_threads")
    assert facts == [{"statuses": [200], "count": THREADS * REQUESTS}]


@needs_fork
def test_a_forked_child_of_a_job_joins_by_itself_and_its_parent_goes_on(redis_server, pair):
    nodes = ("HKEYS", "protoo:{nodes}:beat")
    before = set(redis_server.ask(*nodes).split())
    answer = {"status": 200, "data": {"n": 1}}
    # Python 3.12 and newer warn of a fork beside threads, as it always was for libraries.
    facts = run_job(redis_server, "threads", "ask_in_child", PYTHONWARNINGS="ignore")
    assert facts == [answer, answer, {"child": 0}, answer]
    # A child that ends at once does not leave: the workers notice its death, and bury it.
    eventually(lambda: set(redis_server.ask(*nodes).split()) - before, set())


@in_each_world
def test_a_job_disconnects_a_user(redis_server, pair, world):
    assert run_job(redis_server, world, "disconnect") == [{"closed": 1}]
    _, bob = pair
    bob._thread.join(DEADLINE)
    assert bob.client.connection.close_code == 3001


def test_a_job_of_an_app_with_another_prefix_finds_nobody(redis_server, pair):
    assert run_job(redis_server, "threads", "push", **{PREFIX: "staging"}) == [{"reached": 0}]


def test_a_shell_finds_the_peers(redis_server, pair):
    shell = flask(
        redis_server,
        "shell",
        input="p = app.extensions['protoo'].protoo\n"
        "[(peer.username, peer.online) for peer in p.peers('bob')]\n"
        "p.peers('bob')[0].request('ping', {'n': 2}).data\n",
    )
    assert "[('bob', True)]" in shell.stdout
    assert "{'n': 2}" in shell.stdout


def test_the_commands_reach_the_peers(redis_server, pair):
    peers = flask(redis_server, "protoo", "peers")
    assert peers.stdout.endswith("2 devices of 2 users at 2 workers\n")
    answer = flask(redis_server, "protoo", "send", "bob", "ping", '{"n": 3}', "--request")
    assert answer.stdout == 'a1: 200 OK {"n": 3}\n'
    assert flask(redis_server, "protoo", "disconnect", "bob").stdout == "closed 1 connection\n"
    assert flask(redis_server, "protoo", "peers", "bob").stdout == "bob is offline\n"


def test_a_command_says_that_redis_cannot_be_reached(redis_server):
    away = RedisServerThatIsAway()
    for command in (["peers"], ["send", "bob", "news"], ["disconnect", "bob"]):
        done = flask(away, "protoo", *command)
        assert done.returncode == 1
        assert "Error: the cluster cannot be reached: Redis at redis://127.0.0.1:1/0" in done.stderr
        assert "Traceback" not in done.stderr


class RedisServerThatIsAway:
    """Nobody listens on this port."""

    url = "redis://127.0.0.1:1/0"


def test_a_user_whose_worker_is_killed_is_offline_for_all_and_can_come_back(site, pair):
    _, bob = pair
    os.kill(bob.pid, signal.SIGKILL)

    eventually(lambda: list(json.loads(site.http("GET", "/peers").text)), ["alice"])
    assert json.loads(site.http("GET", "/ask/alice").text) == {"status": [200]}
    back = Answering(site.connect("bob"))
    assert json.loads(site.http("GET", "/ask/bob").text) == {"status": [200]}
    back.close()
