"""Checks of what stands between the site and its clients: a proxy, and pages of other sites."""

from __future__ import annotations

from typing import Iterator

from ..origins import Origin, allowed_origin
from ..settings import config_key
from .findings import Finding
from .subject import Subject

#: Seconds after which nginx (proxy_read_timeout) and many load balancers drop an idle connection.
PROXY_TIMEOUT = 60

#: Origins that a page of any site can have, or a file that somebody sends.
_ANYBODY = ("null", "file")

#: The limits that are for each address.
_OF_ADDRESSES = ("handshakes_per_address", "max_connections_per_address")

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")

#: Gunicorn's default.
_LOCAL_ADDRESSES = {"127.0.0.1", "::1"}

#: The headers that nginx sends in docs/deployment.md. ProxyFix must not believe another one: a
#: proxy passes on what the client has put there.
_PROXY_FIX = "app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)"


def check_proxy(subject: Subject) -> Iterator[Finding]:
    """Find a proxy that the site does not know of."""
    hints = list(_find_hints(subject))
    if subject.proxy_fix is not None or not hints:
        return
    yield Finding(
        "proxy-unknown",
        f"a proxy seems to stand before the site ({', '.join(hints)}), and app.wsgi_app has no "
        "ProxyFix: the site takes the proxy's address and scheme for those of its clients",
        f"Add werkzeug's ProxyFix, with the number of your proxies: {_PROXY_FIX}",
    )


def check_addresses(subject: Subject) -> Iterator[Finding]:
    """Find limits for each address where all clients may have one."""
    fix = subject.proxy_fix
    if fix is not None and fix.x_for:
        return
    for name in _OF_ADDRESSES:
        if getattr(subject.settings, name, None) is not None:
            yield Finding(
                "addresses-of-proxy",
                f"{config_key(name)} is set, and nothing tells the site the addresses of clients "
                "behind a proxy (ProxyFix with x_for): all clients share one address and its limit",
                f"Add werkzeug's ProxyFix, with the number of your proxies: {_PROXY_FIX}. Without "
                "a proxy: --ignore addresses-of-proxy",
            )


def check_pings(subject: Subject) -> Iterator[Finding]:
    """Find pings that come too late for a proxy that drops idle connections."""
    interval = subject.settings.ping_interval
    is_behind_proxy = subject.proxy_fix is not None or any(_find_hints(subject))
    if is_behind_proxy and (interval is None or interval >= PROXY_TIMEOUT):
        yield Finding(
            "pings-too-rare",
            f"PROTOO_PING_INTERVAL is {interval}, and proxies drop connections that are idle for "
            f"{PROXY_TIMEOUT} seconds (proxy_read_timeout of nginx)",
            "Set it to 25, or raise the time-out of the proxy above it",
        )


def _find_hints(subject: Subject) -> Iterator[str]:
    if subject.config.get("PREFERRED_URL_SCHEME") == "https":
        yield "PREFERRED_URL_SCHEME is https"
    if subject.config.get("SERVER_NAME"):
        yield "SERVER_NAME is set"
    gunicorn = subject.gunicorn
    if subject.environ.get("FORWARDED_ALLOW_IPS"):
        yield "FORWARDED_ALLOW_IPS is set"
    elif gunicorn is not None and not {*gunicorn.forwarded_allow_ips} <= _LOCAL_ADDRESSES:
        yield "forwarded_allow_ips of gunicorn is set"
    if gunicorn is not None and gunicorn.is_local:
        yield f"gunicorn listens at {', '.join(gunicorn.bind)}"


def check_origins(subject: Subject) -> Iterator[Finding]:
    """Find pages that may act with the cookies of the site's users."""
    allowed = subject.settings.allowed_origins
    if allowed == "*":
        yield Finding(
            "origins-all",
            'PROTOO_ALLOWED_ORIGINS is "*": a page of any site can connect with the cookies of '
            "your user who visits it, and read and write in the user's name",
            'Name the origins: ["https://partner.example"]. Only an authorizer that asks for more '
            "than a cookie may allow all",
        )
        return
    for entry in allowed or ():
        origin = allowed_origin(entry)
        assert origin is not None  # the settings are valid
        if origin.scheme in _ANYBODY:
            yield Finding(
                "origin-of-anybody",
                f'PROTOO_ALLOWED_ORIGINS has "{entry}", which is also the origin of pages that '
                "anybody can make",
                "Keep it only with an authorizer that asks for a secret of your application, and "
                "not only for a cookie",
            )
        elif origin.scheme == "http" and not _is_application(origin):
            yield Finding(
                "origin-without-tls",
                f'PROTOO_ALLOWED_ORIGINS has "{entry}": somebody in the network of a user can '
                "change pages without TLS, and connect through them",
                "Write https://, and serve that page with TLS",
            )


def _is_application(origin: Origin) -> bool:
    # A page of this computer's own: an application, or a developer.
    return origin.host in _LOCAL_HOSTS
