"""The sample app, as the tests of it serve it."""

from __future__ import annotations

from flask import Flask


def create_app() -> Flask:
    from sample_app import create_app

    config = {
        # A device without a connection stays online for longer than a test waits.
        "PROTOO_DISCONNECT_GRACE_PERIOD": 60,
        "PROTOO_REAUTHORIZE_INTERVAL": 1,
    }
    app: Flask = create_app(config)
    return app
