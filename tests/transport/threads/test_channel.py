"""A socket that a thread waits for; see also ``test_channel_contract``."""

from __future__ import annotations

import threading
from typing import Any, Iterator

import pytest

from protoo_flask.transport.threads.channel import ThreadChannel

from ..wire import PATIENCE
from ..worlds import connect_tcp


@pytest.fixture
def pair() -> Iterator[Any]:
    """A channel and the socket at its other end."""
    server, client = connect_tcp()
    client.settimeout(PATIENCE)
    with server, client:
        yield ThreadChannel(server), client


def test_the_socket_of_the_server_is_not_closed(pair):
    channel, client = pair
    channel.close()
    assert client.recv(1) == b""
    assert channel._sock.fileno() != -1


def test_a_socket_that_the_server_has_closed_is_at_its_end(pair):
    channel, _ = pair
    channel._sock.close()
    assert channel.recv() == b""
    channel.abort()
    writable = threading.Event()
    channel.when_writable(writable.set)
    assert writable.wait(PATIENCE)
