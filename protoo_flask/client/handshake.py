"""A handshake: the URL, headers and cookies with which a client asks to be let in."""

from __future__ import annotations

import email.message
import email.utils
import ssl
import time
from base64 import b64encode
from http.cookiejar import CookieJar
from typing import Any, Mapping
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit
from urllib.request import Request as HTTPRequest

from ..core.errors import UsageError
from ..core.excerpts import excerpt_of
from .events import Refused

#: Seconds: nobody waits longer, whatever a server says.
MAX_RETRY_AFTER = 3600.0


class Handshake:
    """How to ask for a connection; the same for each attempt, but for the cookies.

    :param url: ``ws``, ``wss``, ``http`` or ``https``.
    :param cookies: a ``CookieJar``, an object that has one (a ``requests.Session``, an
        ``httpx.Client``), or a dict.
    :ivar url: with the uuid.
    :ivar tls: ``None``: no TLS.
    """

    def __init__(
        self,
        url: str,
        uuid: str,
        cookies: Any = None,
        headers: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except (ValueError, TypeError, AttributeError):
            raise _bad_url(url) from None
        if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname:
            raise _bad_url(url)
        is_secure = parts.scheme in ("wss", "https")
        self.address = (parts.hostname, port or (443 if is_secure else 80))
        self.tls = (ssl_context or ssl.create_default_context()) if is_secure else None
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        query = urlencode([*[pair for pair in pairs if pair[0] != "uuid"], ("uuid", uuid)])
        user, _, self.host = parts.netloc.rpartition("@")
        self.host = self.host.encode("idna").decode() if not self.host.isascii() else self.host
        self.target = urlunsplit(("", "", parts.path or "/", query, ""))
        self.url = urlunsplit((parts.scheme, self.host, parts.path or "/", query, ""))
        self._page = f"{'https' if is_secure else 'http'}://{self.host}{self.target}"
        self._headers = dict(headers or {})
        if user:
            token = b64encode(unquote(user).encode()).decode()
            self._headers.setdefault("Authorization", f"Basic {token}")
        self._jar, pairs_of_names = _find_jar(cookies)
        if pairs_of_names:
            self._headers["Cookie"] = pairs_of_names

    def make_headers(self) -> list[tuple[str, str]]:
        """Return the headers of an attempt, with the cookies that the jar has now."""
        page = HTTPRequest(self._page, headers=self._headers)
        if self._jar is not None:
            self._jar.add_cookie_header(page)
        return page.header_items()

    def keep_cookies(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Put the cookies of an answer into the jar."""
        if self._jar is not None:
            self._jar.extract_cookies(
                _Answer(headers),  # type: ignore[arg-type]
                HTTPRequest(self._page),
            )

    def explain(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Refused:
        """Return the refusal that an answer is."""
        message = _Answer(headers).info()
        text = ""
        if message.get_content_type() == "text/plain" and "Content-Type" in message:
            text = body.decode("utf-8", "replace").strip()[:200]
        if "Location" in message:
            text = f"redirects to {message['Location']}"
        return Refused(status, text, parse_retry_after(message.get("Retry-After", "")))


class _Answer:
    """An answer, as ``CookieJar.extract_cookies`` reads it."""

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._message = email.message.Message()
        for name, value in headers:
            self._message[name.decode("latin-1")] = value.decode("latin-1")

    def info(self) -> email.message.Message:
        return self._message


def parse_retry_after(value: str) -> float:
    """Read a Retry-After header, seconds or a date (RFC 9110 section 10.2.3); 0 without one.

    >>> parse_retry_after("120"), parse_retry_after("soon")
    (120.0, 0)
    """
    text = value.strip()
    try:
        if text.isdigit():
            return min(float(text), MAX_RETRY_AFTER)
        seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return 0
    return max(0.0, min(seconds, MAX_RETRY_AFTER))


def _bad_url(url: object) -> UsageError:
    return UsageError(
        f"Client(url) takes a ws(s) or http(s) URL, like wss://chat.example/protoo, not "
        f"{excerpt_of(url)}"
    )


def _find_jar(cookies: Any) -> tuple[CookieJar | None, str]:
    """Return the jar in ``cookies``, or the text of a Cookie header."""
    if cookies is None:
        return None, ""
    if isinstance(cookies, Mapping) and not isinstance(cookies, CookieJar):
        inner = getattr(cookies, "jar", None)
        if isinstance(inner, CookieJar):
            return inner, ""  # httpx.Cookies is a mapping
        return None, "; ".join(f"{name}={value}" for name, value in cookies.items())
    for found in (cookies, getattr(cookies, "cookies", None), getattr(cookies, "jar", None)):
        for jar in (found, getattr(found, "jar", None)):
            if isinstance(jar, CookieJar):
                return jar, ""
    raise UsageError(
        "Client(cookies) takes a CookieJar, a requests.Session or a dict of names and values, not "
        f"{excerpt_of(cookies)}"
    )
