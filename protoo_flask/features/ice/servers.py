"""ICE servers: the list of STUN and TURN servers that a browser needs for a call.

Entries are RTCIceServer dictionaries (W3C WebRTC section 4.2.4): ``urls``, a "stun:",
"stuns:", "turn:" or "turns:" URL (RFC 7064, RFC 7065) or a list of these, and for TURN
``username`` and ``credential``.

A TURN server must not be open to everybody, and a page cannot keep a password secret. So
the credentials are made for one user and a limited time, from a secret that the site shares
with the TURN server (draft-uberti-behave-turn-rest-00, coturn's ``use-auth-secret``). The
username has the time at which they expire, and the password is the HMAC of the username.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any, Mapping, NamedTuple, Sequence
from urllib.parse import quote

from ...core.errors import UsageError

SCHEMES = ("stun:", "stuns:", "turn:", "turns:")
_TURN = ("turn:", "turns:")
_KEYS = {"urls", "username", "credential"}

#: Bytes of a username in a STUN message (RFC 8489 section 14.3: fewer than 509).
MAX_USERNAME = 508

_EXAMPLE = (
    '[{"urls": "stun:turn.example.org"}, {"urls": ["turn:turn.example.org", '
    '"turns:turn.example.org"]}]'
)


class Credentials(NamedTuple):
    """A username and a password for a TURN server."""

    username: str
    credential: str


def make_credentials(secret: str, username: str, expires: int) -> Credentials:
    """Return the credentials of a user, for a TURN server that has the same secret.

    >>> make_credentials("secret", "bob", 1433895918).username
    '1433895918:bob'

    :param username: any text. Characters other than letters, digits and ``-._~@+`` are
        percent-encoded: a TURN server splits the text at the colon, writes it into its logs,
        and may prepare other characters than ASCII differently from the browser (RFC 8265).
        A username that is then too long for STUN is replaced by its SHA-256.
    :param expires: seconds since the epoch.
    """
    name = quote(username, safe="@+")
    if len(f"{expires}:{name}") > MAX_USERNAME:
        name = hashlib.sha256(username.encode()).hexdigest()
    limited = f"{expires}:{name}"
    digest = hmac.new(secret.encode(), limited.encode(), hashlib.sha1).digest()
    return Credentials(limited, base64.b64encode(digest).decode())


def needs_credentials(server: Mapping[str, Any]) -> bool:
    """Whether an entry has a TURN server, but no credential of its own."""
    return "credential" not in server and any(url.startswith(_TURN) for url in _urls(server))


def check_ice_servers(servers: Any, turn_secret: Any = None) -> None:
    """Check the value of ``PROTOO_ICE_SERVERS``.

    Because of one wrong entry, a browser refuses to make any connection. So the site has to
    hear of a wrong entry when it starts.

    :raises UsageError: names the wrong entry and the legal forms. It does not show
        credentials.
    """
    if not isinstance(servers, (list, tuple)):
        raise UsageError(
            "PROTOO_ICE_SERVERS is a list of RTCIceServer dictionaries, like "
            f"{_EXAMPLE}, not a {type(servers).__name__}"
        )
    for index, server in enumerate(servers):
        problem = _find_problem(server)
        if problem is None and turn_secret is None and needs_credentials(server):
            problem = (
                'has a "turn:" URL, which needs a username and a credential: its own, or those '
                "that are made when PROTOO_TURN_SECRET is the static-auth-secret of the server"
            )
        if problem is not None:
            raise UsageError(f"PROTOO_ICE_SERVERS[{index}] {problem}; a good value is {_EXAMPLE}")


def _find_problem(server: Any) -> str | None:
    if not isinstance(server, Mapping):
        return f"must be a dictionary, not a {type(server).__name__}"
    for key in server:
        if key not in _KEYS:
            hint = '; did you mean "urls"?' if key == "url" else ""
            return f'has a key {key!r}, where "urls", "username" and "credential" may be{hint}'
    if "urls" not in server:
        return 'has no "urls"'
    urls = server["urls"]
    if not isinstance(urls, (str, list, tuple)) or not urls:
        return f'has "urls" that must be a URL or a list of URLs, not {urls!r}'
    for url in _urls(server):
        if not isinstance(url, str) or not _is_url(url):
            return f'has a URL that must be like "stun:host" or "turn:host:port", not {url!r}'
    for key, other in (("username", "credential"), ("credential", "username")):
        if key in server and not isinstance(server[key], str):
            return f'has a "{key}" that must be a string, not a {type(server[key]).__name__}'
        if key in server and other not in server:
            return f'has a "{key}", and no "{other}"'
    return None


def _is_url(url: str) -> bool:
    scheme, colon, host = url.partition(":")
    # "turn://host" is written by habit, and browsers refuse it.
    return scheme + colon in SCHEMES and bool(host) and not host.startswith("/")


def _urls(server: Mapping[str, Any]) -> Sequence[Any]:
    urls = server["urls"]
    return [urls] if isinstance(urls, str) else list(urls)
