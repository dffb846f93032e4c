"""Workers in processes of their own, the Redis that joins them, and what can happen to them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.cluster.partition import Partition
from tests.cluster.redis_servers import RedisServer
from tests.servers.clients import Client, Site, eventually
from tests.servers.processes import DEADLINE, Server, run
from tests.servers.shared import SHARED

from .site import PLACE

#: Seconds, ``PROTOO_NODE_TIMEOUT``: deaths are waited for.
NODE_TIMEOUT = 3

COMMAND = ["-m", "gunicorn", "-k", "gevent", "--bind", "127.0.0.1:0", "--graceful-timeout", "5"]
COMMAND += ["--timeout", "120", PLACE + "()"]


class FieldClient(Client):
    """A client that may look for one message, and keeps those that come before it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._kept: list[dict[str, Any]] = []

    def receive(self) -> dict[str, Any]:
        return self._kept.pop(0) if self._kept else super().receive()

    def find(self, is_wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the next message that is wanted; the others are kept, in order."""
        passed: list[dict[str, Any]] = []
        while not is_wanted(message := self.receive()):
            passed.append(message)
        self._kept = passed + self._kept
        return message

    def poll(self, is_wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        """Return the next message that is wanted; ``None`` when it does not come soon."""
        for message in self._kept:
            if is_wanted(message):
                self._kept.remove(message)
                return message
        with contextlib.suppress(TimeoutError):
            while True:
                message = json.loads(self.connection.recv(0.1))
                if is_wanted(message):
                    return message
                self._kept.append(message)
        return None


class Worker:
    """A gunicorn with one worker, and a network of its own to Redis.

    :ivar pid: of the worker, not of gunicorn, which starts another one when it has ended.
    """

    def __init__(self, redis: RedisServer, folder: Path, **env: str) -> None:
        self.network = Partition(redis.port)
        url = f"redis://127.0.0.1:{self.network.port}/0"
        self.server: Server = run(
            "gunicorn",
            COMMAND,
            SITE_PROTOO_CLUSTER_URL=url,
            **{"SITE_PROTOO_NODE_TIMEOUT": str(NODE_TIMEOUT), SHARED: str(folder), **env},
        )

    def wait_until_it_serves(self) -> None:
        self.server.wait_until_it_listens()
        self.site = Site(self.server.port)
        self.pid = int(self.site.get("/pid"))

    def connect(self, username: str, uuid: str | None = None) -> FieldClient:
        """Connect a device; by default, the one that the user has."""
        uuid = f"{username[0]}1" if uuid is None else uuid
        return FieldClient(
            f"ws://{self.site.host}/protoo?username={username}&uuid={uuid}", compression=None
        )

    def peers(self) -> list[str]:
        found: list[str] = self.site.get("/peers")
        return found

    def tables(self) -> dict[str, int]:
        found: dict[str, int] = self.site.get("/tables")
        return found

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def terminate(self) -> None:
        """End it in good order, as systemd does; returns when it has ended."""
        self.server.process.send_signal(signal.SIGTERM)
        self.server.process.wait(DEADLINE)

    def reload(self) -> None:
        """Have gunicorn replace its worker."""
        self.server.process.send_signal(signal.SIGHUP)

    def wait_for_new_worker(self) -> None:
        """Wait until another process than before serves; it is :attr:`pid` then."""
        former = self.pid

        def find() -> bool:
            # The socket of gunicorn is open all the time; the worker that took a connection may
            # have been killed.
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.pid = int(self.site.get("/pid"))
            return self.pid != former

        eventually(find, True)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.go_on()
        self.server.stop()
        self.network.close()


class Field:
    """Two workers, which are one site.

    :ivar a: the worker of most of those who look on.
    :ivar b: the worker to which something happens.
    """

    def __init__(self, folder: Path, *, b: dict[str, str] | None = None, **env: str) -> None:
        self._stack = contextlib.ExitStack()
        self.redis = RedisServer(folder)
        self._stack.callback(self.redis.stop)
        self.workers: list[Worker] = []
        try:
            for more in ({}, b or {}):
                worker = Worker(self.redis, folder, **{**env, **more})
                self._stack.callback(worker.close)
                self.workers.append(worker)
            for worker in self.workers:
                worker.wait_until_it_serves()
        except BaseException:
            self._stack.close()
            raise
        self.a, self.b = self.workers

    def journal(self, username: str) -> list[str]:
        """Return what the site was told of a user, at all workers, in order."""
        found: list[str] = self.a.site.get(f"/journal/{username}")
        return found

    def expect_journal(self, username: str, *entries: str) -> None:
        eventually(lambda: self.journal(username), list(entries))

    def finish(self) -> None:
        """When all clients have gone, nothing is left in the workers, nor in Redis."""
        running = [worker for worker in self.workers if worker.server.process.poll() is None]
        for worker in running:
            eventually(worker.peers, [])
            eventually(worker.tables, {})
        for worker in running:
            assert worker.server.complaints() == []
            worker.terminate()
        eventually(self.redis.left_keys, [])

    def close(self) -> None:
        self._stack.close()


class Responder:
    """A device that answers every message with 200, in a thread.

    It follows docs/wire-protocol.md: when its connection ends, it connects again, and knows
    repeated messages.

    :param connect: returns a new client.
    :ivar closes: the codes of the ends of its connections.
    """

    def __init__(self, connect: Callable[[], FieldClient]) -> None:
        self._connect = connect
        self._client = connect()
        #: {id: text} of the messages, in order.
        self._seen: dict[int, str] = {}
        self._is_leaving = False
        self.closes: list[int | None] = []
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    @property
    def texts(self) -> list[str]:
        """The texts of the messages, each one once."""
        return list(self._seen.values())

    def _live(self) -> None:
        while True:
            with contextlib.suppress(ConnectionClosed):
                for text in self._client.connection:
                    self._take(json.loads(text))
            self.closes.append(self._client.connection.protocol.close_code)
            while not self._is_leaving:
                # The worker may be about to end.
                with contextlib.suppress(OSError, InvalidHandshake, EOFError):
                    self._client = self._connect()
                    break
            if self._is_leaving:
                return

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("method") == "message" and "id" in message:
            self._seen.setdefault(message["id"], message["data"]["text"])
            self._client.respond(message, 200, "read")

    def leave(self) -> None:
        self._is_leaving = True
        self._client.close()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()


def answers_of(client: FieldClient, ids: list[int]) -> dict[int, int]:
    """Read until each request has its final answer; returns ``{id: status}``.

    A second final answer fails the test. Other messages are kept.
    """
    found: dict[int, int] = {}
    while set(ids) - set(found):
        message = client.find(lambda message: message.get("status", 0) >= 200)
        assert message["id"] not in found, message
        found[message["id"]] = message["status"]
    return found


def ask(client: FieldClient, username: str, text: str = "hi") -> int:
    """Send a user a message, and return the status of the answer."""
    id = client.start("message", f"/users/{username}", {"text": text})
    return answers_of(client, [id])[id]


def states(client: FieldClient, username: str) -> Iterator[dict[str, Any]]:
    """Yield the states of a user that a watcher is told. Other messages are kept."""
    while True:
        data = client.find(lambda message: message.get("method") == "presence")["data"]
        assert data["username"] == username
        yield data
