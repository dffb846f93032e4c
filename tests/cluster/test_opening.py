"""The opening of a connection: to real servers, and to those that are none."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Iterator

import gevent
import gevent.event
import pytest

from protoo_flask.cluster import opening
from protoo_flask.cluster.opening import CannotOpen, RedisAddress, open_connection
from protoo_flask.core.errors import UsageError
from tests.transport.wire import PATIENCE
from tests.transport.worlds import Greenlets

from .redis_servers import RedisServer, find_program
from .tls import make_certificate, start_tls_server


class Opened:
    """Opens connections, and closes them in the end."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._connections: list[Any] = []
        self._ends = world.make_queue()

    def __call__(self, url: str) -> Any:
        address = RedisAddress(url)
        connection = open_connection(address, self._world.loop, lambda push: None, self._ends.put)
        self._connections.append(connection)
        return connection

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
            self._ends.get(timeout=PATIENCE)


@pytest.fixture
def open_url(world: Any) -> Iterator[Opened]:
    opened = Opened(world)
    yield opened
    opened.close()


@contextlib.contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """Something that listens, and is not Redis; yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                with sock, contextlib.suppress(OSError):
                    sock.recv(1000)
                    sock.sendall(reply)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(PATIENCE)


def test_tcp(open_url, redis_server):
    assert open_url(redis_server.url).call("ECHO", "hello") == b"hello"


def test_a_unix_socket(open_url, redis_server):
    assert open_url(f"unix://{redis_server.unix_socket}").call("PING") == b"PONG"


def test_a_database_of_its_own(open_url, redis_server):
    open_url(f"redis://127.0.0.1:{redis_server.port}/3").call("SET", "key", 1)
    assert redis_server.ask("GET", "key", database=3) == "1"


def test_a_user_with_a_password(open_url, redis_server):
    redis_server.ask("ACL", "SETUSER", "site", "on", ">se@cret", "~*", "&*", "+@all")
    url = f"redis://site:se%40cret@127.0.0.1:{redis_server.port}"
    assert open_url(url).call("ACL", "WHOAMI") == b"site"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_server(tmp_path: Path, certificate: Path) -> Iterator[RedisServer]:
    server = start_tls_server(tmp_path, certificate)
    yield server
    server.stop()


def test_tls(open_url, tls_server):
    connection = open_url(tls_server.url)
    assert connection.call("SET", "key", b"x" * 3_000_000) == b"OK"
    assert len(connection.call("GET", "key")) == 3_000_000


def test_tls_with_a_certificate_that_nobody_trusts(open_url, tls_server):
    with pytest.raises(CannotOpen, match=r"TLS with Redis at rediss://127\S+ has failed"):
        open_url(tls_server.url.partition("?")[0])


def test_tls_with_a_server_that_has_none(open_url, redis_server, monkeypatch):
    monkeypatch.setitem(opening._OPTIONS, "socket_timeout", 0.1)
    with pytest.raises(CannotOpen, match="does it speak TLS"):
        open_url(f"rediss://127.0.0.1:{redis_server.port}")


#: A process that gevent has patched. A ticker shows that the hub goes on, while a server says
#: nothing; then a connection is used.
PATCHED = """
from gevent import monkey
monkey.patch_all()
import socket, sys, time
import gevent
from protoo_flask.cluster import opening
from protoo_flask.cluster.opening import CannotOpen, RedisAddress, open_connection
from protoo_flask.transport.greenlets.loop import GreenletLoop

ticks = []
def tick():
    while True:
        ticks.append(time.monotonic())
        gevent.sleep(0)  # once in each iteration of the hub

ticker = gevent.spawn(tick)
ends = []
with socket.create_server(("127.0.0.1", 0)) as listener:
    silent = RedisAddress(f"redis://127.0.0.1:{listener.getsockname()[1]}")
    opening._OPTIONS["socket_timeout"] = 0.2
    try:
        open_connection(silent, GreenletLoop(), print, ends.append)
    except CannotOpen:
        assert len(ticks) > 1, "the hub was blocked"
ticker.kill()
opening._OPTIONS["socket_timeout"] = opening.OPEN_TIME
connection = open_connection(RedisAddress(sys.argv[1]), GreenletLoop(), print, ends.append)
assert connection.call("SET", "key", "x" * 3_000_000) == b"OK"
assert len(connection.call("GET", "key")) == 3_000_000
connection.close()
while not ends:
    gevent.sleep(0.001)
