"""The chat: what protoo_flask adds to the site, but for the calls.

A page sends            and is answered
`get /contacts`         everybody else, with unread count and last message
`get /history/bob`      the last messages, or those before `data.before`
`put /history/bob`      marks as read what bob sent, up to `data.read`
`message /users/bob`    100 with the stored message, then what became of it at bob's devices
`get /waiting`          what no device of this user has confirmed yet
`put /received`         confirms that this device has the messages `data.ids`
`typing /users/bob`     nothing: tells bob's devices
`subscribe`, `publish`  to /presence/bob and /presence: see docs/presence.md

and is told by the server: `message` (a request when somebody else wrote it, a notification when
another page of the same user did, or when it tells of a call), `delivered`, `read`, `typing`,
`presence`, and `contact` when somebody logs in for the first time. Calls are in `calls.py`.
"""

from __future__ import annotations

import time

from flask import request, session
from sqlalchemy.exc import IntegrityError

from protoo_flask import Protoo, Reject
from protoo_flask.middleware import p2p_messenger, presence

from .models import Message, User, db

MAX_TEXT_LENGTH = 2000
PREVIEW_LENGTH = 100
PAGE_SIZE = 30

protoo = Protoo()


@protoo.authorize
def authorize():
    """Let in whoever has logged in to the site. Each open page is a device of its own.

    Without this function protoo_flask would do the same, save for the data: with it, logging out
    closes the pages of this login and leaves the user's other browsers alone.
    """
    if "username" not in session:
        raise Reject(401, "you are not logged in")
    return session["username"], request.args.get("uuid"), {"login": session.get("login")}


def close_devices_of_login(username, login):
    for peer in protoo.peers(username):
        if peer.data["login"] == login:
            peer.close(3001, "logged out")


def notify(username, method, data):
    """Tell every device of a user."""
    protoo.broadcast(protoo.peers(username), method, data)


# Presence


def may_watch(peer, username):
    """Let everybody see who is online: whoever has logged in is in everybody's contacts."""
    return True


protoo.use("/presence", presence(protoo, may_watch))


def introduce(username):
    """Tell everybody who is online of a new user, for their pages to watch."""
    protoo.broadcast(protoo.peers(), "contact", {"username": username})


# Messages


@protoo.message("/users/:username")
def store(req, next):
    """Store the message before it travels, so that nothing is lost on the way.

    What this puts into `req.data` is what the messenger below forwards. A sender cannot give
    itself another name or time.
    """
    sender, recipient = req.peer.username, req.params["username"]
    uuid, text = req.data.get("uuid"), req.data.get("text")
    if not isinstance(uuid, str) or not 1 <= len(uuid) <= 64:
        raise Reject(400, "data.uuid must be a string of 1 to 64 characters")
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT_LENGTH:
        raise Reject(400, f"data.text must be a string of 1 to {MAX_TEXT_LENGTH} characters")
    if recipient == sender or User.named(recipient) is None:
        raise Reject(404, "no such user")

    message = Message(uuid=uuid, sender=sender, recipient=recipient, text=text)
    db.session.add(message)
    try:
        db.session.commit()
    except IntegrityError:
        # The page has sent it before, and was away for longer than the grace period or reloaded
        # before it heard of that. Within the grace period protoo_flask sees to it.
        db.session.rollback()
        stored = db.select(Message).filter_by(sender=sender, uuid=uuid)
        req.reply(100, "stored", db.session.execute(stored).scalar_one().to_dict())
        req.reply(200, "already stored")
        return

    req.data.clear()
    req.data.update(message.to_dict())
    # The page need not wait for the recipient to know that the message is safe, and its place in
    # the history. The final response is the messenger's, when each device has answered.
    req.reply(100, "stored", req.data)
    next()


def keep_for_later(req, username):
    """Answer for a user who is not online: the message is in the database already."""
    req.reply(202, "stored until the recipient comes online")


protoo.use(
    "/users",
    p2p_messenger(protoo, "/:username", report="all", carbons=True, on_offline=keep_for_later),
)


@protoo.get("/waiting")
def waiting(req, next):
    """Answer with what no device of this user has received; confirmed by `put /received`."""
    messages = Message.waiting_for(req.peer.username)
    req.reply(200, "OK", {"messages": [message.to_dict() for message in messages]})


@protoo.put("/received")
def received(req, next):
    """Mark messages as delivered and tell those who sent them.

    The messenger's report cannot stand in for this. It knows nothing of messages that were fetched
    from /waiting, and comes only when the last device has answered: nobody should wait for a phone
    that is away to see that the message is on the laptop.
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
    # For a device that is away it would wait, and be wrong when it arrives.
    present = [peer for peer in protoo.peers(req.params["username"]) if peer.online]
    protoo.broadcast(present, "typing", {"username": req.peer.username})
    req.reply(200, "OK")


# Contacts and history


@protoo.get("/contacts")
def contacts(req, next):
    me = req.peer.username
    unread, latest = Message.unread_of(me), Message.latest_of(me)
    req.reply(
        200,
        "OK",
        {
            "contacts": [
                {
                    "username": username,
                    "unread": unread.get(username, 0),
                    "last": preview(latest.get(username)),
                }
                for username in User.usernames()
                if username != me
            ]
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
    """Mark as read, and keep the user's other tabs in step."""
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
    """Whether a value from outside may be asked for as a message's id."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53
