"""The opening of a connection to Redis: redis-py reads the URL, connects and logs in.

=========================================================  =====================================
URL                                                        meaning
=========================================================  =====================================
``redis://[user:password@]host[:port][/db]``               TCP; the port is 6379, the database 0
``rediss://...``                                           TLS; ``?ssl_ca_certs=file`` and others
``unix://[user:password@]/path[?db=0]``                    a socket of this machine
``redis+sentinel://[user:password@]host[:port],.../name``  the master of that name, as Sentinels
``rediss+sentinel://...``                                  know it; ``?sentinel_password=``
=========================================================  =====================================

A query may have any option of a connection of redis-py. redis-py blocks, and in a process that
gevent has not patched it would block the hub. There it runs in a thread of the hub's threadpool.
"""

from __future__ import annotations

import re
import socket
import ssl
from typing import Any, Callable, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import gevent
import redis
from gevent import monkey
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from ..core.errors import ProtooError, UsageError
from ..core.excerpts import excerpt
from ..transport.channel import Loop
from ..transport.greenlets.channel import GreenletChannel, PlainSocket
from ..transport.greenlets.loop import GreenletLoop
from ..transport.threads.channel import ThreadChannel
from .connection import ConnectionLost, RedisConnection, RedisError, SharedRedisConnection

#: Seconds to connect, and for each reply of the login.
OPEN_TIME = 2.0

#: Redis' first version that the cluster runs on. Valkey counts on from Redis 7.2.
MIN_VERSION = (6, 2)

#: Options that an URL cannot change: the connection stays ours.
_OPTIONS: dict[str, Any] = {
    "protocol": 3,
    "socket_connect_timeout": OPEN_TIME,
    "socket_timeout": OPEN_TIME,
    "health_check_interval": 0,
}

_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")

_FORMS = (
    "Legal forms: redis://host:6379/0, rediss://user:password@host:6379/0 (TLS), "
    "unix:///run/redis.sock?db=0, redis+sentinel://host1:26379,host2:26379/mymaster"
)


class CannotOpen(ProtooError):
    """There is no connection; the text says why, and never contains a password."""


class _Kind(NamedTuple):
    """A class of redis-py, and its arguments."""

    kind: Any
    options: dict[str, Any]

    def make(self) -> Any:
        return self.kind(**self.options)


class OwnThreadChannel(ThreadChannel):
    """A channel whose socket is its own."""

    def close(self) -> None:
        super().close()
        with self._busy:
            self._sock.close()


