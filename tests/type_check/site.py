"""A site as its users write it: `mypy --strict` and pyright find nothing here.

It is checked, and never run. `assert_type` fails when the type of an expression changes.
"""

from __future__ import annotations

import logging
import re
import ssl
from http.cookiejar import CookieJar
from typing import Any, Callable

from flask import Flask, session
from typing_extensions import assert_type

import protoo_flask
import protoo_flask.client as client_module
from protoo_flask import ClientTransaction, Peer, Protoo, Reject, Request, Response, Router, signals
from protoo_flask.client import Client, Closed, Disconnected, Refused
from protoo_flask.middleware import (
    Room,
    Session,
    p2p_messenger,
    presence,
    rate_limit,
    room_handler,
    session_handler,
)
from protoo_flask.observe import (
    EventLog,
    JsonFormatter,
    Observer,
    PrometheusMetrics,
    liveness,
    readiness,
)
from protoo_flask.testing import IncomingRequest, SentRequest, TestClient, TestClock, finish

Next = Callable[..., None]

log = logging.getLogger(__name__)
protoo = Protoo(max_message_size=10_000)


def create_app() -> Flask:
    app = Flask(__name__)
    protoo.init_app(app)
    return app


# Observing


class Arrivals(Observer):
    def __init__(self) -> None:
        self.count = 0

    def connected(self, peer: Peer) -> None:
        self.count += 1

    def limited(self, limit: str, peer: Peer | None) -> None:
        log.info("limited by %s", limit)


def observe(app: Flask) -> None:
    assert_type(protoo.observe(Arrivals()).count, int)
    metrics = protoo.observe(PrometheusMetrics(buckets=[0.1, 1]))
    assert_type(metrics, PrometheusMetrics)
    app.add_url_rule("/metrics", view_func=metrics.view(token="0123456789abcdef"))
    app.add_url_rule("/live", view_func=liveness)
    app.add_url_rule("/ready", view_func=readiness)
    protoo.observe(EventLog())
    logging.StreamHandler().setFormatter(JsonFormatter())


# Authorization


@protoo.authorize
def authorize() -> tuple[str, str | None, dict[str, Any]] | None:
    if "username" not in session:
        return None
    if session.get("banned"):
        raise Reject(403, "banned")
    return session["username"], None, {"name": "Alice"}


# Middleware


@protoo.use
def log_request(req: Request, next: Next) -> None:
    assert_type(req.method, str)
    assert_type(req.path, str)
    assert_type(req.peer, Peer)
    assert_type(req.is_notification, bool)
    assert_type(req.data, "dict[str, Any]")
    log.info("%r from %r", req, req.peer)
    next()


@protoo.use("/admin")
def check(req: Request, next: Next) -> None:
    if req.peer.username != "admin":
        raise Reject(403, "admins only")
    next("route")


@protoo.message("/echo")
def echo(req: Request, next: Next) -> None:
    req.reply(100)
    req.reply(200, "OK", req.data)


@protoo.get("/first")
def get_first(req: Request, next: Next) -> dict[str, Any]:
    return {"number": 1}


@protoo.get(re.compile("^/item/([0-9]+)$"))
def get_item(req: Request, next: Next) -> None:
    assert_type(req.params, "dict[str | int, str]")
    req.set("item", req.params[0])
    req.keep_open()


@protoo.errorhandler(KeyError)
def explain(error: KeyError, req: Request, next: Next) -> None:
    req.reply(404, f"no {error.args[0]}")


@protoo.param("room")
def find_room(req: Request, next: Next, value: str) -> None:
    req.set("room", value)
    next()


rooms = Router(strict=True)
rooms.get("/:room", log_request, echo)
rooms.param("room", find_room)
protoo.use("/rooms", rooms)
protoo.use(log_request, check)
files = protoo.route("/files")
files.get(echo)
files.put(check, echo)


def call_handlers(req: Request, next: Next, peer: Peer) -> None:
    assert_type(explain(KeyError("x"), req, next), None)
    assert_type(get_first(req, next), "dict[str, Any]")
    assert_type(find_room(req, next, "lobby"), None)
    assert_type(greet(peer), None)


# Events


@protoo.on("online")
def greet(peer: Peer) -> None:
    peer.notify("welcome", {"devices": len(protoo.peers(peer.username))})

    @peer.on("offline")
    def miss_device(peer: Peer) -> None:
        log.info("%r", peer)


@protoo.on("user_offline")
def miss(username: str) -> None:
    log.info("%s", username)


protoo.on("offline", greet)
signals.peer_online.connect(miss)

# Peers


