"""Flask-SocketIO on gevent: the acknowledgement of an event has the requested item."""

from __future__ import annotations

import gc
from typing import Any

from flask import Flask
from flask_socketio import SocketIO  # type: ignore[import-untyped,unused-ignore]

app = Flask(__name__)
app.secret_key = "the key of the benchmarks"
socketio = SocketIO(app, async_mode="gevent")


@app.route("/collect")
def collect() -> str:
    gc.collect()
    return "done"


@socketio.on("item")  # type: ignore[untyped-decorator,unused-ignore]
def item(data: Any) -> Any:
    return {"id": data["path"].rsplit("/", 1)[1]}
