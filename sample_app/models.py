"""The database: users, their profiles and logins, messages, and the outcomes of calls."""

from __future__ import annotations

import re
import time

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import and_, case, func, or_
from sqlalchemy.exc import IntegrityError

db = SQLAlchemy()

USERNAME = re.compile(r"[A-Za-z0-9._-]{1,30}")

# Without a password everybody can make users, and write as any of them. So each table has a limit.
# The largest database has 500 000 messages of 2000 characters, about 1 GB.

#: Every page lists all users, and watches them.
MAX_USERS = 500

#: Messages and lines of calls that one user has sent. Older ones that were read are deleted.
MAX_SENT = 1000


class User(db.Model):
    """A user that has logged in at least once."""

    __tablename__ = "users"

    id = db.Column(db.Integer, primary_key=True)
    username = db.Column(db.String(30), unique=True, nullable=False)
    created_at = db.Column(db.Float, nullable=False, default=time.time)

    @staticmethod
    def named(username):
        """Return the user, or None."""
        return db.session.execute(db.select(User).filter_by(username=username)).scalar_one_or_none()

    @staticmethod
    def has_room():
        return db.session.execute(db.select(func.count(User.id))).scalar_one() < MAX_USERS

    @staticmethod
    def usernames():
        return db.session.execute(db.select(User.username).order_by(User.username)).scalars().all()


class Profile(db.Model):
    """What is known of a user beside the name. A user that has told nothing may have no profile.

    A table of its own, for the databases of older versions: see `Call`.
    """

    __tablename__ = "profiles"

    username = db.Column(db.String(30), db.ForeignKey("users.username"), primary_key=True)
    name = db.Column(db.String(40))  # the name to display, if it is another one
    last_seen = db.Column(db.Float)  # seconds since the epoch
    is_busy = db.Column(db.Boolean, nullable=False, default=False)  # "do not disturb"

    @staticmethod
    def of(username):
        """Return the profile, or an empty one that is not stored."""
        return db.session.get(Profile, username) or Profile(username=username, is_busy=False)

    @staticmethod
    def by_username():
        profiles = db.session.execute(db.select(Profile)).scalars()
        return {profile.username: profile for profile in profiles}

    @staticmethod
    def change(username, **values):
        """Set some columns; two pages of a user may do that at the same moment."""
        for _ in range(2):
            changed = db.session.execute(
                db.update(Profile)
                .where(Profile.username == username)
                .values(**values)
                .execution_options(synchronize_session=False)
            )
            if changed.rowcount == 0:
                db.session.add(Profile(username=username, **values))
            try:
                db.session.commit()
                return
            except IntegrityError:
                db.session.rollback()  # the other page has made the profile: update that


class Login(db.Model):
    """A browser in which a user has logged in, until the logout. See `logins.py`."""

    __tablename__ = "logins"

    token = db.Column(db.String(32), primary_key=True)
    username = db.Column(db.String(30), db.ForeignKey("users.username"), nullable=False, index=True)
    created_at = db.Column(db.Float, nullable=False, default=time.time)


