"""Calls between two users, meetings of up to six, and the lines about calls in the chat.

A page sends                result
`session /users/bob`        bob's devices ring: see docs/calls.md
`get /users/sessions`       the calls of this page, for a page that was reloaded
`session /rooms/standup`    the page joins a meeting: see docs/rooms.md
`put /pictures`             tells that there is a picture in the call `data.path`
`get /ice`                  STUN and TURN servers: see docs/ice.md

Sound and pictures go directly from page to page. In the browser, `protoo-call.mjs` and
`static/meeting.js` send these requests.
"""

from __future__ import annotations

import re
import secrets
import time

from protoo_flask import Reject
from protoo_flask.middleware import ice_servers, room_handler, session_handler

from .chat import notify, protoo
from .models import Call, Message, Profile, User, db

#: In a mesh every member sends to every other. More members are too much for a phone's network.
MAX_MEMBERS = 6
MEETING_NAME = re.compile(r"[a-z0-9._-]{1,30}")

#: {cause: outcome shown in the chat}, for calls that were not answered. "glare" (both users called
#: each other) is missing because the other call continues.
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

#: {path: session} of the answered calls that have not ended
open_calls = {}

#: The paths of those that have, or have had, a picture
calls_with_video = set()


def begin(session, req):
    """Refuse calls to unknown and busy users. Every call to a known user gets a chat line.

    A refused call rings nowhere, and emits no "close", so its line is stored here.
    """
    caller, callee = session.caller["username"], session.callee["username"]
    if callee == caller or User.named(callee) is None:
        raise Reject(404, f"there is no user {callee} to call")
    media = req.data.get("media")
    has_video = isinstance(media, list) and "video" in media

    @session.on("open")
    def enter(session):
        open_calls[session.path] = session
        if has_video:
            calls_with_video.add(session.path)

    @session.on("close")
    def leave(session):
        open_calls.pop(session.path, None)
        outcome = outcome_of(session)
        if outcome is not None:
            write_down(session, outcome, has_video or session.path in calls_with_video)
        calls_with_video.discard(session.path)

    # "unavailable" is more to the point if the callee is not there at all.
    if Profile.of(callee).is_busy and protoo.peers(callee):
        write_down(session, "busy", has_video)
        req.reply(486, "do not disturb")
    elif is_talking(callee):
        # Without this, the devices of the callee that are not in the call would ring.
        write_down(session, "busy", has_video)
        req.reply(486, "busy here")


def is_talking(username):
    """Whether a connected page of the user is in a call.

    A page that was closed has a grace period, and its call goes on for as long. The user may have
    opened another page by now, which can be called.
    """
    # A copy: with threads, other calls begin and end during the iteration.
    parties = [party for call in list(open_calls.values()) for party in (call.caller, call.callee)]
    devices = [protoo.peer(**party) for party in parties if party["username"] == username]
    return any(device is not None and device.online for device in devices)


@protoo.put("/pictures")
def note_picture(req, next):
    """Note that a call which began with sound only has become a video call.

    Pages send their pictures to each other, so the server has to be told.
    """
    path = req.data.get("path")
    call = open_calls.get(path) if isinstance(path, str) else None
    if call is None or req.sender not in (call.caller, call.callee):
        raise Reject(404, "this page is in no such call")
    calls_with_video.add(path)
    req.reply(200, "OK")


def outcome_of(session):
    if session.answered is not None:
        return "answered"
    if session.status == 486:
        return "busy"
    return OUTCOMES.get(session.cause)


def write_down(session, outcome, has_video):
    """Store the chat line of a call, and show it to both users.

    Its time is the end of the call, which gives its place in the history. Only the line of a
    missed call waits to be received and read. Without room for it, the call has no line.
    """
    caller, callee = session.caller["username"], session.callee["username"]
    if not Message.make_room(caller):
        return
    call = Call(outcome=outcome, has_video=has_video)
    if session.answered is not None:
        call.duration = session.ended - session.answered
    message = Message(
        # Not the id in the path: the caller knows it, and could send a message with it first.
        uuid=secrets.token_hex(16),
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
        raise Reject(400, "a meeting's name has 1 to 30 characters: a to z, digits, and . _ -")


protoo.use("/rooms", room_handler(protoo, check_name, path="/:room_id", max_peers=MAX_MEMBERS))
