"""Joins and leaves, or new states, in a loop: the slow reader stays."""

from __future__ import annotations

import contextlib
import json
import socket

import pytest

from .clients import TEXT, RawClient
from .processes import DEADLINE, start
from .test_feature_limits import COMMANDS, ask, get

#: Long names and notes make large notifications of small requests.
FACE = "\N{GRINNING FACE}"
ROOM = "/chat/rooms/" + FACE * 120

#: In all, 5 to 10 MB for each member: the buffers of the kernel, and several times an outbox.
ROUNDS, BATCH = 100, 50


@pytest.fixture
def server():
    server = start("pywsgi", COMMANDS["pywsgi"])
    yield server
    server.stop()
    assert server.complaints() == []


def connect(server, username, receive_buffer=None):
    sock = socket.socket()
    sock.settimeout(DEADLINE)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(("127.0.0.1", server.port))
    target = f"/protoo?username={username}&uuid=u"
    return RawClient(sock, target, Host=f"127.0.0.1:{server.port}")


def flood(client, requests):
    """Send pairs of requests again and again, and take the answers, each before the next batch."""
    texts = [
        json.dumps(
            {"method": method, "path": path, "id": id, "data": data}, ensure_ascii=False
        ).encode()
        for id, (method, path, data) in enumerate(requests, 1)
    ]
    for _ in range(ROUNDS):
        for _ in range(BATCH):
            for text in texts:
                client.send_frame(TEXT, text)
        answers = [client.read_message() for _ in range(BATCH * len(texts))]
        assert {answer["status"] for answer in answers} == {200}


def test_joins_and_leaves_in_a_loop_do_not_throw_a_slow_member_offline(server):
    with contextlib.ExitStack() as stack:
        slow = stack.enter_context(connect(server, "alice", receive_buffer=4096))
        mallory = stack.enter_context(connect(server, "mallory"))
        assert ask(slow, "session", ROOM, 1) == 200
        flood(mallory, [("session", ROOM, {}), ("end", ROOM, {})])
        assert json.loads(get(server, "/online/alice")) == ["u"]


def test_states_in_a_loop_do_not_throw_a_slow_watcher_offline(server):
    with contextlib.ExitStack() as stack:
        slow = stack.enter_context(connect(server, "alice", receive_buffer=4096))
        mallory = stack.enter_context(connect(server, "mallory"))
        assert ask(slow, "subscribe", "/presence/mallory", 1) == 200
        notes = [("publish", "/presence", {"note": FACE * n}) for n in (249, 250)]
        flood(mallory, notes)
        assert json.loads(get(server, "/online/alice")) == ["u"]
