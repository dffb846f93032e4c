"""The subject of the checks: an app with its settings, and the server that it will run on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Mapping

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix

from ..settings import Settings
from ..site.site import Site
from .gunicorn import Gunicorn

#: Where WSGI middleware keeps the application that it wraps.
_WRAPPED = ("app", "wsgi_app", "application", "_wsgi_app", "_app", "_application", "__wrapped__")

#: WSGI middleware around the app, at most: two could wrap each other.
_DEPTH = 50


@dataclass(frozen=True)
class Subject:
    """What the checks look at.

    :ivar gunicorn: ``None`` if nothing tells that gunicorn serves the app.
    :ivar environ: the variables of this process.
    :ivar peers: how many are expected in the whole site; ``None``: nobody has said.
    """

    app: Flask
    site: Site
    settings: Settings
    gunicorn: Gunicorn | None
    environ: Mapping[str, str]
    peers: int | None = None

    @property
    def config(self) -> Mapping[str, Any]:
        """The config of the app."""
        return self.app.config

    @property
    def has_authorizer(self) -> bool:
        """Whether the site recognises users in a way of its own."""
        return self.site.protoo.authorizer is not None

    @property
    def has_cookie_sessions(self) -> bool:
        """Whether sessions are in the cookie, as Flask has them by itself."""
        return isinstance(self.app.session_interface, SecureCookieSessionInterface)

    @property
    def has_sessions(self) -> bool:
        """Whether there can be sessions at all."""
        return bool(self.app.secret_key) or not self.has_cookie_sessions

    @property
    def uses_greenlets(self) -> bool:
        """Whether a driver that blocks its thread would block all clients."""
        return self.gunicorn is None or self.gunicorn.kind in ("gevent", "")

    @property
    def workers(self) -> int:
        """Worker processes of one host; 1 if nothing tells."""
        return 1 if self.gunicorn is None else max(self.gunicorn.workers, 1)

    @property
    def proxy_fix(self) -> ProxyFix | None:
        """The ProxyFix around the app, as far as it can be seen from ``app.wsgi_app``."""
        for layer in _unwrap(self.app.wsgi_app):
            if isinstance(layer, ProxyFix):
                return layer
        return None


def _unwrap(wsgi_app: Any) -> Iterator[Any]:
    for _ in range(_DEPTH):
        yield wsgi_app
        inner = (getattr(wsgi_app, name, None) for name in _WRAPPED)
        wsgi_app = next((found for found in inner if callable(found)), None)
        if wsgi_app is None:
            return