class Message(db.Model):
    """A message from one user to another. Times are seconds since the epoch.

    The sending page makes the `uuid`. If the page loses the connection before the answer, it sends
    the message again with the same `uuid`. The constraint keeps it from being stored twice.
    """

    __tablename__ = "messages"
    __table_args__ = (
        db.UniqueConstraint("sender", "uuid"),
        db.Index("ix_messages_conversation", "recipient", "sender", "id"),
    )

    id = db.Column(db.Integer, primary_key=True)
    uuid = db.Column(db.String(64), nullable=False)
    sender = db.Column(db.String(30), db.ForeignKey("users.username"), nullable=False)
    recipient = db.Column(db.String(30), db.ForeignKey("users.username"), nullable=False)
    text = db.Column(db.Text, nullable=False)
    sent_at = db.Column(db.Float, nullable=False, default=time.time)
    delivered_at = db.Column(db.Float)
    read_at = db.Column(db.Float)
    call = db.relationship("Call", uselist=False, lazy="joined")

    def to_dict(self):
        return {
            "id": self.id,
            "uuid": self.uuid,
            "sender": self.sender,
            "recipient": self.recipient,
            "text": self.text,
            "sent_at": self.sent_at,
            "delivered_at": self.delivered_at,
            "call": None if self.call is None else self.call.to_dict(),
        }

    @staticmethod
    def sent_by(sender, uuid):
        """Return the message that a page of this user has sent with this uuid, or None."""
        query = db.select(Message).filter_by(sender=sender, uuid=uuid)
        return db.session.execute(query).scalar_one_or_none()

    @staticmethod
    def make_room(sender):
        """Delete the oldest messages of a sender for the next one, beyond `MAX_SENT`.

        Only messages that were read are deleted, and a flood deletes those of its sender only.
        Returns False if too few of them were read.
        """
        count = db.select(func.count(Message.id)).filter_by(sender=sender)
        surplus = db.session.execute(count).scalar_one() + 1 - MAX_SENT
        if surplus <= 0:
            return True
        was_read = db.select(Message.id).filter_by(sender=sender).where(Message.read_at.isnot(None))
        oldest = was_read.order_by(Message.id).limit(surplus)
        ids = db.session.execute(oldest).scalars().all()
        options = {"synchronize_session": False}  # no object of theirs is in use
        for table, key in ((Call, Call.message_id), (Message, Message.id)):
            db.session.execute(db.delete(table).where(key.in_(ids)).execution_options(**options))
        return len(ids) == surplus

    @staticmethod
    def between(one, other, before=None, limit=30):
        """Return the last `limit` messages of a conversation, the oldest first."""
        query = db.select(Message).where(
            or_(
                and_(Message.sender == one, Message.recipient == other),
                and_(Message.sender == other, Message.recipient == one),
            )
        )
        if before is not None:
            query = query.where(Message.id < before)
        query = query.order_by(Message.id.desc()).limit(limit)
        return db.session.execute(query).scalars().all()[::-1]

    @staticmethod
    def latest_of(username):
        """Return the last message of each conversation of a user: {other username: Message}."""
        other = case((Message.sender == username, Message.recipient), else_=Message.sender)
        latest = (
            db.select(func.max(Message.id))
            .where(or_(Message.sender == username, Message.recipient == username))
            .group_by(other)
        )
        rows = db.session.execute(db.select(other, Message).where(Message.id.in_(latest)))
        return dict(rows.all())

    @staticmethod
    def unread_of(username):
        """Return how many messages a user has not read: {sender: count}."""
        query = (
            db.select(Message.sender, func.count())
            .where(Message.recipient == username, Message.read_at.is_(None))
            .group_by(Message.sender)
        )
        return dict(db.session.execute(query).all())

    @staticmethod
    def waiting_for(username, limit=100):
        """Return messages that no device of a user has received yet, the oldest first."""
        query = (
            db.select(Message)
            .where(Message.recipient == username, Message.delivered_at.is_(None))
            .order_by(Message.id)
            .limit(limit)
        )
        return db.session.execute(query).scalars().all()


class Call(db.Model):
    """The outcome of a call, for a message that is the chat line about this call.

    So a call has a place in the history, and is read or unread, like any other message. It has its
    own table because `create_all()` can add a table to the database of an older version of this
    site, but cannot add columns to an existing table.
    """

    __tablename__ = "calls"

    message_id = db.Column(db.Integer, db.ForeignKey("messages.id"), primary_key=True)
    outcome = db.Column(db.String(20), nullable=False)
    has_video = db.Column(db.Boolean, nullable=False)
    duration = db.Column(db.Float)  # seconds, if the call was answered

    #: outcomes that count as a missed call for the callee
    MISSED = ("busy", "canceled", "failed", "unanswered")

    @property
    def is_missed(self):
        return self.outcome in self.MISSED

    def to_dict(self):
        return {
            "outcome": self.outcome,
            "video": self.has_video,
            "duration": self.duration,
            "missed": self.is_missed,
        }