"""


@pytest.mark.parametrize("server", ["redis_server", "tls_server"])
def test_a_process_that_gevent_has_patched(request, server):
    url = request.getfixturevalue(server).url
    command = [sys.executable, "-W", "error", "-c", PATCHED, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("world", [Greenlets], indirect=True)
def test_the_hub_goes_on_while_a_server_says_nothing(world, monkeypatch):
    monkeypatch.setitem(opening._OPTIONS, "socket_timeout", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = RedisAddress(f"redis://127.0.0.1:{listener.getsockname()[1]}")
        has_failed = gevent.event.Event()

        def open_it() -> None:
            with pytest.raises(CannotOpen):
                open_connection(address, world.loop, print, print)
            has_failed.set()

        gevent.spawn(open_it)
        ticks = 0
        while not has_failed.is_set():
            gevent.sleep(0.001)
            ticks += 1
        assert ticks > 10


@pytest.fixture
def sentinel(tmp_path: Path, redis_server: RedisServer) -> Iterator[RedisServer]:
    folder = tmp_path / "sentinel"
    folder.mkdir()
    config = folder / "sentinel.conf"
    config.write_text(f"sentinel monitor my-site 127.0.0.1 {redis_server.port} 1\n")
    sentinel = RedisServer(folder, program=[find_program(), str(config), "--sentinel"])
    yield sentinel
    sentinel.stop()


def test_a_master_that_a_sentinel_knows(open_url, sentinel, redis_server):
    url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/my-site"
    open_url(f"{url}?db=2").call("SET", "key", 1)
    assert redis_server.ask("GET", "key", database=2) == "1"


def test_a_master_that_no_sentinel_knows(open_url, sentinel):
    with pytest.raises(CannotOpen, match="know no master 'another'"):
        open_url(f"redis+sentinel://127.0.0.1:{sentinel.port}/another")


def test_nobody_listens(open_url):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(CannotOpen, match=r"Redis at redis://127\S+ cannot be reached"):
            open_url(url)


def test_a_wrong_password_is_not_shown(open_url, redis_server):
    redis_server.ask("ACL", "SETUSER", "site", "on", ">secret", "~*", "&*", "+@all")
    with pytest.raises(CannotOpen, match="refuses the login of user 'site'") as raised:
        open_url(f"redis://site:s3cret@127.0.0.1:{redis_server.port}")
    assert "s3cret" not in str(raised.value)


def test_no_password_where_one_is_needed(open_url, redis_server):
    redis_server.ask("CONFIG", "SET", "requirepass", "secret")
    with pytest.raises(CannotOpen, match="wants a password: redis://:password@host"):
        open_url(redis_server.url)


def test_a_server_that_is_not_redis(open_url):
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url:
        with pytest.raises(CannotOpen, match="something that is not Redis"):
            open_url(url)


def test_a_server_that_says_nothing(open_url, monkeypatch):
    monkeypatch.setitem(opening._OPTIONS, "socket_timeout", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(CannotOpen, match="has not answered within"):
            open_url(f"redis://127.0.0.1:{listener.getsockname()[1]}")


def test_a_redis_without_resp3(open_url):
    with answering(b"-ERR unknown command `HELLO`, with args beginning with: `3`\r\n") as url:
        with pytest.raises(CannotOpen, match=r"too old: the cluster needs Redis 6\.2 or newer"):
            open_url(url)


def test_a_redis_that_is_a_little_too_old(open_url, redis_server, monkeypatch):
    monkeypatch.setattr(opening, "MIN_VERSION", (99, 0))
    with pytest.raises(CannotOpen, match=r"too old, version \d+\.\d+"):
        open_url(redis_server.url)


def test_a_server_in_cluster_mode(open_url, tmp_path):
    server = RedisServer(tmp_path, "--cluster-enabled", "yes")
    try:
        with pytest.raises(CannotOpen, match="runs in cluster mode"):
            open_url(server.url)
    finally:
        server.stop()


def test_a_sentinel_in_place_of_redis(open_url, sentinel):
    with pytest.raises(CannotOpen, match="there is a Sentinel"):
        open_url(f"redis://127.0.0.1:{sentinel.port}")


def test_a_proxy_that_speaks_the_old_protocol_only(open_url):
    with answering(b"-NOPROTO unsupported protocol version\r\n") as url:
        with pytest.raises(CannotOpen, match="a proxy before it that does not speak RESP3"):
            open_url(url)


def test_a_replica(open_url, redis_server):
    redis_server.ask("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(CannotOpen, match="is a replica"):
        open_url(redis_server.url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost:6379", "its scheme is 'localhost'"),
        ("http://localhost", "its scheme is 'http'"),
        ("redis://", "it has no host"),
        ("redis://localhost:port", "its port is not a number"),
        ("redis://localhost:99999", "its port is not a number"),
        ("redis://localhost/main", "its database is 'main', and not a number"),
        ("redis://localhost?socket_timeout=soon", "socket_timeout"),
        ("redis://localhost?colour=red", "colour"),
        ("unix://", "it has no path"),
        ("redis+sentinel://localhost", "the name of the master"),
        ("redis+sentinel://a:b/master", "'a:b' is not a host or host:port"),
        (6379, "it is not a string"),
    ],
)
def test_a_wrong_url_is_told_at_once(url, problem):
    with pytest.raises(UsageError) as raised:
        RedisAddress(url)
    assert problem in str(raised.value)
    assert "Legal forms: redis://host:6379/0" in str(raised.value)


def test_a_wrong_url_is_told_without_its_password():
    with pytest.raises(UsageError) as raised:
        RedisAddress("redis://site:secret@localhost/main")
    assert "secret" not in str(raised.value)


def test_the_name_of_an_address_has_no_password():
    assert RedisAddress("redis://site:secret@localhost/2").name == "redis://localhost/2"
