"""A relayed message: sender, messenger, other peer, and its response back to the sender.

There are 64 senders, and each one writes to its own peer through ``p2p_messenger``. With
protoo-server 4 the relay is the few lines that it takes there.

Target: at most 2.2 times the cost of a routed request.
"""

from __future__ import annotations

from functools import partial
from typing import Mapping, Sequence

from ..catalogue import OURS, PROTOO_SERVER
from ..client import Client, Exchange, server_frame
from ..frames import client_frame
from ..load import run_closed_loop
from ..process import Server
from ..results import Key
from ..run import Run
from ..targets import ratio
from .kind import CPU, LATENCIES, Kind, WarmUp, latencies_in_ms


def run(run: Run) -> None:
    """Measure both servers in turn, each right after a plain request to compare with."""
    warm_up = WarmUp(run)
    with run.running(OURS, PROTOO_SERVER) as servers:
        run.alternate(
            "relay", {item.name: partial(measure, run, warm_up, item) for item in servers}
        )


def measure(run: Run, warm_up: WarmUp, server: Server) -> Mapping[str, float]:
    """Let the senders make requests for a while, and then write to their peers."""
    sizes = run.sizes
    with server.clients(sizes.connections, learn=sizes.exchanges) as senders:
        with server.clients(sizes.connections, prefix="peer") as peers:
            run_closed_loop(senders, warm_up.seconds(server))
            before = server.cpu_seconds()
            requests = run_closed_loop(senders, sizes.seconds)
            request_cpu = (server.cpu_seconds() - before) / len(requests)

            learn_messages(senders, peers, sizes.exchanges)
            run_closed_loop(senders, sizes.warm_up, peers)
            before = server.cpu_seconds()
            latencies = run_closed_loop(senders, sizes.seconds, peers)
            cpu = (server.cpu_seconds() - before) / len(latencies)
    return {
        "cpu": cpu * 1e6,
        "request cpu": request_cpu * 1e6,
        **latencies_in_ms(latencies, 50, 99),
    }


def learn_messages(senders: Sequence[Client], peers: Sequence[Client], count: int) -> None:
    """Let each sender write to its peer; check the answers and store them."""
    for sender, peer in zip(senders, peers):
        wire = sender.wire
        sender.exchanges = []
        for _ in range(count):
            id = sender.next_id()
            payload = wire.message(peer.username, peer.uuid, id)
            sender.socket.sendall(client_frame(payload))
            peer.socket.sendall(client_frame(wire.answer(peer.receive())))
            answer = sender.receive()
            wire.check_accepted(answer, id)
            sender.exchanges.append(Exchange(client_frame(payload), server_frame(answer)))


KIND = Kind(
    "relay",
    "a message relayed to another peer, and its answer back",
    run,
    (CPU, *LATENCIES),
    (
        ratio(
            "a relayed message, compared with a request",
            2.2,
            Key("relay", OURS, "cpu"),
            Key("relay", OURS, "request cpu"),
        ),
    ),
)
