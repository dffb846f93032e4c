"""Locks are taken in the order that docs/architecture.md tells, so that no two threads block
each other for ever.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any, Callable

from benchmarks.figures.imports import PACKAGE
from benchmarks.frames import TEXT, client_frame, split_frames
from protoo_flask.core.events import SiteEvent
from protoo_flask.core.peers.directory import Identity
from protoo_flask.core.remote.cluster_directory import ClusterDirectory
from protoo_flask.middleware import p2p_messenger, presence, room_handler, session_handler
from protoo_flask.site.flask_framework import EVENTS
from protoo_flask.transport.attached_connection import AttachedConnection
from protoo_flask.transport.websocket.frames import FrameCodec

from .architecture_page import code, rows, section
from .core.remote.loopback import Loopback, LoopbackCluster
from .fakes import Core, FakeContext, FakeScheduler


class RecordedLock:
    """A lock that knows the file in which it was made, and records the locks around it."""

    held: list[RecordedLock] = []

    def __init__(self, file: str, nested: set[tuple[str, str]]) -> None:
        self.file = file
        self._nested = nested

    def __enter__(self) -> None:
        if self not in self.held:
            self._nested.update((outer.file, self.file) for outer in self.held)
        self.held.append(self)

    def __exit__(self, *error: Any) -> None:
        assert self.held.pop() is self


class RecordingScheduler(FakeScheduler):
    """Makes locks that record in which order they are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.nested: set[tuple[str, str]] = set()
        self.made: set[str] = set()
        self.spawned: list[tuple[Callable[..., Any], Any]] = []

    def lock(self) -> Any:
        maker = sys._getframe(1).f_code.co_filename
        file = Path(maker).resolve().relative_to(PACKAGE).as_posix()
        self.made.add(file)
        return RecordedLock(file, self.nested)

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        self.spawned.append((function, args))

    def settle(self) -> None:
        """Run the spawned functions as threads of their own would: without the caller's locks."""
        assert RecordedLock.held == []
        while self.spawned:
            function, args = self.spawned.pop(0)
            function(*args)


class RecordingCore(Core):
    scheduler_class = RecordingScheduler


class Wire:
    """A channel to the test itself."""

    buffers_input = False

    def __init__(self) -> None:
        self.sent = b""
        self.input: list[bytes] = []

    def batch_writes(self, corked: Any) -> bool:
        return False

    def watch(self, function: Any) -> None:
        pass

    def unwatch(self) -> None:
        pass

    def recv(self) -> bytes | None:
        return self.input.pop(0) if self.input else None

    def send(self, data: bytes) -> int:
        self.sent += bytes(data)
        return len(data)

    def shut_down_writing(self) -> None:
        pass

    def abort(self) -> None:
        self.input.append(b"")

    def close(self) -> None:
        pass


class WireClient:
    """A client behind a real connection."""

    def __init__(self, core: Core, username: str, uuid: str) -> None:
        core.router.freeze(core.routing_options)
        self.wire = Wire()
        self._scheduler = core.scheduler
        self._ids = itertools.count(1)
        self.connection = AttachedConnection(
            self.wire,
            core.scheduler,
            FrameCodec(65536),
            b"",
            connect=lambda link: core.application.connect(
                Identity(username, uuid), link, FakeContext(core.framework), link.open
            ),
            disconnect=lambda inbox, code: inbox.closed(code),
            silence=None,
            max_outbox=65536,
        )
        self.connection.serve()
        self._scheduler.settle()

    def ask(self, method: str, path: str) -> None:
        self.send({"method": method, "path": path, "id": next(self._ids), "data": {}})

    def send(self, message: dict[str, Any]) -> None:
        self.wire.input.append(client_frame(json.dumps(message).encode()))
        self.connection._take_turn()
        self._scheduler.settle()

    def take_all(self) -> list[dict[str, Any]]:
        frames, _ = split_frames(self.wire.sent)
        self.wire.sent = b""
        return [json.loads(frame.payload) for frame in frames if frame.opcode == TEXT]

    def answer_all(self, status: int) -> None:
        for message in self.take_all():
            if "id" in message and "method" in message:
                self.send({"status": status, "id": message["id"]})

    def end(self) -> None:
        """Break the connection, and let it see its end."""
        self.wire.abort()
        self.connection._take_turn()
        self._scheduler.settle()


class Site:
    """Stands for the Protoo, of which the features ask little."""

    def __init__(self, core: Core, services: dict[str, Any] | None = None) -> None:
        self._services: dict[str, Any] = {} if services is None else services
        self._listeners: list[tuple[str, Callable[[Any], Any]]] = []
        core.framework.on_event.append(self._tell)

    def add_service(self, name: str, service: Any) -> str:
        self._services[name] = service
        return name

    def on(self, event: str, function: Callable[[Any], Any]) -> None:
        self._listeners.append((EVENTS[event], function))

    def _tell(self, event: SiteEvent) -> None:
        for name, function in self._listeners:
            if name == event.name:
                function(event.subject)


def numbers_of_the_page() -> dict[str, int]:
    """Return ``{file in which a lock is made: its number}``."""
    table = [row for row in rows(section("## Greenlets, threads and locks")) if row[0].isdigit()]
    return {file: int(number) for number, _, cell, _ in table for file in code(cell)}


