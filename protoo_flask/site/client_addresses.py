"""The addresses of clients, as a site sees them that may be behind proxies."""

from __future__ import annotations

import ipaddress
from typing import Any, Mapping

#: The headers in which proxies tell the address of a client, as the environ has them.
_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP")

#: The mark that werkzeug's ProxyFix leaves in the environ.
_PROXY_FIX = "werkzeug.proxy_fix.orig"


def find_network(address: str) -> str:
    """Return the part of an address that a client cannot choose.

    A provider gives each of its customers at least 2**64 addresses of IPv6 (RFC 6177).
    """
    try:
        found = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return address[:100]  # a name that a server or a proxy has made up
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))


def explain_proxy(environ: Mapping[str, Any]) -> str:
    """Return a hint for the log: why many clients may seem to have this one address.

    The headers are untrusted. A client may have sent them, so this is a guess.

    :returns: "" without a sign of a proxy that the site does not know of.
    """
    names = [name for name in _FORWARDED if environ.get(name)]
    if not names:
        return ""
    addresses = [part.strip() for part in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    address = environ.get("REMOTE_ADDR")
    if _PROXY_FIX not in environ or address not in addresses:
        header = names[0][5:].replace("_", "-").title()
        return (
            f". The handshake has a header {header}, which this site does not use: if the address "
            "is that of a proxy of yours, all of its clients count as one. Tell the site of the "
            "proxy: app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)"
        )
    # Each proxy appends the address of its client, and ProxyFix has taken one from the end.
    if address in addresses[1:]:
        return (
            f". X-Forwarded-For has {len(addresses)} addresses: if the address is that of another "
            "proxy of yours, ProxyFix needs a larger x_for, the number of your proxies"
        )
    return ""
