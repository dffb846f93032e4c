"""Signals, as in ``flask.signals``: the sender is the Flask app.

=====================  =====================  ===========================================
signal                 keyword arguments      sent when
=====================  =====================  ===========================================
``peer_online``        ``peer``               a device has connected
``peer_disconnect``    ``peer``               its connection dropped, and may come back
``peer_reconnect``     ``peer``               it came back in time
``peer_offline``       ``peer``               it is gone
``user_online``        ``username``           the first device of a user has connected
``user_offline``       ``username``           the last one is gone
``routing_error``      ``error``, ``request`` an error that no error handler took
=====================  =====================  ===========================================

The signals of one user come in order, one at a time, in the Flask contexts of the
peer's handshake (those of a user: of the app). A receiver that raises is logged.

>>> from protoo_flask import signals
>>> @signals.user_online.connect
... def welcome(app, username):
...     app.logger.info("%r is here", username)
"""

from __future__ import annotations

from typing import Any

from blinker import Namespace

from .core.suggestions import suggest

_signals = Namespace()

peer_online = _signals.signal("protoo-peer-online")
peer_disconnect = _signals.signal("protoo-peer-disconnect")
peer_reconnect = _signals.signal("protoo-peer-reconnect")
peer_offline = _signals.signal("protoo-peer-offline")
user_online = _signals.signal("protoo-user-online")
user_offline = _signals.signal("protoo-user-offline")
routing_error = _signals.signal("protoo-routing-error")

#: What others call these signals: ``{name: ours}``.
_FOREIGN_NAMES = {
    **dict.fromkeys(["peer_connect", "peer_connected", "peer_open", "connected"], "peer_online"),
    **dict.fromkeys(["peer_disconnected", "peer_close", "peer_left"], "peer_offline"),
    **dict.fromkeys(["user_connect", "user_connected", "user_joined"], "user_online"),
    **dict.fromkeys(["user_disconnect", "user_disconnected", "user_left"], "user_offline"),
}


def __getattr__(name: str) -> Any:
    known = [known for known in globals() if known.startswith(("peer_", "user_", "routing_"))]
    if name.startswith("_"):
        raise AttributeError(name)
    meant = suggest(name, known, _FOREIGN_NAMES)
    hint = f"; did you mean {meant}?" if meant else ""
    raise AttributeError(f"protoo_flask.signals has {', '.join(known)}, not {name!r}{hint}")