class RedisAddress:
    """Where Redis is, and how to log in.

    :param url: of the setting ``PROTOO_CLUSTER_URL``.
    :raises UsageError: when it cannot work.
    :ivar name: for logs: the URL without user, password and options.
    """

    def __init__(self, url: str) -> None:
        parts = self._split(url)
        host = parts.netloc.rpartition("@")[2]
        self.name = f"{parts.scheme}://{host}{parts.path}"
        self.username = unquote(parts.username or "default")
        self._sentinel: Any = None
        self._service = ""
        if parts.scheme.endswith("+sentinel"):
            self._connection = self._read_sentinels(url, parts)
        else:
            self._connection = _read(url, url)
        try:
            self._connection.make()  # connects only when it is asked to
        except Exception as error:  # redis-py lists no errors: ValueError, TypeError, its own ...
            raise _wrong(url, str(error)) from error

    def _split(self, url: str) -> Any:
        if not isinstance(url, str):
            raise _wrong(url, "it is not a string")
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise _wrong(url, str(error)) from error
        if parts.scheme not in _SCHEMES:
            # Before Python 3.9, urlsplit() takes the text before a number for no scheme.
            scheme = url.partition(":")[0] if ":" in url else ""
            raise _wrong(url, f"its scheme is {scheme!r}")
        if parts.scheme == "unix":
            if not parts.path:
                raise _wrong(url, "it has no path")
        elif not parts.netloc.rpartition("@")[2]:
            raise _wrong(url, "it has no host")
        if not parts.scheme.endswith("+sentinel"):
            try:
                parts.port  # noqa: B018 (it is checked when it is read)
            except ValueError as error:
                raise _wrong(url, "its port is not a number from 0 to 65535") from error
            if parts.scheme != "unix" and not re.fullmatch(r"(/\d*)?", parts.path):
                raise _wrong(url, f"its database is {parts.path[1:]!r}, and not a number")
        return parts

    def _read_sentinels(self, url: str, parts: Any) -> _Kind:
        """Return the kind of the connection to the master; its host and port are not known."""
        login, _, hosts = parts.netloc.rpartition("@")
        path = [unquote(part) for part in parts.path.split("/")[1:]]
        if not 1 <= len(path) <= 2 or not path[0]:
            raise _wrong(url, "behind the Sentinels it must have the name of the master")
        addresses = []
        for host in hosts.split(","):
            matched = re.fullmatch(r"(\[[^\]]+\]|[^:]+)(?::(\d+))?", host)
            if matched is None:
                raise _wrong(url, f"{host!r} is not a host or host:port")
            addresses.append((matched[1].strip("[]"), int(matched[2] or 26379)))
        query = dict(parse_qsl(parts.query))
        of_sentinels = {
            name[len("sentinel_") :]: query.pop(name)
            for name in list(query)
            if name.startswith("sentinel_")
        }
        if len(path) == 2 and path[1]:
            query.setdefault("db", path[1])
        scheme = parts.scheme.partition("+")[0]
        plain = f"{scheme}://{login + '@' if login else ''}localhost?{urlencode(query)}"
        connection = _read(url, plain)
        options: dict[str, Any] = {
            "socket_timeout": OPEN_TIME,
            "socket_connect_timeout": OPEN_TIME,
            "ssl": scheme == "rediss",
            **{name: value for name, value in query.items() if name.startswith("ssl_")},
            **of_sentinels,
        }
        sentinel: Any = Sentinel  # has no annotations
        try:
            self._sentinel = sentinel(addresses, sentinel_kwargs=options)
        except Exception as error:  # as above: the options are those of the URL
            raise _wrong(url, str(error)) from error
        self._service = path[0]
        return connection

    def connect(self) -> Any:
        """Return a socket that is logged in, and speaks RESP3. Blocks.

        :raises CannotOpen:
        """
        kind, options = self._connection
        try:
            if self._sentinel is not None:
                host, port = self._sentinel.discover_master(self._service)
                options = {**options, "host": host, "port": port}
            connection = kind(**options)
            connection.connect()
        except Exception as error:
            # Of the system, TLS, Redis, or redis-py, which also fails in ways of its own when
            # the server speaks another protocol. Each is one more reason to try again later.
            raise CannotOpen(self._explain(error)) from error
        # Nothing else gives the socket away. The object must not close it.
        sock, connection._sock = connection._sock, None
        return sock

    def _explain(self, error: Exception) -> str:
        """Tell in one line what is wrong."""
        name, text = self.name, _one_line(error)
        chain = _chain(error)
        if isinstance(error, MasterNotFoundError):
            return f"the Sentinels of {name} know no master {self._service!r} that is up: {text}"
        if any(isinstance(cause, ssl.SSLError) for cause in chain) or "SSL" in text:
            return f"TLS with Redis at {name} has failed: {text}"
        if "NOPROTO" in text or ("unknown command" in text.lower() and "hello" in text.lower()):
            return (
                f"Redis at {name} is too old: {_need()}. Or there is a proxy before it that does "
                f"not speak RESP3: {text}"
            )
        if re.search(r"NOPERM", text):
            return f"user {self.username!r} of Redis at {name} has not the right to log in: {text}"
        if "NOAUTH" in text or "already authenticated" in text:
            return f"Redis at {name} wants a password: redis://:password@host, or user:password@"
        if isinstance(error, redis.AuthenticationError) or re.search(
            r"WRONGPASS|NOAUTH|invalid password|Authentication", text
        ):
            return f"Redis at {name} refuses the login of user {self.username!r}: {text}"
        if isinstance(error, redis.InvalidResponse) or "Protocol error" in text:
            return f"at {name} there is something that is not Redis: {text}"
        # redis-py before 5.1 wraps it in an error of the connection.
        if any(isinstance(cause, (redis.TimeoutError, socket.timeout)) for cause in chain):
            # A server without TLS waits for the end of a line, which never comes.
            hint = "; does it speak TLS?" if name.startswith("rediss") else ""
            return f"Redis at {name} has not answered within {OPEN_TIME:g} seconds{hint}"
        if isinstance(error, redis.ResponseError):
            return f"Redis at {name} refuses the connection: {text}"
        return f"Redis at {name} cannot be reached: {text}"


