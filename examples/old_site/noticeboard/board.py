"""The board: members read notices, and pin new ones."""

from flask import Blueprint, redirect, render_template, request, url_for
from flask_login import current_user, login_required

from .extensions import db
from .models import Notice

board = Blueprint("board", __name__)


@board.route("/")
@login_required
def index():
    notices = Notice.query.order_by(Notice.id.desc()).limit(50).all()
    return render_template("board.html", notices=notices)


@board.route("/notices", methods=["POST"])
@login_required
def pin():
    text = request.form["text"].strip()
    if text:
        db.session.add(Notice(text=text[:500], author=current_user))
        db.session.commit()
    return redirect(url_for("board.index"))
