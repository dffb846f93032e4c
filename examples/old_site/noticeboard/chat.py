"""The chat, which was added to the site."""

from flask import request
from flask_login import current_user

from protoo_flask import Protoo, Reject
from protoo_flask.middleware import p2p_messenger

from .models import Member

chat = Protoo()


@chat.authorize
def authorize():
    """Let members in that the site lets in."""
    if not current_user.is_authenticated or current_user.is_banned:
        raise Reject(401, "log in first")
    return current_user.name, request.args.get("uuid")


def tell_absence(req, name):
    """Answer a message to a member who is not there, and to nobody."""
    if Member.query.filter_by(name=name).first() is None:
        req.reply(404, "there is no such member")
    else:
        req.reply(480, f"{name} is not here at the moment")


chat.use("/members", p2p_messenger(chat, on_offline=tell_absence))
