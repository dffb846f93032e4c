"""Makes session cookies like those of the site's login view."""

from __future__ import annotations

import functools

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

#: The same key as in the site's app.
SECRET_KEY = "the key of the benchmarks"


@functools.lru_cache(maxsize=None)
def cookie_of(username: str) -> str:
    """Return the session cookie of a logged-in user.

    Flask signs it in this process. Logging in 10 000 users over HTTP would take longer than the
    measurement with them.
    """
    app = Flask("benchmarks")
    app.secret_key = SECRET_KEY
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    signed = serializer.dumps({"username": username})
    return f"session={signed.decode() if isinstance(signed, bytes) else signed}"
