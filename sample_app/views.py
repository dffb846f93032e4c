"""The pages of the site: log in by name, chat, log out."""

from __future__ import annotations

import re
import secrets
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    abort,
    current_app,
    redirect,
    render_template,
    request,
    session,
    url_for,
)

from .chat import MAX_TEXT_LENGTH, close_devices_of_login, introduce
from .models import User, db

USERNAME = re.compile(r"[A-Za-z0-9._-]{1,30}")

pages = Blueprint("pages", __name__)


@pages.before_request
def refuse_forms_of_other_sites():
    """Refuse a form that another site's page sends in the user's name (CSRF).

    Browsers name the site of the form in `Origin`. The session cookie is also SameSite=Lax.
    """
    origin = request.headers.get("Origin")
    if request.method == "POST" and origin and urlsplit(origin).netloc != request.host:
        abort(403, "this form was sent by another site")


@pages.get("/")
def index():
    username = session.get("username")
    if username is None:
        return redirect(url_for("pages.login"))
    remember(username)
    return render_template(
        "chat.html",
        username=username,
        protoo_url=request.script_root + current_app.config["PROTOO_PATH"],
        max_text_length=MAX_TEXT_LENGTH,
    )


@pages.get("/login")
def login():
    if "username" in session:
        return redirect(url_for("pages.index"))
    return render_template("login.html")


@pages.post("/login")
def log_in():
    name = request.form.get("username", "").strip()
    if not USERNAME.fullmatch(name):
        error = "A name has 1 to 30 characters: letters a-z, digits, and . _ -"
        return render_template("login.html", name=name, error=error), 400
    forget_login()
    session["username"] = name.lower()
    session["login"] = secrets.token_hex(8)
    session.permanent = True
    remember(session["username"])
    return redirect(url_for("pages.index"))


@pages.post("/logout")
def logout():
    forget_login()
    return redirect(url_for("pages.login"))


def remember(username):
    """Add a user with a valid cookie to the database, unless it is there already."""
    if User.named(username) is None:
        db.session.add(User(username=username))
        db.session.commit()
        introduce(username)


def forget_login():
    if "username" in session:
        close_devices_of_login(session["username"], session.get("login"))
    session.clear()
