"""Logging in and out."""

import click
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.cli import with_appcontext
from flask_login import current_user, login_required, login_user, logout_user

from .chat import chat
from .extensions import db
from .models import Member

accounts = Blueprint("accounts", __name__)


@accounts.route("/login", methods=["GET", "POST"])
def login():
    if request.method == "POST":
        member = Member.query.filter_by(name=request.form["name"]).first()
        if member and not member.is_banned and member.has_password(request.form["password"]):
            login_user(member)
            return redirect(url_for("board.index"))
        flash("This name and password do not belong together.")
    return render_template("login.html")


@accounts.route("/logout", methods=["POST"])
@login_required
def logout():
    name = current_user.name
    logout_user()
    chat.disconnect(name)
    return redirect(url_for("accounts.login"))


@click.command("add-member")
@click.argument("name")
@click.password_option()
@with_appcontext
def add_member(name, password):
    """Add a member of the club."""
    member = Member(name=name)
    member.set_password(password)
    db.session.add(member)
    db.session.commit()
    click.echo(f"{name} may log in now")
