"""The app of a test, and the pages of its users."""

from __future__ import annotations

import pytest

from sample_app import create_app
from sample_app.calls import protoo
from sample_app.models import db


@pytest.fixture
def app(tmp_path):
    """An app with a database of its own."""
    uri = f"sqlite:///{tmp_path / 'chat.sqlite'}"
    app = create_app({"SQLALCHEMY_DATABASE_URI": uri, "SECRET_KEY": "of the tests"})
    yield app
    with app.app_context():
        protoo.close()
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def log_in(app):
    """Log a user in, as the form of the site does; returns the browser: Flask's test client."""

    def log_in(username, browser=None):
        browser = browser or app.test_client()
        assert browser.post("/login", data={"username": username}).status_code == 302
        return browser

    return log_in


@pytest.fixture
def open_page(log_in, protoo_clients):
    """Open a page of the chat: log a user in, and connect the page's WebSocket."""

    def open_page(username, uuid=None, browser=None):
        browser = browser or log_in(username)
        return protoo_clients(client=browser, uuid=uuid or f"{username}1")

    return open_page
