"""The chat: messages, contacts, presence and history. Calls are in `calls.py`.

A page sends            result
`get /contacts`         all other users, with unread count and last message; and the own name
`get /history/bob`      the last messages, or the last ones before `data.before`
`put /history/bob`      marks bob's messages as read, up to the id `data.read`
`message /users/bob`    100 with the stored message, then the delivery report of bob's devices
`get /waiting`          the messages that no device of this user has confirmed yet
`put /received`         confirms that this device has the messages `data.ids`
`typing /users/bob`     tells bob's devices; the answer has no data
`subscribe`, `publish`  to /presence/bob and /presence: see docs/presence.md

The server sends `message`, `delivered`, `read`, `typing` and `presence`, and `contact` when a user
logs in for the first time or changes the name to display (`profiles.py`). A `message` from another
user is a request. A `message` from another page of the same user, or about a call, is
a notification.
"""

from __future__ import annotations

import time

from flask import request, session
from sqlalchemy.exc import IntegrityError

from protoo_flask import Protoo, Reject
from protoo_flask.middleware import p2p_messenger, presence

from . import logins
from .models import MAX_SENT, USERNAME, Message, Profile, User, db
from .profiles import keep_profiles

MAX_TEXT_LENGTH = 2000
PREVIEW_LENGTH = 100
PAGE_SIZE = 30

protoo = Protoo()


@protoo.authorize
def authorize():
    """Accept users that have logged in to the site. Each open page is a separate device.

    The default of protoo_flask believes the cookie. This site also asks its table of logins,
    because a cookie from before a logout is still valid by itself. With the data `login`, logging
    out closes only the pages of this login, and not those in the user's other browsers.
    """
    username = logins.find_user()
    if username is None:
        raise Reject(401, "you are not logged in")
    return username, request.args.get("uuid"), {"login": session["login"]}


@protoo.on("online")
def check_again(peer):
    """Close a page that was connecting while its login ended.

    authorize() has found the login, and close_devices_of_login() did not find the page yet. This
    listener runs before the first request of the page.
    """
    if not logins.is_valid(peer.username, peer.data["login"]):
        peer.close(3001, "logged out")


def close_devices_of_login(username, login):
    """Close the pages of a login, after it was removed from the table."""
    for peer in protoo.peers(username):
        if peer.data["login"] == login:
            peer.close(3001, "logged out")


def notify(username, method, data):
    """Send a notification to every device of a user."""
    protoo.broadcast(protoo.peers(username), method, data)


# Presence


def may_watch(peer, username):
    """Let all users watch each other: every user is in everybody's contacts.

    Other names are refused, as the server would keep them.
    """
    return USERNAME.fullmatch(username) is not None


keep_profiles(protoo)
protoo.use("/presence", presence(protoo, may_watch))


def introduce(username):
    """Tell all online users about a new user, so that their pages watch it."""
    protoo.broadcast(protoo.peers(), "contact", {"username": username})


# Messages


@protoo.message("/users/:username")
def store(req, next):
    """Store the message before it is forwarded, so that it cannot be lost.

    The messenger below forwards the `req.data` that this handler has replaced. So a sender cannot
    forge its name or the time.
    """
    sender, recipient = req.peer.username, req.params["username"]
    uuid, text = req.data.get("uuid"), req.data.get("text")
    if not isinstance(uuid, str) or not 1 <= len(uuid) <= 64:
        raise Reject(400, "data.uuid must be a string of 1 to 64 characters")
    if not isinstance(text, str) or not text.strip():
        raise Reject(400, "the message is empty")
    if len(text) > MAX_TEXT_LENGTH:
        raise Reject(413, f"the message has more than {MAX_TEXT_LENGTH} characters")
    if recipient == sender or User.named(recipient) is None:
        raise Reject(404, f"there is no user {recipient} to write to")

    if not Message.make_room(sender) and Message.sent_by(sender, uuid) is None:
        raise Reject(480, f"{MAX_SENT} of your messages have not been read yet")

    message = Message(uuid=uuid, sender=sender, recipient=recipient, text=text)
    db.session.add(message)
    try:
        db.session.commit()
    except IntegrityError:
        # The page has sent this message before and did not get the answer: it reloaded, or was
        # offline longer than the grace period. Within that period protoo_flask repeats the answer.
        db.session.rollback()
        req.reply(100, "stored", Message.sent_by(sender, uuid).to_dict())
        req.reply(200, "already stored")
        return

    req.data.clear()
    req.data.update(message.to_dict())
    # With this provisional response the page knows at once that the message is stored, and its
    # place in the history. The messenger sends the final response when all devices have answered.
    req.reply(100, "stored", req.data)
    next()