def ring(username: str) -> int | None:
    peers = protoo.peers(username)
    assert_type(peers, "list[Peer]")
    peer = protoo.peer(username, "phone")
    assert_type(peer, "Peer | None")
    if peer is None:
        return None
    response = peer.request("ring", {"from": "me"}, timeout=5.0)
    assert_type(response, Response)
    transaction = peer.send(Request("ring"), on_response=relay)
    assert_type(transaction, ClientTransaction)
    for answer in transaction:
        assert_type(answer, Response)
    transaction.cancel()
    assert_type(protoo.broadcast(peers, "news", {"title": "..."}), int)
    assert_type(protoo.disconnect(username), int)
    assert_type(protoo.drain(5).wait(1), bool)
    peer.close(3001, "bye")
    return response.status


def relay(response: Response) -> None:
    log.info("%d %s", response.status, response.reason)


def forward(req: Request, next: Next) -> None:
    for peer in protoo.peers(req.params["username"]):
        peer.send(req, on_response=req.reply)


# Middleware of the package


def on_room(room: Room, req: Request) -> None:
    assert_type(room.peers, "list[Peer]")

    @room.on("join_request")
    def may_join(room: Room, req: Request) -> None:
        if len(room.peers) > 8:
            req.reply(403, "full")


def on_session(session: Session, req: Request) -> None:
    assert_type(session.path, str)

    @session.on("close")
    def write_down(session: Session) -> None:
        log.info("%s", session.cause)


def may_meet(peer: Peer, username: str) -> bool:
    return peer.username != username


protoo.use("/users", p2p_messenger(protoo, allow=may_meet))
protoo.use("/calls", session_handler(protoo, on_session=on_session))
protoo.use("/rooms", room_handler(protoo, on_room))
protoo.use("/presence", presence(protoo, allow=may_meet))


def choose_bucket(req: Request) -> str | None:
    return req.data.get("room")


protoo.use(rate_limit("100/m"))
protoo.use("/rooms", rate_limit(("10/s", 20), by=choose_bucket, cost=2, name="rooms"))
protoo.message("/users/:name", rate_limit(5, burst=20, by="peer"))

# Tests of the site


def test_a_question(app: Flask) -> None:
    with protoo.test_client(app.test_client(), username="alice", uuid="phone") as alice:
        assert_type(alice, TestClient)
        sent = alice.send("get", "/question", {"n": 1})
        assert_type(sent, SentRequest)
        question = alice.expect_request("question")
        assert_type(question, IncomingRequest)
        question.reply(200, "OK", {"answer": 42})
        assert_type(sent.wait(), Response)
        for answer in sent:
            assert_type(answer, Response)
        assert_type(alice.request("get", "/time").data, "dict[str, Any]")
        assert_type(alice.expect_notification().sender, "dict[str, str] | None")
        assert_type(alice.expect_close(3001), int)
        assert_type(alice.peer, "Peer | None")
    assert_type(protoo.test_clock, TestClock)
    protoo.test_clock.advance(0.5)
    finish(app)


assert_type(protoo_flask.__version__, str)


# The client in Python


def talk(web: CookieJar) -> int:
    client = Client(
        "https://chat.example/protoo",
        uuid="bot",
        cookies=web,
        headers={"X-Bot": "robbie"},
        ssl_context=ssl.create_default_context(cafile="ca.pem"),
        request_timeout=10,
        repeat=True,
        reconnect=(1, 60),
        ping_interval=20,
    )

    @client.on("request")
    def answer(req: client_module.Request) -> None:
        assert_type(req.sender, "dict[str, str] | None")
        req.reply(200, "OK", {"text": req.data["text"]})

    @client.on("close")
    def tell(closed: Closed) -> None:
        assert_type(closed.code, int)
        assert_type(closed.delay, "float | None")
        assert_type(closed.retry_after, float)
        log.info("closed: %s", closed.reason if closed.will_reconnect else "for good")

    def refuse(refused: Refused) -> None:
        assert_type(refused.retry_after, float)
        log.error("%d %s", refused.status, refused.reason)

    listener: Callable[[Refused], None] = client.on("refused", refuse)
    client.on("refused", listener)
    client.on("open", lambda: log.info("open"))
    try:
        assert_type(client.connect(timeout=20), Client)
    except Disconnected as error:
        log.error("%s", error)
    with Client("ws://localhost/protoo", cookies={"session": "x"}, reconnect=None) as other:
        assert_type(other, Client)
        assert_type(other.state, str)
    transaction = client.send("session", "/users/bob", on_response=lambda res: log.info(res.reason))
    assert_type(transaction, ClientTransaction)
    for response in transaction:
        assert_type(response, Response)
    transaction.cancel()
    client.notify("typing", "/users/bob")
    response = client.request("get", "/echo", {"text": "hi"}, timeout=float("inf"), repeat=False)
    assert_type(response, Response)
    assert_type(response.retry_after, float)
    client.close(3500, "enough")
    return response.status