def open_connection(
    address: RedisAddress,
    loop: Loop,
    on_push: Callable[[list[Any]], Any],
    on_end: Callable[[str], Any],
) -> RedisConnection:
    """Return a connection that has been opened, and whose Redis can be used. Blocks.

    :raises CannotOpen:
    """
    sock = _connect(address, loop)
    connection: RedisConnection
    if isinstance(loop, GreenletLoop):
        channel = GreenletChannel(_make_plain(sock), True, loop.pool)
        connection = RedisConnection(channel, loop, on_push, on_end)
    else:
        connection = SharedRedisConnection(OwnThreadChannel(sock), loop, on_push, on_end)
    connection.start()
    try:
        _check(address, connection)
    except BaseException:
        # Also one that ends this greenlet: nobody else knows the connection.
        connection.close()
        raise
    return connection


def _connect(address: RedisAddress, loop: Loop) -> Any:
    if isinstance(loop, GreenletLoop) and not monkey.is_module_patched("socket"):
        result = gevent.get_hub().threadpool.apply(_try, (address.connect,))
        if isinstance(result, CannotOpen):
            raise result
        return result
    return address.connect()


def _try(function: Callable[[], Any]) -> Any:
    """Return an error: gevent prints the traceback of one that its threads raise."""
    try:
        return function()
    except CannotOpen as error:
        return error


def _make_plain(sock: Any) -> Any:
    """Return the socket in its small class; one with TLS stays as it is."""
    if hasattr(sock, "pending") or type(sock) is PlainSocket:
        return sock
    return PlainSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())


def _check(address: RedisAddress, connection: RedisConnection) -> None:
    """Check the version, and that writes are taken there."""
    try:
        about = connection.call("HELLO", timeout=OPEN_TIME)
    except (RedisError, ConnectionLost) as error:
        raise CannotOpen(f"Redis at {address.name}: {error}") from error
    version = _text(about.get(b"version"))
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < MIN_VERSION:
        raise CannotOpen(f"Redis at {address.name} is too old, version {version}: {_need()}")
    mode = _text(about.get(b"mode") or b"standalone")
    if mode == "cluster":
        raise CannotOpen(
            f"Redis at {address.name} runs in cluster mode (cluster-enabled yes), where each key "
            "is on one of several servers. PROTOO_CLUSTER_URL must name a single server, or "
            "Sentinels"
        )
    if mode == "sentinel":
        raise CannotOpen(
            f"at {address.name} there is a Sentinel, which has no data: write "
            "PROTOO_CLUSTER_URL as redis+sentinel://host:26379/name-of-the-master"
        )
    if _text(about.get(b"role")) not in ("master", "primary"):
        raise CannotOpen(
            f"Redis at {address.name} is a replica, which takes no writes: name its master in "
            "PROTOO_CLUSTER_URL, or the Sentinels"
        )


def _need() -> str:
    return f"the cluster needs Redis {'.'.join(map(str, MIN_VERSION))} or newer, or Valkey"


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _read(url: str, plain: str) -> _Kind:
    """Have redis-py read an URL.

    :param url: that of the setting.
    :param plain: without Sentinels.
    """
    try:
        pool = redis.ConnectionPool.from_url(plain)
    except Exception as error:  # as in RedisAddress: redis-py lists no errors
        raise _wrong(url, str(error)) from error
    options = {**pool.connection_kwargs, **_OPTIONS, "retry": Retry(NoBackoff(), 0)}
    return _Kind(pool.connection_class, options)


def _wrong(url: object, problem: str) -> UsageError:
    # Without the password, which logs must not have.
    shown = re.sub(r"//[^@]*@", "//...@", url) if isinstance(url, str) else repr(url)
    return UsageError(
        f"PROTOO_CLUSTER_URL is {excerpt(shown)}, which cannot work: {excerpt(problem)}. {_FORMS}"
    )


def _one_line(error: BaseException) -> str:
    return excerpt(" ".join(str(error).split()) or type(error).__name__)


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and len(found) < 10:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