def keep_for_later(req, username):
    """Answer for an offline user: the message is already in the database."""
    req.reply(202, "stored until the recipient comes online")


protoo.use(
    "/users",
    p2p_messenger(protoo, "/:username", report="all", carbons=True, on_offline=keep_for_later),
)


@protoo.get("/waiting")
def waiting(req, next):
    """Answer with the messages that no device of this user has confirmed by `put /received`."""
    messages = Message.waiting_for(req.peer.username)
    req.reply(200, "OK", {"messages": [message.to_dict() for message in messages]})


@protoo.put("/received")
def received(req, next):
    """Mark messages as delivered and tell their senders.

    The messenger's report cannot replace this. It does not cover messages that were fetched from
    /waiting. And it comes only after the last device has answered: an absent phone would delay
    the news that the laptop has the message.
    """
    ids = req.data.get("ids")
    if not isinstance(ids, list) or len(ids) > 100 or not all(is_id(item) for item in ids):
        raise Reject(400, "data.ids must be a list of at most 100 message ids")
    messages = db.session.execute(
        db.select(Message).where(
            Message.id.in_(ids),
            Message.recipient == req.peer.username,
            Message.delivered_at.is_(None),
        )
    ).scalars()
    delivered = {}
    for message in messages:
        message.delivered_at = time.time()
        delivered.setdefault(message.sender, []).append(message.id)
    db.session.commit()
    for sender, ids_of_sender in delivered.items():
        notify(sender, "delivered", {"username": req.peer.username, "ids": ids_of_sender})
    req.reply(200, "OK")


@protoo.method("typing", "/users/:username")
def typing(req, next):
    # A notification to an absent device would wait, and be outdated on arrival.
    present = [peer for peer in protoo.peers(req.params["username"]) if peer.online]
    # With a sender, a flood of these does not close the page of a slow reader.
    protoo.broadcast(present, "typing", {"username": req.peer.username}, sender=req.sender)
    req.reply(200, "OK")


# Contacts and history


@protoo.get("/contacts")
def contacts(req, next):
    me = req.peer.username
    unread, latest, profiles = Message.unread_of(me), Message.latest_of(me), Profile.by_username()
    profile_of = {username: profiles.get(username, Profile()) for username in User.usernames()}
    req.reply(
        200,
        "OK",
        {
            "name": profile_of[me].name,
            "contacts": [
                {
                    "username": username,
                    "name": profile.name,
                    "last_seen": profile.last_seen,
                    "unread": unread.get(username, 0),
                    "last": preview(latest.get(username)),
                }
                for username, profile in profile_of.items()
                if username != me
            ],
        },
    )


def preview(message):
    if message is None:
        return None
    return {**message.to_dict(), "text": message.text[:PREVIEW_LENGTH]}


@protoo.get("/history/:username")
def history(req, next):
    before = req.data.get("before")
    if before is not None and not is_id(before):
        raise Reject(400, "data.before must be the id of a message")
    messages = Message.between(req.peer.username, req.params["username"], before, PAGE_SIZE + 1)
    page = messages[-PAGE_SIZE:]
    req.reply(
        200,
        "OK",
        {"messages": [message.to_dict() for message in page], "more": len(messages) > PAGE_SIZE},
    )


@protoo.put("/history/:username")
def read(req, next):
    """Mark messages as read, and update the user's other tabs."""
    me, username, last = req.peer.username, req.params["username"], req.data.get("read")
    if not is_id(last):
        raise Reject(400, "data.read must be the id of a message")
    db.session.execute(
        db.update(Message)
        .where(
            Message.recipient == me,
            Message.sender == username,
            Message.id <= last,
            Message.read_at.is_(None),
        )
        .values(read_at=time.time())
        .execution_options(synchronize_session=False)
    )
    db.session.commit()
    notify(me, "read", {"username": username, "unread": Message.unread_of(me).get(username, 0)})
    req.reply(200, "OK")


def is_id(value):
    """Whether an untrusted value can be the id of a message."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53
