"""flask-sock: a plain echo."""

from __future__ import annotations

import gc
from typing import Any

from flask import Flask
from flask_sock import Sock  # type: ignore[import-untyped,import-not-found,unused-ignore]

app = Flask(__name__)
sock = Sock(app)


@app.route("/collect")
def collect() -> str:
    gc.collect()
    return "done"


@sock.route("/echo")  # type: ignore[untyped-decorator,unused-ignore]
def echo(ws: Any) -> None:
    while True:
        ws.send(ws.receive())
