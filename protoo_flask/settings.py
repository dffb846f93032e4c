"""Settings: ``PROTOO_*`` in ``app.config``, or options of ``Protoo(app, ...)``."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field, fields
from typing import Any, Callable, Iterator, Mapping
from urllib.parse import parse_qsl, urlsplit

from .core.errors import UsageError
from .core.rates import parse_rates
from .core.suggestions import suggest
from .features.ice.servers import check_ice_servers
from .origins import explain_fault

PREFIX = "PROTOO_"

#: What others call these settings, among them Flask-SocketIO and flask-sock.
FOREIGN_NAMES = {
    **dict.fromkeys(["cors", "cors_allowed_origins", "cors_origins", "origin"], "allowed_origins"),
    **dict.fromkeys(["drain", "graceful_timeout", "shutdown_timeout"], "drain_timeout"),
    **dict.fromkeys(["endpoint", "route", "url", "url_prefix"], "path"),
    **dict.fromkeys(["heartbeat", "heartbeat_interval", "keepalive"], "ping_interval"),
    **dict.fromkeys(["max_http_buffer_size", "max_payload", "max_size"], "max_message_size"),
    **dict.fromkeys(["max_devices", "max_connections_per_user"], "max_peers_per_user"),
    **dict.fromkeys(["deflate", "http_compression", "per_message_deflate"], "compression"),
    **dict.fromkeys(["grace_period", "reconnect_timeout", "recovery"], "disconnect_grace_period"),
    "username_key": "session_key",
    **dict.fromkeys(
        ["max_connections_per_ip", "connections_per_ip", "connections_per_address", "limit_conn"],
        "max_connections_per_address",
    ),
    "handshakes_per_ip": "handshakes_per_address",
    **dict.fromkeys(["handshakes_per_second", "handshakes"], "handshakes_per_process"),
    **dict.fromkeys(["handshake_rate", "connection_rate", "connect_rate"], "handshakes_per_user"),
    **dict.fromkeys(["rate", "ratelimit", "ratelimit_default", "message_rate"], "rate_limit"),
    **dict.fromkeys(["message_queue", "queue", "queue_url", "broker", "broker_url"], "cluster_url"),
    **dict.fromkeys(["redis", "redis_url", "redis_uri", "cluster", "adapter"], "cluster_url"),
    **dict.fromkeys(["redis_prefix", "key_prefix", "channel", "channel_prefix"], "cluster_prefix"),
    **dict.fromkeys(["cluster_secret", "symmetric_encryption_keys"], "cluster_key"),
    **dict.fromkeys(["heartbeat_timeout", "worker_timeout", "cluster_timeout"], "node_timeout"),
}

#: The beginnings of URLs of a Redis: plain, with TLS, by a Unix socket, by sentinels.
CLUSTER_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")

#: The packages that a cluster needs; ``pip install protoo_flask[redis]`` brings them.
CLUSTER_PACKAGES = ("redis", "hiredis")

#: A key with fewer characters could be found by trying.
MIN_CLUSTER_KEY = 16

#: The default of ``drain_timeout``: see there.
DRAIN_TIMEOUT = 7

#: Seconds; a worker that is busy for a moment must not count as dead.
MIN_NODE_TIMEOUT = 1


@dataclass(frozen=True)
class Settings:
    """The settings of one app: ``app.config["PROTOO_<NAME>"]`` or ``Protoo(app, <name>=...)``."""

    #: Where the WebSocket route is; the browser client is served below it.
    path: str = "/protoo"
    #: The host of the route, in an app with host_matching; may have variable parts.
    host: str | None = None
    #: The subdomain of the route, in an app with subdomain_matching. None: the default one.
    subdomain: str | None = None
    #: The key of ``flask.session`` that holds the username; "_user_id" for Flask-Login.
    session_key: str = "username"
    #: Other origins that may connect: a list of "https://host[:port]", "app://host", "file://"
    #: or "null"; or "*".
    allowed_origins: str | list[str] | None = None
    case_sensitive_routing: bool = False
    strict_routing: bool = False
    #: Seconds within which a peer may come back after its connection has dropped. Messages to
    #: it wait meanwhile; afterwards it counts as offline. 0: it is offline at once.
    disconnect_grace_period: float = 0
    #: The same for a page that was closed or reloaded; at most the one above. A browser loads a
    #: page again in a second or two, and a closed page should not look online for longer.
    reload_grace_period: float = 5
    #: Seconds that a peer has for its final response; then the server makes a 408.
    request_timeout: float = 10
    #: Seconds that a call may ring; then its caller gets a 408. Nobody lets a telephone ring
    #: for two minutes (RFC 3261 section 16.6 gives a proxy three).
    session_timeout: float = 120
    #: Seconds that handlers have to answer a request of a peer; then it gets a 504. None:
    #: for ever. It is the last resort against a handler that forgets to reply.
    response_timeout: float | None = 60
    #: Seconds between keep-alive pings; a peer that is silent for two is closed. Proxies
    #: drop connections that are idle for a minute (nginx: proxy_read_timeout 60s).
    ping_interval: float | None = 25
    #: Bytes, inclusive, of one message from a peer; its fragments are summed.
    max_message_size: int = 65536
    #: Bytes that may wait for a slow reader, or for a peer in its grace period, before it
    #: is closed with 1008 and counts as offline.
    max_outbox: int = 1048576
    max_peers_per_user: int = 16
    #: Handshakes of one user per second, on average; ten seconds' worth may come at once. Pages
    #: that come back after a restart need one each. None: no limit.
    handshakes_per_user: float | None = 10
    #: The same for each address (of IPv6, each /64). None: no limit, because behind a proxy that
    #: the site does not know of (ProxyFix), all clients have one address.
    handshakes_per_address: float | None = None
    #: The same for this process, whoever they come from; those of one second may come at once. The
    #: others are told when to come back. None: no limit.
    handshakes_per_process: float | None = None
    #: Connections that are open at a time from one address (of IPv6, each /64), with handshakes in
    #: progress. None: no limit, for the same reason; and an office may have one address.
    max_connections_per_address: int | None = None
    #: How many requests and notifications clients may send, like "20/s" or {"peer": "20/s", "user":
    #: "60/s burst=300"}: see docs/limits.md. None: any number.
    rate_limit: Any = None
    #: Seconds that handlers, calls and unanswered requests have to end when the server ends.
    #: Clients are closed meanwhile. ``docker stop`` kills a process after 10 seconds, of which
    #: gunicorn needs 3. None or 0: everything is cut at the exit of the process.
    drain_timeout: float | None = DRAIN_TIMEOUT
    #: Seconds after which the authorizer is asked again whether a peer may stay. None: it is
    #: asked when the peer connects, and never again.
    reauthorize_interval: float | None = None
    #: permessage-deflate, at some 300 KiB of memory for each connection.
    compression: bool = False
    #: How many requests of one device are handled at a time.
    parallel_requests: int = 1
    #: The STUN and TURN servers that clients are told: RTCIceServer dictionaries.
    ice_servers: list[dict[str, Any]] = field(default_factory=list)
    #: The secret that is shared with the TURN servers (coturn: static-auth-secret). Credentials
    #: are made of it for the servers above that have none.
    turn_secret: str | None = None
    #: The Redis by which several workers and hosts are one site, like "redis://host:6379/0";
    #: see docs/cluster.md. None: peers see those of their own process.
    cluster_url: str | None = None
    #: A secret that all workers share: they then take no messages of others from Redis.
    cluster_key: str | None = None
    #: The beginning of all keys and channels in Redis. Apps with different ones are told apart.
    cluster_prefix: str = "protoo"
    #: Seconds within which a worker that has died is noticed, and its peers are offline.
    node_timeout: float = 10

    @classmethod
    def load(cls, config: Mapping[str, Any], options: Mapping[str, Any]) -> Settings:
        """Read the settings of an app; ``options`` win over ``config``.

        :raises UsageError: for a value that cannot work; it tells the values that can.
        """
        values = {
            item.name: config[config_key(item.name)]
            for item in fields(cls)
            if config_key(item.name) in config
        }
        values.update(options)
        for name, value in values.items():
            check_setting(name, value)
        settings = cls(**values)
        check_ice_servers(settings.ice_servers, settings.turn_secret)
        if settings.cluster_url is not None:
            check_packages()
        return settings

    def to_config(self) -> dict[str, Any]:
        """Return them as they are written in ``app.config``."""
        return {config_key(item.name): getattr(self, item.name) for item in fields(self)}

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``options`` when each is the name of a setting.

        :raises UsageError: naming the legal ones.
        """
        names = [item.name for item in fields(cls)]
        for name in options:
            if name not in names:
                meant = suggest(_strip_prefix(name), names, FOREIGN_NAMES)
                hint = f" (did you mean {meant!r}?)" if meant else ""
                raise UsageError(
                    f"Protoo() has no option {name!r}{hint}; it has {', '.join(names)}"
                )
        return dict(options)


