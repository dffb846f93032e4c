"""Flask-SocketIO on gevent: the acknowledgement of an event has the requested item.

BENCH_REDIS_URL names a Redis by which several of it relay events to each other's clients.
"""

from __future__ import annotations

import gc
import os
from typing import Any

from flask import Flask, request
from flask_socketio import SocketIO, emit, join_room  # type: ignore[import-untyped,unused-ignore]

app = Flask(__name__)
app.secret_key = "the key of the benchmarks"
socketio = SocketIO(app, async_mode="gevent", message_queue=os.environ.get("BENCH_REDIS_URL"))


@app.route("/collect")
def collect() -> str:
    gc.collect()
    return "done"


@socketio.on("item")  # type: ignore[untyped-decorator,unused-ignore]
def item(data: Any) -> Any:
    return {"id": data["path"].rsplit("/", 1)[1]}


@socketio.on("connect")  # type: ignore[untyped-decorator,unused-ignore]
def connect(auth: Any = None) -> None:
    join_room(request.args.get("username", ""))


@socketio.on("relay")  # type: ignore[untyped-decorator,unused-ignore]
def relay(data: Any) -> None:
    emit("relay", data, to=data["to"])
