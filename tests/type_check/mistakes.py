"""Mistakes that the types find: each line has an error, and says which one.

`mypy --strict` and pyright complain of an ignored error that is none. It is checked, and never run.
"""

from __future__ import annotations

from typing import Any, Callable

from protoo_flask import Peer, Protoo, Reject, Request, Router
from protoo_flask.middleware import p2p_messenger, rate_limit, room_handler

protoo = Protoo()


def handle(req: Request, next: Callable[..., None]) -> None:
    req.reply("200")  # type: ignore[arg-type]
    req.reply(200, data=["a list"])  # type: ignore[arg-type]
    req.status = 200  # type: ignore[attr-defined]


def use_peer(peer: Peer) -> None:
    peer.send("ring")  # type: ignore[arg-type]
    peer.request("ring", "/phone")  # type: ignore[arg-type]
    peer.notify("news", sender="bob")  # type: ignore[arg-type]
    peer.username.reply()  # type: ignore[attr-defined]
    peer.on("offline", 5)  # type: ignore[call-overload]


def use_protoo(peer: Peer | None) -> None:
    protoo.peer("bob").notify("news")  # type: ignore[call-arg, union-attr]
    protoo.disconnect()  # type: ignore[call-arg]
    protoo.broadcast("news", peer)  # type: ignore[arg-type]
    protoo.authorize(5)  # type: ignore[arg-type]
    raise Reject("403")  # type: ignore[arg-type]


def make_middleware() -> Router:
    router = Router(path="/users")  # type: ignore[call-arg]
    router.route()  # type: ignore[call-arg]
    p2p_messenger()  # type: ignore[call-arg]
    number: int = room_handler(protoo)  # type: ignore[assignment]
    rate_limit(None)  # type: ignore[arg-type]
    rate_limit("5/s", by=lambda: "x")  # type: ignore[arg-type, misc]
    return number  # type: ignore[return-value]


def decorate(function: Any) -> None:
    protoo.on(5)  # type: ignore[call-overload]
