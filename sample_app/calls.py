"""Calls between two, meetings of up to six, and what the chat tells of calls afterwards.

A page sends                and is answered
`session /users/bob`        rings at bob's devices: see docs/calls.md
`get /users/sessions`       the calls that the page is in, for one that was reloaded
`session /rooms/standup`    joins a meeting: see docs/rooms.md
`get /ice`                  STUN and TURN servers: see docs/ice.md

Sound and pictures go from page to page. All of this is `protoo-call.mjs` and `static/meeting.js`
at the other end of the wire.
"""

from __future__ import annotations

import re
import time

from protoo_flask import Reject
from protoo_flask.middleware import ice_servers, room_handler, session_handler

from .chat import notify, protoo
from .models import Call, Message, User, db

#: In a mesh everybody sends to everybody: more is too much for a phone and its network.
MAX_MEMBERS = 6
MEETING_NAME = re.compile(r"[a-z0-9._-]{1,30}")

#: How a call that nobody answered ended, in the words of the chat. A call that met another one
#: ("glare") is not in here: the other one goes on.
OUTCOMES = {
    "declined": "declined",
    "rejected": "unanswered",
    "gone": "unanswered",
    "unavailable": "unanswered",
    "timeout": "unanswered",
    "canceled": "canceled",
    "offline": "canceled",
    "failed": "failed",
}

#: {path: the usernames of both}, of the calls that were answered and go on
open_calls = {}


def begin(session, req):
    """Refuse calls to nobody and to who is talking, and have the others written down."""
    caller, callee = session.caller["username"], session.callee["username"]
    if callee == caller or User.named(callee) is None:
        raise Reject(404, "no such user")
    media = req.data.get("media")
    has_video = isinstance(media, list) and "video" in media

    @session.on("open")
    def enter(session):
        open_calls[session.path] = (caller, callee)

    @session.on("close")
    def leave(session):
        open_calls.pop(session.path, None)
        outcome = outcome_of(session)
        if outcome is not None:
            write_down(session, outcome, has_video)

    if is_talking(callee):
        # Perhaps at one device only, and the others would ring. There is no "close" of a call
        # that is refused.
        write_down(session, "busy", has_video)
        req.reply(486, "busy here")


def is_talking(username):
    # A copy: with threads, calls come and go meanwhile.
    return any(username in usernames for usernames in list(open_calls.values()))


def outcome_of(session):
    if session.answered is not None:
        return "answered"
    if session.cause == "rejected" and session.status == 486:
        return "busy"
    return OUTCOMES.get(session.cause)


def write_down(session, outcome, has_video):
    """Store the line of a call, and show it to both.

    It is dated when the call ended, as that is its place in the history. Only a call that was
    missed waits to be received and read.
    """
    caller, callee = session.caller["username"], session.callee["username"]
    call = Call(outcome=outcome, has_video=has_video)
    if session.answered is not None:
        call.duration = session.ended - session.answered
    message = Message(
        uuid=session.path.rpartition("/")[2],
        sender=caller,
        recipient=callee,
        text="Video call" if has_video else "Audio call",
        call=call,
    )
    if not call.is_missed:
        message.delivered_at = message.read_at = time.time()
    db.session.add(message)
    db.session.commit()
    for username in (caller, callee):
        notify(username, "message", message.to_dict())


protoo.use("/users", session_handler(protoo, on_session=begin))
protoo.use("/ice", ice_servers(protoo))


# Meetings


def check_name(room, req):
    if not MEETING_NAME.fullmatch(room.id):
        raise Reject(400, "a meeting's name has 1 to 30 characters: letters a-z, digits, and . _ -")


protoo.use("/rooms", room_handler(protoo, check_name, path="/:room_id", max_peers=MAX_MEMBERS))
