"""The site that ``python -m benchmarks limits`` attacks: one of everything, default settings.

ATTACK_SETTINGS has more settings for ``Protoo``, as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import time
from typing import Any

import gevent
from flask import Flask

from protoo_flask import Protoo, Request
from protoo_flask.middleware import p2p_messenger, presence, room_handler, session_handler

#: Seconds that a slow handler takes, and a slow listener.
SLOW_HANDLER = 5.0
SLOW_LISTENER = 0.05

app = Flask(__name__)
app.secret_key = "the key of the benchmarks"
protoo = Protoo(app, **json.loads(os.environ.get("ATTACK_SETTINGS", "{}")))

#: How many slow handlers run now, and how many have run at once; the same of listeners.
running = {"handlers": 0, "most handlers": 0, "listeners": 0, "most listeners": 0}


@app.route("/collect")
def collect() -> str:
    """Collect garbage, so that only memory in use is counted."""
    gc.collect()
    return "done"


@app.route("/running")
def show_running() -> dict[str, int]:
    return running


#: Milliseconds of processor time that others took before a greenlet had its turn, at most; and
#: those of a garbage collection. Unlike the time of an echo, other programs do not change them.
delays = {"turn": 0.0, "collection": 0.0}


@app.route("/delays")
def show_delays() -> dict[str, float]:
    """Return the delays since the last look."""
    found = dict(delays)
    delays.update(turn=0.0, collection=0.0)
    return found


def wait_for_turns() -> None:
    while True:
        before = time.process_time()
        gevent.sleep(0.005)
        delays["turn"] = max(delays["turn"], 1000 * (time.process_time() - before))


def note_collection(phase: str, info: dict[str, int], began: list[float] = [0.0]) -> None:  # noqa: B006
    if phase == "start":
        began[0] = time.process_time()
    else:
        took = 1000 * (time.process_time() - began[0])
        delays["collection"] = max(delays["collection"], took)


gc.callbacks.append(note_collection)
gevent.spawn(wait_for_turns)


@app.route("/count/<name>")
@app.route("/count/<name>/<attribute>")
def count(name: str, attribute: str | None = None) -> str:
    """Count the objects of a class of ours, or the items that they have in an attribute."""
    gc.collect()
    found = [
        item
        for item in gc.get_objects()
        if type(item).__name__ == name and type(item).__module__.startswith("protoo_flask")
    ]
    if attribute is None:
        return str(len(found))
    return str(sum(len(getattr(item, attribute) or ()) for item in found))


def stay(kind: str, seconds: float) -> None:
    """Block as a database does, and count."""
    running[kind] += 1
    running[f"most {kind}"] = max(running[kind], running[f"most {kind}"])
    gevent.sleep(seconds)
    running[kind] -= 1


@protoo.get("/echo")
def echo(req: Any, next: Any) -> None:
    req.reply(200, "OK", req.data)


@protoo.get("/ask")
def ask(req: Any, next: Any) -> None:
    """Ask the peer, and wait for its answer."""
    response = req.peer.request("question")
    req.reply(200, "asked", {"status": response.status})


@protoo.get("/ask-and-note")
def ask_and_note(req: Any, next: Any) -> None:
    """Ask the peer; a function that blocks takes each response."""
    req.peer.send(Request("question"), lambda response: stay("handlers", SLOW_HANDLER))
    req.reply(200, "asked")


@protoo.get("/tell/:username")
def tell(req: Any, next: Any) -> None:
    """Send a user a request; a function that blocks, as a database does, takes the response."""
    for peer in protoo.peers(req.params["username"]):
        peer.send(Request("news"), lambda response: stay("handlers", SLOW_LISTENER))
    req.reply(200, "told")


@protoo.get("/forget")
def forget(req: Any, next: Any) -> None:
    """Return without an answer."""


@protoo.get("/fail")
def fail(req: Any, next: Any) -> None:
    raise ValueError(req.path)


@protoo.get("/notify/:username")
def notify(req: Any, next: Any) -> None:
    """Notify a user, and answer."""
    for peer in protoo.peers(req.params["username"]):
        peer.notify("note", req.data)
    req.reply(200, "notified")


@protoo.get("/broadcast")
def broadcast(req: Any, next: Any) -> None:
    protoo.broadcast(protoo.peers(), "note", req.data)
    req.reply(200, "broadcast")


@protoo.get("/slow")
def slow(req: Any, next: Any) -> None:
    stay("handlers", SLOW_HANDLER)
    req.reply(200, "OK")


def note(peer: Any) -> None:
    if peer.username.startswith("slowly"):
        stay("listeners", SLOW_LISTENER)


protoo.on("online", note)


def listen_slowly_to_room(room: Any, req: Any) -> None:
    if req.peer.username.startswith("slowly"):
        for event in ("join", "leave"):
            room.on(event, lambda room, peer: stay("listeners", SLOW_LISTENER))


def listen_slowly_to_call(session: Any, req: Any) -> None:
    if req.peer.username.startswith("slowly"):
        session.on("close", lambda session: stay("listeners", SLOW_HANDLER))


def allow(peer: Any, username: str) -> bool:
    return True


protoo.use("/calls", session_handler(protoo, on_session=listen_slowly_to_call))
protoo.use("/users", p2p_messenger(protoo))
protoo.use("/carbons", p2p_messenger(protoo, carbons=True))
protoo.use("/reports", p2p_messenger(protoo, report="all"))
protoo.use("/presence", presence(protoo, allow))
protoo.use("/rooms", room_handler(protoo, listen_slowly_to_room))
