"""Logins: the server knows each one, so a logout ends it.

Flask keeps a session in a signed cookie. The browser forgets the cookie at logout, but a copy of
the cookie stays valid. So the session has a token, and the server a table of valid tokens.
"""

from __future__ import annotations

import secrets
import time

from flask import current_app, session

from .models import Login, db

#: Logins of one user at a time; one more ends the oldest.
MAX_LOGINS = 20


def find_user():
    """Return the name of the user that has logged in with this browser, or None."""
    username, token = session.get("username"), session.get("login")
    return username if is_valid(username, token) else None


def is_valid(username, token):
    """Whether this login of this user has neither ended nor expired."""
    login = db.session.execute(
        db.select(Login.token).where(
            Login.token == str(token), Login.username == username, Login.created_at > oldest_time()
        )
    )
    return login.first() is not None


def begin(username):
    """Log a user in with this browser. Return the tokens of other logins that end for it."""
    delete(Login.created_at <= oldest_time())
    tokens = db.select(Login.token).filter_by(username=username).order_by(Login.created_at.desc())
    surplus = db.session.execute(tokens.offset(MAX_LOGINS - 1)).scalars().all()
    delete(Login.token.in_(surplus))
    login = Login(token=secrets.token_hex(16), username=username)
    db.session.add(login)
    db.session.commit()
    session.clear()
    session.update(username=username, login=login.token)
    session.permanent = True
    return surplus


def end():
    """Log the user of this browser out. Return the name and the token, or None twice."""
    username, token = session.get("username"), session.get("login")
    session.clear()
    delete(Login.token == str(token))
    db.session.commit()
    return username, token


def delete(condition):
    options = {"synchronize_session": False}  # nobody keeps a Login object
    db.session.execute(db.delete(Login).where(condition).execution_options(**options))


def oldest_time():
    return time.time() - current_app.permanent_session_lifetime.total_seconds()
