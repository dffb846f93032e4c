"""Servers and their client in one process, to run under callgrind for instructions.py.

    python -m benchmarks.in_process COUNT

The path of a request is the real one: the site under gevent's pywsgi, the handshake, a socket.
It uses public names only, except for one time limit. The client is as small as possible. Its
cost is known from the floor, which has the same client.
"""

from __future__ import annotations

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()  # before anything else is imported

import gc
import itertools
import os
import sys
from typing import Any, Callable

import gevent
from gevent.pywsgi import WSGIServer
from gevent.server import StreamServer

from protoo_flask.transport.greenlets import fast_write_batching

from . import wires
from .client import RECEIVE, Client
from .cookies import cookie_of
from .frames import client_frame, split_frames
from .kinds.relay import learn_messages
from .servers import gevent_floor, protoo_flask_site

HOST = "127.0.0.1"

#: Messages that are sent later than this in an iteration of the hub are written at once. On a
#: simulated processor all messages would be too late for the normal limit.
fast_write_batching.MAX_DELAY = 60.0
#: Work before the measurement, so that objects made only once and compiled code do not count.
WARM_UP = 100

#: A function that does something so many times.
Work = Callable[[int], None]


def requests_of(client: Client) -> Work:
    """Return a function that makes requests one after the other."""

    def work(count: int) -> None:
        send, receive = client.socket.sendall, client.socket.recv
        for frame, answer in itertools.islice(itertools.cycle(client.exchanges), count):
            send(frame)
            assert receive(RECEIVE) == answer

    return work


def messages_of(sender: Client, peer: Client) -> Work:
    """Return a function that sends messages and answers each of them."""
    wire = peer.wire
    assert isinstance(wire, wires.Protoo)
    write = requests_of(sender)

    def answer(count: int) -> None:
        for _ in range(count):
            [frame], _rest = split_frames(peer.socket.recv(RECEIVE))
            peer.socket.sendall(client_frame(wire.answer(frame.payload)))

    def work(count: int) -> None:
        answering = gevent.spawn(answer, count)
        write(count)
        answering.join()

    return work


def mark() -> None:
    """Call a function that nothing else calls; callgrind then writes its count."""
    os.getloadavg()


def port_of(server: Any) -> int:
    port: int = server.server_port
    return port


def main(count: int) -> None:
    floor = StreamServer((HOST, 0), gevent_floor.serve)
    site = WSGIServer((HOST, 0), protoo_flask_site.app, log=None)
    floor.start()
    site.start()

    def connect(username: str) -> Client:
        return Client(port_of(site), wires.Protoo(), username, cookie=cookie_of(username))

    to_floor = Client(port_of(floor), wires.Constant())
    to_site, sender, peer = connect("alice"), connect("bob"), connect("carol")
    for client in (to_floor, to_site):
        client.learn(16)
    learn_messages([sender], [peer], 16)
    for work in (requests_of(to_floor), requests_of(to_site), messages_of(sender, peer)):
        work(WARM_UP)
        # Garbage collections run at unpredictable times. Without them, equal work has equal counts.
        gc.collect()
        gc.disable()
        mark()
        work(count)
        mark()
        work(2 * count)
        mark()
        gc.enable()
    # Exit at once: an orderly shutdown is of no interest here, and slow under callgrind.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
