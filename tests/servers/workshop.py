"""A site with jobs: each calls the Python API in a real thread, also beside gevent.

``POST /jobs/<name>/<username>`` starts a job about a user, and returns its number. ``GET
/jobs/<number>`` returns its outcome when it has ended: ``{"result": ...}``, or ``{"error": the name
of the class}``.
"""

from __future__ import annotations

import itertools
from typing import Any, Callable

import gevent
from flask import Flask, jsonify, session
from gevent import monkey

from protoo_flask import Protoo, Request
from protoo_flask.middleware import room_handler

from . import sites

# A thread of the operating system, whatever gevent has patched.
start_thread = monkey.get_original("_thread", "start_new_thread")
get_ident = monkey.get_original("_thread", "get_ident")

Job = Callable[["Workshop", str], Any]


class Workshop:
    """The objects that jobs work with."""

    def __init__(self) -> None:
        self.protoo = Protoo()
        #: {username: a request without an answer}
        self.kept: dict[str, Any] = {}
        #: {id: room}
        self.rooms: dict[str, Any] = {}
        #: {username: entries of listeners and callbacks}
        self.notes: dict[str, list[Any]] = {}

    def peer(self, username: str) -> Any:
        peer = self.protoo.peer(username, "a1")
        assert peer in self.protoo.peers(username)
        return peer

    def note(self, username: str, entry: Any) -> None:
        self.notes.setdefault(username, []).append(entry)


# The jobs ---------------------------------------------------------------------------------


def find(shop: Workshop, username: str) -> Any:
    peer = shop.peer(username)
    return [peer.address, peer.online, peer.data, shop.protoo.peer(username, "a2") is None]


def disconnect(shop: Workshop, username: str) -> Any:
    return [shop.protoo.disconnect(username), shop.protoo.disconnect(username)]


def disconnect_everybody(shop: Workshop, username: str) -> Any:
    return shop.protoo.disconnect(None)  # type: ignore[arg-type]


def close_peer(shop: Workshop, username: str) -> Any:
    peer = shop.peer(username)
    peer.close(4000, "closed")
    return [peer.online, peer.notify("news"), peer.send(Request("question")).wait().status]


def notify(shop: Workshop, username: str) -> Any:
    peer = shop.peer(username)
    return [peer.notify("news", {"n": n}) for n in range(100)].count(True)


def notify_in_vain(shop: Workshop, username: str) -> Any:
    return shop.peer(username).notify("news", {"n": object()})


def broadcast(shop: Workshop, username: str) -> Any:
    return shop.protoo.broadcast(shop.protoo.peers(username), "news", {"n": 1})


def ask(shop: Workshop, username: str) -> Any:
    response = shop.peer(username).request("question", {"n": 1})
    return [response.status, response.data]


def ask_in_vain(shop: Workshop, username: str) -> Any:
    response = shop.peer(username).request("question", timeout=0.05)
    return [response.status, response.is_local]


def ask_nonsense(shop: Workshop, username: str) -> Any:
    transaction = shop.peer(username).send(Request("question", {"n": object()}))
    return [response.status for response in transaction]


def iterate(shop: Workshop, username: str) -> Any:
    return [response.status for response in shop.peer(username).send(Request("question"))]


def give_up(shop: Workshop, username: str) -> Any:
    transaction = shop.peer(username).send(Request("question"))
    try:
        transaction.wait(0.01)
    except TimeoutError:
        transaction.cancel()
    return [transaction.state, transaction.response.status]


def cancel(shop: Workshop, username: str) -> Any:
    peer, question = shop.peer(username), Request("question")
    transaction = peer.send(question)
    return [peer.cancel(question), transaction.response.status, peer.cancel(question)]


def call_back(shop: Workshop, username: str) -> Any:
    def on_response(response: Any) -> None:
        gevent.sleep(0)  # it may block
        shop.note(username, [response.status, session["username"], get_ident()])

    shop.peer(username).send(Request("question"), on_response)


def listen(shop: Workshop, username: str) -> Any:
    shop.peer(username).on("offline", lambda peer: shop.note(peer.username, "offline"))


def reply(shop: Workshop, username: str) -> Any:
    req = shop.kept[username]
    req.reply(100, "working")
    req.reply(200, "done", {"n": 1})
    assert req.ended
    assert req.response.status == 200
    req.reply(200, "once more")


def reply_nonsense(shop: Workshop, username: str) -> Any:
    req = shop.kept[username]
    try:
        req.reply(200, "done", {"n": object()})
    finally:
        assert not req.ended
        req.reply(500, "failed")


def relay(shop: Workshop, username: str) -> Any:
    req = shop.kept[username]
    shop.peer(req.data["username"]).send(req, on_response=req.reply)


def speak_in_room(shop: Workshop, username: str) -> Any:
    room = shop.rooms[username]
    skipped = shop.peer(username)
    return [len(room.peers), room.broadcast("news", {"n": 1}, skip=skipped)]


def ask_in_room(shop: Workshop, username: str) -> Any:
    room = shop.rooms[username]
    return room.send(shop.peer(username), "question").wait().status


def remove_from_room(shop: Workshop, username: str) -> Any:
    room, peer = shop.rooms[username], shop.peer(username)
    return [room.remove(peer), room.remove(peer), len(room.peers)]


def close_room(shop: Workshop, username: str) -> Any:
    room = shop.rooms[username]
    return [room.close(), room.close(), room.peers]


JOBS: dict[str, Job] = {
    job.__name__: job
    for job in (
        *(find, disconnect, disconnect_everybody, close_peer, notify, notify_in_vain, broadcast),
        *(ask, ask_in_vain, ask_nonsense, iterate, give_up, cancel, call_back, listen),
        *(reply, reply_nonsense, relay),
        *(speak_in_room, ask_in_room, remove_from_room, close_room),
    )
}


# The site ---------------------------------------------------------------------------------


def create_workshop() -> Flask:
    shop = Workshop()
    protoo = shop.protoo
    sites.add_messages(protoo)
    outcomes: dict[int, Any] = {}
    numbers = itertools.count()

    @protoo.get("/keep")
    def keep(req, next):
        req.keep_open()
        shop.kept[req.peer.username] = req
        req.reply(100, "kept")

    def on_room(room, req):
        shop.rooms[room.id] = room
        room.on("leave", lambda room, peer: shop.note(room.id, f"leave {peer.username}"))
        room.on("close", lambda room: shop.note(room.id, "close"))

    protoo.use("/chat", room_handler(protoo, on_room))
    app = sites.create_site("workshop", protoo)

    @app.post("/jobs/<name>/<username>")
    def start_job(name, username):
        number = next(numbers)
        start_thread(lambda: outcomes.update({number: run(JOBS[name], username)}), ())
        return str(number)

    @app.post("/in-threadpool/<name>/<username>")
    def run_in_threadpool(name, username):
        return jsonify(gevent.get_hub().threadpool.apply(run, (JOBS[name], username)))

    @app.get("/jobs/<int:number>")
    def get_outcome(number):
        return jsonify(outcomes.get(number))

    @app.get("/notes/<username>")
    def get_notes(username):
        return jsonify(shop.notes.get(username, []))

    @app.get("/thread")
    def get_thread():
        return str(get_ident())

    def run(job: Job, username: str) -> dict[str, Any]:
        try:
            return {"result": job(shop, username)}
        except Exception as error:  # noqa: BLE001
            return {"error": type(error).__name__}

    return app
