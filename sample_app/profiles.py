"""What the site keeps of each user beside the name: a name to display, the last visit, "busy".

A page sends            result
`put /profile`          sets the name that the others see, `data.name`; "" for none

The server sends `contact` with the new name to all pages. The presence of protoo_flask is in memory
only: a restart forgets when a user was seen last. So this module writes it into the database.
"""

from __future__ import annotations

import time

from protoo_flask import Reject

from .models import Profile, User

MAX_DISPLAY_NAME = 40


def read_display_name(value, username):
    """Return a name for display, with single spaces, or None for "" and for the username.

    Only printable characters are accepted: others would hide a part of the name, or turn it around.
    """
    if not isinstance(value, str) or len(value) > 10 * MAX_DISPLAY_NAME:
        raise Reject(400, f"a name must be a text of at most {MAX_DISPLAY_NAME} characters")
    name = " ".join(value.split())
    if len(name) > MAX_DISPLAY_NAME:
        raise Reject(400, f"a name has at most {MAX_DISPLAY_NAME} characters")
    if not name.isprintable():
        raise Reject(400, "a name has printable characters only")
    if name.lower() != username and User.named(name.lower()) is not None:
        raise Reject(409, "this is the name of another user")
    return None if name in ("", username) else name


def keep_profiles(protoo):
    """Add the request and the listeners to the Protoo of the site; called once, by `chat.py`."""

    @protoo.put("/profile")
    def set_name(req, next):
        username = req.peer.username
        name = read_display_name(req.data.get("name"), username)
        Profile.change(username, name=name)
        protoo.broadcast(protoo.peers(), "contact", {"username": username, "name": name})
        req.reply(200, "OK", {"name": name})

    @protoo.method("publish", "/presence")
    def note_status(req, next):
        """Remember who is busy, for `calls.py`, and let `presence` do the rest."""
        status, note = req.data.get("status"), req.data.get("note")
        is_valid = all(value is None or isinstance(value, str) for value in (status, note))
        if is_valid and "status" in req.data:
            Profile.change(req.peer.username, is_busy=status == "busy")
        next()

    @protoo.on("online")
    def begin_visit(peer):
        """Note the visit. A status ends with the visit, also if the server was killed meanwhile."""
        values = {"last_seen": time.time()}
        if len(protoo.peers(peer.username)) == 1:
            values["is_busy"] = False
        Profile.change(peer.username, **values)

    @protoo.on("user_offline")
    def end_visit(username):
        Profile.change(username, last_seen=time.time(), is_busy=False)
