"""Origins: which page a client belongs to, as browsers say it (RFC 6454).

An origin is a scheme, a host and a port. Some have no host: a page of an application that was
loaded from a file is of ``file://``. A page whose origin is nobody's says ``null``.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Any, NamedTuple

#: The schemes of WebSockets, and those of the pages with the same level of security. Proxies
#: say either of a handshake.
_PAGE_SCHEMES = {"ws": "http", "wss": "https"}

_DEFAULT_PORTS = {"http": 80, "https": 443}

_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._~-]*)(?::([0-9]{0,5}))?",
    re.IGNORECASE | re.ASCII,
)
_AROUND_HOST = re.compile(r"([^/?#]+://)(?:[^/?#]*@)?([^/?#]*)")


class Origin(NamedTuple):
    """An origin that can be compared.

    :ivar scheme: in lower case; that of a page, never of a WebSocket.
    :ivar host: in lower case; empty if the origin has none.
    :ivar port: also the default port of the scheme; ``None`` if that has none.
    """

    scheme: str
    host: str
    port: int | None


#: The origin of a page that is nobody's: a sandboxed frame, a file in some browsers.
NULL = Origin("null", "", None)


def page_scheme(scheme: str) -> str:
    """Return the scheme that pages have at the level of security of ``scheme``."""
    scheme = scheme.lower()
    return _PAGE_SCHEMES.get(scheme, scheme)


# A site has one name, or a few, and parsing one costs as much as checking a cookie.
@lru_cache(maxsize=256)
def parse_origin(text: str) -> Origin | None:
    """Read an origin, untrusted; ``None`` if it is none."""
    if text == "null":
        return NULL
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return None
    scheme, host, port = page_scheme(match[1]), match[2].lower(), match[3]
    number = int(port) if port else _DEFAULT_PORTS.get(scheme)
    if number is not None and not 1 <= number <= 65535:
        return None
    if host[:1] == "[":
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            return None
    if not host and (scheme in _DEFAULT_PORTS or port):
        return None
    return Origin(scheme, host, number)


def origin_of_url(url: str) -> str | None:
    """Return the origin of the page at a URL, untrusted, as a browser writes it."""
    match = re.match(r"https?://[^/?#]*", url, re.IGNORECASE)
    return match[0] if match and parse_origin(match[0]) else None


def allowed_origin(text: str) -> Origin | None:
    """Read an origin that a developer has written; it may end with a slash."""
    return parse_origin(text[:-1] if _ends_with_path(text) else text)


def explain_fault(entry: Any) -> str | None:
    """Tell why no page is of this origin; ``None`` if one may be.

    :param entry: as a developer has written it.
    """
    if not isinstance(entry, str):
        return f"{entry!r} is no text"
    if "*" in entry:
        return f'"{entry}" in a list matches nothing: name each host, or allow "*" alone'
    if entry != "null" and "://" not in entry:
        return f'"{entry}" has no scheme, as "https://example.org" has'
    around = _AROUND_HOST.match(entry)
    bare = "".join(around.groups()) if around else entry
    if entry not in (bare, bare + "/"):
        return f'"{entry}" is more than an origin, which is "{bare}"'
    if not entry.isascii():
        return f'"{entry}" has letters that browsers write in ASCII: "{_to_ascii(bare)}"'
    origin = allowed_origin(entry)
    if origin is None or not _is_written_by_browsers(origin):
        return f'"{entry}" is no scheme, host and port as browsers write them'
    return None


def _ends_with_path(text: str) -> bool:
    return text.endswith("/") and not text.endswith("://")


def _to_ascii(origin: str) -> str:
    """Return an origin as browsers write it, or an example of it."""
    scheme, _, host = origin.partition("://")
    try:
        written = host.encode("idna")
        # Python's codec is older than browsers, and reads some letters (sharp s) differently.
        if written.decode("idna") == host.lower():
            return f"{scheme}://{written.decode('ascii')}"
    except UnicodeError:
        pass
    return f"{scheme}://xn--..."


def _is_written_by_browsers(origin: Origin) -> bool:
    """Whether browsers write a host in this way: they turn ``127.1`` into ``127.0.0.1``."""
    if origin.scheme == "file":
        return not origin.host
    if origin.scheme not in _DEFAULT_PORTS or not origin.host.split(".")[-1].isdigit():
        return True
    try:
        return str(ipaddress.IPv4Address(origin.host)) == origin.host
    except ValueError:
        return False
