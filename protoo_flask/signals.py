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
...     app.logger.info("%s is here", username)
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

peer_online = _signals.signal("protoo-peer-online")
peer_disconnect = _signals.signal("protoo-peer-disconnect")
peer_reconnect = _signals.signal("protoo-peer-reconnect")
peer_offline = _signals.signal("protoo-peer-offline")
user_online = _signals.signal("protoo-user-online")
user_offline = _signals.signal("protoo-user-offline")
routing_error = _signals.signal("protoo-routing-error")
