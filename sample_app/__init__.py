"""A small chat site: an ordinary Flask application with protoo_flask added to it.

`views.py` and `models.py` are an ordinary Flask site, without protoo_flask. `chat.py` and
`calls.py` add messages, presence, history, calls and meetings, over one WebSocket per open page.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from flask import Flask
from sqlalchemy.exc import OperationalError

from .calls import protoo
from .models import db
from .views import pages


def create_app(config=None):
    """Make the application.

    `config` is a mapping that overrides every other setting, for tests:
    `create_app({"SQLALCHEMY_DATABASE_URI": "sqlite:////tmp/test.db", "SECRET_KEY": "test"})`.
    """
    app = Flask(__name__)
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    # Set HTTPS=1 behind a proxy with TLS, so that browsers never send the cookie unencrypted.
    app.config["SESSION_COOKIE_SECURE"] = os.environ.get("HTTPS") == "1"
    # The only form has one name. Flask 3.1 and later have a limit of 500 kB for forms.
    app.config["MAX_CONTENT_LENGTH"] = 16 * 1024
    # A reloading page or a phone in a tunnel reconnects within seconds. During this grace period
    # the other users are not told about the absence, and requests to the device wait.
    app.config["PROTOO_DISCONNECT_GRACE_PERIOD"] = 15
    # This timeout also limits how long a message waits for an absent device. It is longer than
    # the grace period, so the result shows whether the device came back.
    app.config["PROTOO_REQUEST_TIMEOUT"] = 20
    # Shorter than the default of two minutes: telephones do not ring that long.
    app.config["PROTOO_SESSION_TIMEOUT"] = 45
    app.config["PROTOO_ICE_SERVERS"] = ice_servers_of_environment()
    app.config["PROTOO_TURN_SECRET"] = os.environ.get("TURN_SECRET")
    # With a Redis, several workers and hosts are one site; see gunicorn.conf.py.
    app.config["PROTOO_CLUSTER_URL"] = os.environ.get("REDIS_URL")
    # A login lasts 31 days (PERMANENT_SESSION_LIFETIME), but a page may stay open for longer. So
    # authorize() runs again at this interval. It also notices a logout in another process.
    app.config["PROTOO_REAUTHORIZE_INTERVAL"] = 60
    # Without this setting Flask-SQLAlchemy 2 prints a warning.
    app.config["SQLALCHEMY_TRACK_MODIFICATIONS"] = False
    app.config.update(config or {})
    if not app.config.get("SQLALCHEMY_DATABASE_URI"):
        app.config["SQLALCHEMY_DATABASE_URI"] = database_uri(app)
    if not app.secret_key:
        app.secret_key = secret_key(app)

    db.init_app(app)
    protoo.init_app(app)
    app.register_blueprint(pages)
    app.after_request(add_security_headers)

    # A site with an existing database would use migrations for this.
    with app.app_context():
        create_tables()
    return app


def create_tables():
    """Create the tables that are missing; another worker may be doing the same just now."""
    for _ in db.metadata.sorted_tables:
        with contextlib.suppress(OperationalError):  # a table that was missing is there by now
            db.create_all()
            return
    db.create_all()


def database_uri(app):
    return os.environ.get("DATABASE_URL") or f"sqlite:///{instance_folder(app) / 'chat.sqlite'}"


def ice_servers_of_environment():
    """Read `ICE_SERVERS`: URLs with spaces, "stun:turn.example.org turn:turn.example.org"."""
    return [{"urls": url} for url in os.environ.get("ICE_SERVERS", "").split()]


def secret_key(app):
    """Return the key of the environment, or else a key that the first start has saved.

    A new key at each start would log everybody out at each restart.
    """
    if os.environ.get("SECRET_KEY"):
        return os.environ["SECRET_KEY"]
    path = instance_folder(app) / "secret_key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text()
    with open(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    return path.read_text()


def instance_folder(app):
    folder = Path(app.instance_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def add_security_headers(response):
    # "data:" allows the small pictures inside the style sheet. "self" also covers the WebSocket.
    # Calls need no other permission: a <video> with a stream instead of a URL loads nothing.
    response.headers.setdefault(
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    )
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "same-origin")
    return response
