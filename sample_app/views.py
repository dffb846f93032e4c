"""The pages of the site: log in by name, chat, log out."""

from __future__ import annotations

from flask import (
    Blueprint,
    abort,
    current_app,
    redirect,
    render_template,
    request,
    url_for,
)
from sqlalchemy.exc import IntegrityError

from . import logins
from .chat import MAX_TEXT_LENGTH, close_devices_of_login, introduce
from .models import USERNAME, User, db

MAX_NAME_LENGTH = 30

pages = Blueprint("pages", __name__)


@pages.before_request
def refuse_forms_of_other_sites():
    """Refuse a form that another site's page sends in the user's name (CSRF).

    Browsers name the site of the form in `Origin`. The session cookie is also SameSite=Lax.
    """
    origin = request.headers.get("Origin")
    if request.method == "POST" and origin and origin.partition("://")[2] != request.host:
        abort(403, "this form was sent by another site")


@pages.after_request
def keep_out_of_caches(response):
    """Keep the "back" button from showing the pages of a user that has logged out."""
    response.headers["Cache-Control"] = "no-store"
    return response


@pages.get("/")
def index():
    username = logins.find_user()
    if username is None:
        return redirect(url_for("pages.login"))
    return render_template(
        "chat.html",
        username=username,
        protoo_url=request.script_root + current_app.config["PROTOO_PATH"],
        max_text_length=MAX_TEXT_LENGTH,
    )


@pages.get("/login")
def login():
    if logins.find_user() is not None:
        return redirect(url_for("pages.index"))
    return render_template("login.html")


@pages.post("/login")
def log_in():
    name = request.form.get("username", "").strip()
    if not USERNAME.fullmatch(name):
        return refuse(400, name, "A name has 1 to 30 characters: a to z, digits, and . _ -")
    username = name.lower()
    if not remember(username):
        return refuse(503, name, "This site is full. Log in with the name of a user that exists.")
    end_login()
    for token in logins.begin(username):
        close_devices_of_login(username, token)
    return redirect(url_for("pages.index"))


@pages.post("/logout")
def logout():
    end_login()
    return redirect(url_for("pages.login"))


def refuse(status, name, error):
    return render_template("login.html", name=name[:MAX_NAME_LENGTH], error=error), status


def remember(username):
    """Add a user to the database, unless it is there already. Returns False if it has no room."""
    if User.named(username) is not None:
        return True
    if not User.has_room():
        return False
    db.session.add(User(username=username))
    try:
        db.session.commit()
    except IntegrityError:
        db.session.rollback()  # the user has logged in twice at the same moment
    else:
        introduce(username)
    return True


def end_login():
    """Remove the login first, and then close its pages: the next handshake asks the table."""
    username, token = logins.end()
    if username is not None:
        close_devices_of_login(username, token)
