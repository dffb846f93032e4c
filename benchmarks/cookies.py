"""Session cookies of the site, as its login view would set them."""

from __future__ import annotations

import functools

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

#: That of the site's app.
SECRET_KEY = "the key of the benchmarks"


@functools.lru_cache(maxsize=None)
def cookie_of(username: str) -> str:
    """Return the cookie of somebody who has logged in.

    Signed here, by Flask: over HTTP, logging in 10 000 users takes longer than what is
    measured with them.
    """
    app = Flask("benchmarks")
    app.secret_key = SECRET_KEY
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    signed = serializer.dumps({"username": username})
    return f"session={signed.decode() if isinstance(signed, bytes) else signed}"