def test_locks_are_taken_in_the_order_of_the_page():
    numbers = numbers_of_the_page()
    core = RecordingCore(grace_period=5, detection_time=1, response_timeout=10, rate_limit="1000/s")
    scheduler, site = core.scheduler, Site(core)
    core.router.use("/presence", presence(site, lambda peer, username: True))
    core.router.use("/chat", room_handler(site))
    core.router.use("/calls", session_handler(site))
    core.router.use("/reports", p2p_messenger(core.owner, report="all"))
    core.router.use("/users", p2p_messenger(core.owner))

    alice = WireClient(core, "alice", "a1")
    bobs = [WireClient(core, "bob", f"b{number}") for number in (1, 2)]
    for client in (alice, *bobs):
        client.ask("subscribe", "/presence/bob")
        client.ask("session", "/chat/rooms/42")
        client.answer_all(200)
    for method, path in [
        ("message", "/users/bob/b1"),
        ("message", "/reports/bob/b1"),
        ("session", "/calls/bob"),
        ("message", "/users/bob/b1"),
    ]:
        alice.ask(method, path)
        bobs[0].answer_all(200)
        bobs[1].answer_all(486)
    alice.ask("message", "/users/bob/b1")
    newer = WireClient(core, "bob", "b1")
    newer.answer_all(200)
    core.application.disconnect("alice", None, 3001, "bye")
    for client in (*bobs, newer, alice):
        client.end()
    scheduler.advance(100)
    scheduler.settle()
    assert core.application.directory.find() == []

    local = {file for file in numbers if not file.startswith("core/remote/")}
    assert scheduler.made == local, "the table of docs/architecture.md has other files"
    assert ("core/peers/local_directory.py", "core/transactions/outbound.py") in scheduler.nested
    assert ("core/transactions/outbound.py", "transport/turns.py") in scheduler.nested
    assert ("transport/turns.py", "core/workload.py") in scheduler.nested
    wrong = {pair for pair in scheduler.nested if not numbers[pair[0]] < numbers[pair[1]]}
    assert wrong == set()


class RecordingNode(RecordingCore):
    """A node of a cluster: an application, its site and its connection to the others."""

    def __init__(self, loopback: Loopback, node: str) -> None:
        services: dict[str, Any] = {}

        def make_directory(runtime: Any, events: Any) -> ClusterDirectory:
            self.cluster = LoopbackCluster(loopback, node, check_no_lock, self.scheduler.spawn)
            return ClusterDirectory(
                runtime,
                events,
                self.cluster,
                describe_context=lambda context: b"{}",
                restore_context=lambda text: FakeContext(self.framework),
                services=services,
            )

        super().__init__(grace_period=5, make_directory=make_directory, rate_limit="1000/s")
        site = Site(self, services)
        self.router.use("/presence", presence(site, lambda peer, username: True))
        self.router.use("/chat", room_handler(site))
        self.router.use("/calls", session_handler(site))
        self.router.use("/reports", p2p_messenger(self.owner, report="all"))
        self.router.use("/users", p2p_messenger(self.owner))
        self.cluster.start(self.application.directory.host)


class Others:
    """What happens while a thread waits: the threads that were spawned, if there are any."""

    def __init__(self, schedulers: list[RecordingScheduler]) -> None:
        self._schedulers = schedulers

    def __bool__(self) -> bool:
        return any(scheduler.spawned for scheduler in self._schedulers)

    def pop(self, index: int) -> Callable[[], None]:
        check_no_lock()
        return next(found for found in self._schedulers if found.spawned).settle


def check_no_lock() -> None:
    assert RecordedLock.held == [], "something blocks, and a lock is held"


def test_locks_are_taken_in_that_order_in_a_cluster_and_none_is_held_where_it_blocks():
    numbers = numbers_of_the_page()
    loopback = Loopback()
    nodes = [RecordingNode(loopback, name) for name in "ab"]

    def settle() -> None:
        while any(node.scheduler.spawned for node in nodes):
            for node in nodes:
                node.scheduler.settle()

    for node in nodes:
        # Other threads go on while one waits.
        node.scheduler.on_wait = Others([node.scheduler for node in nodes])  # type: ignore[assignment]

    def answer_all(*clients: WireClient) -> None:
        settle()
        for client, status in zip(clients, (200, 486, 200)):
            client.answer_all(status)
            settle()

    alice = WireClient(nodes[0], "alice", "a1")
    bobs = [WireClient(nodes[index], "bob", f"b{index}") for index in (0, 1)]
    settle()
    [there] = nodes[0].application.directory.find("bob", "b1")
    there.on("offline", lambda peer: None)
    homes = nodes[0].application.directory.homes
    homes.watch("bob", print_nothing)
    homes.engage(there, "calls", "1")
    for client in (alice, *bobs):
        client.ask("subscribe", "/presence/bob")
        client.ask("session", "/chat/rooms/42")
        answer_all(client)
    for method, path in [
        ("message", "/users/bob/b1"),
        ("message", "/reports/bob"),
        ("session", "/calls/bob"),
        ("message", "/users/bob"),
    ]:
        alice.ask(method, path)
        answer_all(*bobs)
    newer = WireClient(nodes[0], "bob", "b1")
    answer_all(newer)
    bobs[1].end()
    settle()
    nodes[0].application.disconnect("alice", None, 3001, "bye")
    homes.unwatch("bob", print_nothing)
    homes.disengage(there, "calls", "1")
    for client in (alice, bobs[0], newer):
        client.end()
        settle()
    for node in nodes:
        node.scheduler.advance(200)
        settle()
        assert node.application.directory.find() == []

    made = set().union(*(node.scheduler.made for node in nodes))
    assert made == set(numbers), "the table of docs/architecture.md has other files"
    nested = set().union(*(node.scheduler.nested for node in nodes))
    wrong = {pair for pair in nested if not numbers[pair[0]] < numbers[pair[1]]}
    assert wrong == set()


def print_nothing(peers: Any) -> None:
    """Take note of the devices of a user."""
