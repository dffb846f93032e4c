"""Checks of sessions: the flags of their cookies, and their end."""

from __future__ import annotations

import importlib
from typing import Any, Iterator, NamedTuple

from .findings import Finding
from .subject import Subject

#: Seconds: people who work for longer than that are cut off while they do.
SHORT_SESSION = 3600

#: Seconds: a connection that stays for longer is not what the site expects.
LONG_CONNECTION = 86400


class Cookie(NamedTuple):
    """The flags of a cookie, and the beginning of the names of its settings."""

    name: str
    prefix: str
    secure: Any
    httponly: Any
    samesite: Any


def check_cookies(subject: Subject) -> Iterator[Finding]:
    """Find cookies that a network, a script or another site can use."""
    for cookie in _find_cookies(subject):
        name, prefix = cookie.name, cookie.prefix
        if not cookie.secure:
            yield Finding(
                "cookie-not-secure",
                f"{name} is also sent without TLS, where anybody in the network can copy it",
                f"Set {prefix}_SECURE = True, and serve the site with TLS",
            )
        if not cookie.httponly:
            yield Finding(
                "cookie-readable",
                f"scripts in the page can read {name}, so an XSS of the site steals logins",
                f"Set {prefix}_HTTPONLY = True",
            )
        samesite = str(cookie.samesite or "").lower()
        if samesite == "none":
            yield Finding(
                "cookie-samesite-none",
                f"{name} has SameSite=None: a browser sends it with requests and handshakes of "
                "pages of any site",
                f'Set {prefix}_SAMESITE = "Lax", unless the site runs inside pages of others',
            )
        elif not samesite:
            yield Finding(
                "cookie-samesite-missing",
                f"{name} has no SameSite: some browsers send it with requests and handshakes of "
                "pages of any site",
                f'Set {prefix}_SAMESITE = "Lax"',
            )


def _find_cookies(subject: Subject) -> Iterator[Cookie]:
    app, config = subject.app, subject.config
    if subject.has_sessions:
        interface = app.session_interface
        yield Cookie(
            "the session cookie",
            "SESSION_COOKIE",
            interface.get_cookie_secure(app),
            interface.get_cookie_httponly(app),
            interface.get_cookie_samesite(app),
        )
    # Flask-Login's, which logs in again when there is no session.
    if hasattr(app, "login_manager") and subject.has_sessions:
        defaults = importlib.import_module("flask_login.config")
        flags = (
            config.get(f"REMEMBER_COOKIE_{flag}", getattr(defaults, f"COOKIE_{flag}", None))
            for flag in ("SECURE", "HTTPONLY", "SAMESITE")
        )
        yield Cookie('the "remember me" cookie of Flask-Login', "REMEMBER_COOKIE", *flags)


def check_lifetimes(subject: Subject) -> Iterator[Finding]:
    """Find sessions that end long before connections do, or end them."""
    if not subject.has_sessions:
        return
    lifetime = subject.app.permanent_session_lifetime.total_seconds()
    interval = subject.settings.reauthorize_interval
    if interval is None and lifetime < LONG_CONNECTION:
        yield Finding(
            "connections-outlive-sessions",
            f"sessions end after {_write_time(lifetime)} (PERMANENT_SESSION_LIFETIME), and a "
            "connection that was authorized by one stays for as long as the client keeps it",
            "Set PROTOO_REAUTHORIZE_INTERVAL = 60, so that the authorizer is asked again",
        )
    if interval is not None and lifetime <= SHORT_SESSION:
        reason = (
            "the cookie of a connection is that of its handshake, which no page view extends"
            if subject.has_cookie_sessions
            else "messages over the connection do not extend the session on the server"
        )
        yield Finding(
            "sessions-cut-connections",
            f"sessions end after {_write_time(lifetime)} (PERMANENT_SESSION_LIFETIME), and "
            f"PROTOO_REAUTHORIZE_INTERVAL is set: {reason}, so active users are closed with 3001",
            "Let sessions live longer than people stay on a page",
        )


def _write_time(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds < 7200 else f"{seconds / 3600:g} hours"
