"""A notice board for the members of a club."""

import os

from flask import Flask

from .accounts import accounts, add_member
from .board import board
from .chat import chat
from .extensions import csrf, db, login_manager


def create_app(config=None):
    app = Flask(__name__)
    app.config["SECRET_KEY"] = os.environ.get("SECRET_KEY", "change me")
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ.get("DATABASE_URL", "sqlite:///board.sqlite")
    app.config["SQLALCHEMY_TRACK_MODIFICATIONS"] = False
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    app.config["PROTOO_DISCONNECT_GRACE_PERIOD"] = 10  # seconds: a page that reloads is not offline
    app.config.update(config or {})

    db.init_app(app)
    login_manager.init_app(app)
    csrf.init_app(app)
    chat.init_app(app)

    app.register_blueprint(accounts)
    app.register_blueprint(board)
    app.cli.add_command(add_member)
    with app.app_context():
        db.create_all()
    return app