def config_key(name: str) -> str:
    """Return the key in ``app.config`` of the setting ``name``."""
    return PREFIX + name.upper()


def find_unknown_keys(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Find the keys in ``app.config`` that look like settings and are none.

    :returns: pairs: the key, and the one that was probably meant, or "".
    """
    names = [item.name for item in fields(Settings)]
    known = [config_key(name) for name in names]
    for key in config:
        if key.startswith(PREFIX) and key not in known:
            meant = suggest(_strip_prefix(key), names, FOREIGN_NAMES)
            yield key, config_key(meant) if meant else ""


def check_setting(name: str, value: Any) -> None:
    """Check the value of one setting.

    :raises UsageError: for a value that cannot work; it tells the values that can.
    """
    if name == "rate_limit":
        parse_rates(value, config_key(name))
    check = _CHECKS.get(name)
    if check is not None and not check(value):
        expected = _EXPECTED[name] + _explain(name, value)
        raise UsageError(f"{config_key(name)} is {expected}, not {hide_password(value)!r}")


def check_packages() -> None:
    """Check that the packages are installed that a cluster needs.

    :raises UsageError: naming those that are missing.
    """
    missing = [name for name in CLUSTER_PACKAGES if not _is_installed(name)]
    if missing:
        raise UsageError(
            f"PROTOO_CLUSTER_URL is set, and needs {' and '.join(missing)}, not installed here: "
            "pip install protoo_flask[redis]"
        )


def _is_installed(package: str) -> bool:
    # Looked for, and not imported: a site without clients needs none of it yet.
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # its import is forbidden
        return False


def hide_password(value: Any) -> Any:
    """Return a setting as it may be shown: a URL without its password."""
    if not isinstance(value, str):
        return value
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", value)


def _strip_prefix(name: str) -> str:
    return name[len(PREFIX) :].lower() if name.startswith(PREFIX) else name


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_count(value: Any) -> bool:
    return _is_positive(value) and isinstance(value, int)


def _is_list_of_origins(value: Any) -> bool:
    if value is None or value == "*":
        return True
    return _is_list(value) and not any(map(explain_fault, value))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset))


def _explain(name: str, value: Any) -> str:
    """Tell which entry of a list, or part of a URL, is wrong, and why."""
    if name == "cluster_url" and isinstance(value, str):
        return f" ({_find_fault_of_url(value)})"
    if name != "allowed_origins" or not _is_list(value):
        return ""
    return f" ({'; '.join(filter(None, map(explain_fault, value)))})"


def _has_form(value: Any, form: str) -> bool:
    """Whether a text has a form, with its variable parts (``<any("a/b", c):name>``) as ``x``."""
    if not isinstance(value, str):
        return False
    fixed = re.sub("<[^<>]+>", "x", value)
    return re.fullmatch(form, fixed, re.IGNORECASE | re.ASCII) is not None


def _is_cluster_url(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not _find_fault_of_url(value))


def _find_fault_of_url(url: str) -> str:
    """Return the reason why a URL leads to no Redis; "" if it may."""
    scheme, colon, rest = url.partition("://")
    if not colon:
        return "it has no scheme, as redis://host:6379/0 has"
    if scheme.lower() not in CLUSTER_SCHEMES:
        return f"{scheme}:// is none of them"
    database = dict(parse_qsl(urlsplit(rest).query)).get("db", "")
    if database and not re.fullmatch("[0-9]+", database):
        return f"its database is {database!r}, and not a number"
    if scheme.lower() == "unix":
        return "" if "/" in rest else "it names no file, as unix:///run/redis.sock does"
    try:
        parts = urlsplit(f"redis://{rest}")
        if not parts.hostname:
            return "it names no host"
        if "," not in parts.netloc and parts.port == 0:
            return "there is no port 0"
        database = parts.path[1:]
        if scheme.lower().endswith("+sentinel"):
            database = database.partition("/")[2]
        if database and not re.fullmatch("[0-9]+", database):
            return f"its database is {database!r}, and not a number"
    except ValueError as error:
        return str(error).lower()
    if "sentinel" in scheme.lower() and not parts.path.strip("/"):
        return "it does not name the service that the sentinels watch, as /mymaster does"
    return ""


_HOST = r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]+)?"
_SUBDOMAIN = r"[a-z0-9._-]*"

_SECONDS = "a positive number of seconds"
_COUNT = "a positive whole number"

_CHECKS: dict[str, Callable[[Any], bool]] = {
    "case_sensitive_routing": lambda value: isinstance(value, bool),
    "strict_routing": lambda value: isinstance(value, bool),
    "compression": lambda value: isinstance(value, bool),
    "path": lambda value: isinstance(value, str) and value[:1] == "/" and len(value) > 1,
    "host": lambda value: value is None or _has_form(value, _HOST),
    "subdomain": lambda value: value is None or _has_form(value, _SUBDOMAIN),
    "session_key": lambda value: isinstance(value, str) and bool(value),
    "allowed_origins": _is_list_of_origins,
    "disconnect_grace_period": lambda value: _is_number(value) and value >= 0,
    "reload_grace_period": lambda value: _is_number(value) and value >= 0,
    "request_timeout": _is_positive,
    "session_timeout": _is_positive,
    "response_timeout": lambda value: value is None or _is_positive(value),
    "ping_interval": lambda value: value is None or _is_positive(value),
    "drain_timeout": lambda value: value is None or (_is_number(value) and value >= 0),
    "max_message_size": _is_count,
    "max_outbox": _is_count,
    "max_peers_per_user": _is_count,
    "handshakes_per_user": lambda value: value is None or _is_positive(value),
    "handshakes_per_address": lambda value: value is None or _is_positive(value),
    "handshakes_per_process": lambda value: value is None or _is_positive(value),
    "max_connections_per_address": lambda value: value is None or _is_count(value),
    "reauthorize_interval": lambda value: value is None or _is_positive(value),
    "parallel_requests": _is_count,
    "turn_secret": lambda value: value is None or (isinstance(value, str) and bool(value)),
    "cluster_url": _is_cluster_url,
    "cluster_key": lambda value: (
        value is None or (isinstance(value, str) and len(value) >= MIN_CLUSTER_KEY)
    ),
    "cluster_prefix": lambda value: _has_form(value, r"[a-z0-9_.:-]{1,64}"),
    "node_timeout": lambda value: _is_number(value) and value >= MIN_NODE_TIMEOUT,
}

_BOOLEAN = "True or False"
_RATE = "a positive number of handshakes per second, or None for no limit"

_EXPECTED = {
    "case_sensitive_routing": _BOOLEAN,
    "strict_routing": _BOOLEAN,
    "compression": _BOOLEAN,
    "path": 'a path below the root, like "/protoo"',
    "host": 'a host without a scheme or path, like "chat.example.org" or "<tenant>.example.org"',
    "subdomain": 'a name below SERVER_NAME, like "chat" or "<tenant>", or None',
    "session_key": 'the name of a key of flask.session, like "username" or "_user_id"',
    "allowed_origins": 'None, "*", or a list of origins like "https://example.org" or "file://"',
    "disconnect_grace_period": "a number of seconds, or 0 for no grace period",
    "reload_grace_period": "a number of seconds, or 0: a page that was closed is offline at once",
    "request_timeout": _SECONDS,
    "session_timeout": _SECONDS,
    "response_timeout": f"{_SECONDS}, or None for ever",
    "ping_interval": f"{_SECONDS}, or None for no pings",
    "drain_timeout": "a number of seconds, or None or 0 for no drain",
    "max_message_size": f"{_COUNT} of bytes",
    "max_outbox": f"{_COUNT} of bytes",
    "max_peers_per_user": _COUNT,
    "handshakes_per_user": _RATE,
    "handshakes_per_address": _RATE,
    "handshakes_per_process": _RATE,
    "max_connections_per_address": f"{_COUNT} of connections, or None for no limit",
    "reauthorize_interval": f"{_SECONDS}, or None for never",
    "parallel_requests": _COUNT,
    "turn_secret": "the secret that is shared with the TURN server, or None",
    "cluster_url": (
        'None, or the URL of a Redis, like "redis://host:6379/0", "rediss://user:password@host" '
        'with TLS, "unix:///run/redis.sock" or "redis+sentinel://host:26379,host2:26379/mymaster"'
    ),
    "cluster_key": (
        f"None, or a secret text of {MIN_CLUSTER_KEY} characters or more, the same for all workers"
    ),
    "cluster_prefix": 'a name of letters, digits and ".", "_", "-", ":", like "protoo"',
    "node_timeout": f"a number of seconds, {MIN_NODE_TIMEOUT} or more",
}
