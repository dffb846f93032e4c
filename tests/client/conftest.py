"""A site for the clients, and clients that end with their test."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from typing import Any, Callable, Iterator

import pytest

from protoo_flask.client import Client
from tests.browser.proxy import Proxy
from tests.servers.processes import Server, start

from .scripted_server import DEADLINE

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def clients_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the clients of a test that fails: the next test must not find their threads."""
    clients: list[Client] = []
    init = Client.__init__

    def remember(self: Client, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        clients.append(self)

    monkeypatch.setattr(Client, "__init__", remember)
    yield
    for client in clients:
        client.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = start("site of clients", ["-m", "tests.client.site", "0"], GRACE_PERIOD="30")
    yield server
    server.stop()
    assert server.complaints() == []


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    proxy = Proxy(server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def alice() -> str:
    """Return a username that no other test uses: they share the server."""
    return f"alice-{next(_numbers)}"


@pytest.fixture
def make_client(server: Server, alice: str) -> Iterator[Callable[..., Client]]:
    """Return a function that makes a client; it is closed after the test."""
    with contextlib.ExitStack() as stack:

        def make_client(query: str = "", port: int = 0, **options: Any) -> Client:
            user = "" if "user=" in query else f"&user={alice}"
            url = f"ws://127.0.0.1:{port or server.port}/protoo?{query}{user}"
            options.setdefault("reconnect", (0.01, 0.1))
            client = Client(url, **options)
            stack.callback(client.close)
            return client

        yield make_client


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    return make_client().connect(DEADLINE)


class Events:
    """What a client tells, in order."""

    def __init__(self, client: Client, *names: str) -> None:
        self._queue: queue.Queue[tuple[str, Any]] = queue.Queue()
        for name in names:
            client.on(name, self._listener(name))

    def _listener(self, name: str) -> Callable[..., None]:
        if name == "open":
            return lambda: self._queue.put((name, None))
        return lambda subject: self._queue.put((name, subject))

    def next(self, name: str) -> Any:
        """Return the subject of the next event, which has this name."""
        found, subject = self._queue.get(timeout=DEADLINE)
        assert found == name, (found, subject)
        return subject

    @property
    def is_empty(self) -> bool:
        return self._queue.empty()


def in_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """Run a function in a thread; returns one that waits for its result."""
    results: queue.Queue[Any] = queue.Queue()

    def run() -> None:
        try:
            results.put((function(), None))
        except BaseException as error:  # noqa: BLE001
            results.put((None, error))

    threading.Thread(target=run, daemon=True).start()

    def join() -> Any:
        result, error = results.get(timeout=DEADLINE)
        if error is not None:
            raise error
        return result

    return join
