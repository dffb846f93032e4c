"""A handshake: the URL, headers and cookies with which a client asks to be let in."""

from __future__ import annotations

import email.message
import functools
import http.client
import re
import ssl
from base64 import b64encode
from http.cookiejar import CookieJar
from typing import Any, List, Mapping, Tuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit
from urllib.request import Request as HTTPRequest

from ..core.errors import UsageError
from ..core.excerpts import excerpt_of
from .events import Refused
from .retry_after import parse_retry_after

#: As wsproto takes and gives them.
Headers = List[Tuple[bytes, bytes]]

#: One context for all: the authorities of a system take half a megabyte, and 20 ms to read.
_make_context = functools.lru_cache(maxsize=1)(ssl.create_default_context)


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
            self.address = (parts.hostname or "").encode("idna").decode(), parts.port or 0
            user, _, host = parts.netloc.rpartition("@")
            self.host = host if host.isascii() else host.encode("idna").decode()
        except (ValueError, TypeError, AttributeError):
            self.address = "", 0
        if not self.address[0] or parts.scheme not in ("ws", "wss", "http", "https"):
            raise UsageError(
                "Client(url) takes a ws(s) or http(s) URL, like wss://chat.example/protoo, not "
                f"{excerpt_of(url)}"
            )
        is_secure = parts.scheme in ("wss", "https")
        self.address = self.address[0], self.address[1] or (443 if is_secure else 80)
        self.tls = (ssl_context or _make_context()) if is_secure else None
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        query = urlencode([*[pair for pair in pairs if pair[0] != "uuid"], ("uuid", uuid)])
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
        self.target = urlunsplit(("", "", path, query, ""))
        self.url = urlunsplit((parts.scheme, self.host, path, query, ""))
        self._page = f"{'https' if is_secure else 'http'}://{self.host}{self.target}"
        self._jar, cookie = _find_jar(cookies)
        self._headers = dict(headers or {}, **({"Cookie": cookie} if cookie else {}))
        for name, value in self._headers.items():
            _check_header(name, value)
        if user:
            token = b64encode(unquote(user).encode()).decode()
            self._headers.setdefault("Authorization", f"Basic {token}")

    def make_headers(self) -> Headers:
        """Return the headers of an attempt, with the cookies that the jar has now."""
        page = HTTPRequest(self._page, headers=self._headers)
        if self._jar is not None:
            self._jar.add_cookie_header(page)
        return [
            (name.encode("ascii"), value.encode("latin-1")) for name, value in page.header_items()
        ]

    def keep_cookies(self, headers: Headers) -> None:
        """Put the cookies of an answer into the jar."""
        if self._jar is not None:
            self._jar.extract_cookies(
                _Answer(headers),  # type: ignore[arg-type]
                HTTPRequest(self._page),
            )

    def explain(self, head: bytes, status: int, headers: Headers, body: bytes) -> Refused:
        """Return the refusal that an answer is, and keep its cookies.

        :param head: with the status line, whose phrase is the reason when there is no other.
        """
        self.keep_cookies(headers)
        message = _Answer(headers).info()
        text = ""
        if message.get_content_type() == "text/plain" and "Content-Type" in message:
            text = body.decode("utf-8", "replace").strip()[:200]
        if "Location" in message:
            text = f"redirects to {message['Location']}"
        phrase = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)[2:]
        text = text or "".join(phrase) or http.client.responses.get(status, "")
        retry_after = parse_retry_after(message.get("Retry-After", ""))
        return Refused(status, text, retry_after, message.get("Protoo-Handshake", ""))


class _Answer:
    """An answer, as ``CookieJar.extract_cookies`` reads it."""

    def __init__(self, headers: Headers) -> None:
        self._message = email.message.Message()
        for name, value in headers:
            self._message[name.decode("latin-1")] = value.decode("latin-1")

    def info(self) -> email.message.Message:
        return self._message


def _check_header(name: Any, value: Any) -> None:
    """Refuse what no attempt could send (RFC 9110 section 5)."""
    is_name = isinstance(name, str) and re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII)
    if not is_name or not isinstance(value, str) or re.search(r"[\0\r\n\u0100-\U0010ffff]", value):
        raise UsageError(
            "Client(headers, cookies) takes names of letters, digits and -_, and texts of one line "
            f"in Latin-1, not {excerpt_of(name)}: {excerpt_of(value)}"
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
