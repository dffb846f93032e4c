"""The tables of the site."""

from datetime import datetime, timezone

from flask_login import UserMixin
from werkzeug.security import check_password_hash, generate_password_hash

from .extensions import db, login_manager


def now():
    return datetime.now(timezone.utc)


class Member(UserMixin, db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(40), unique=True, nullable=False)
    password_hash = db.Column(db.String(256), nullable=False)
    is_banned = db.Column(db.Boolean, nullable=False, default=False)

    def set_password(self, password):
        self.password_hash = generate_password_hash(password)

    def has_password(self, password):
        return check_password_hash(self.password_hash, password)


class Notice(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    text = db.Column(db.String(500), nullable=False)
    pinned = db.Column(db.DateTime, nullable=False, default=now)
    author_id = db.Column(db.Integer, db.ForeignKey(Member.id), nullable=False)
    author = db.relationship(Member)


@login_manager.user_loader
def load_member(member_id):
    return db.session.get(Member, int(member_id))
