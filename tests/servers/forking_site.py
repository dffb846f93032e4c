"""A site whose handlers fork, as sites do for work that takes long."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import time
from typing import Any, Callable

import gevent
from flask import Flask, session
from gevent import monkey

from protoo_flask import Protoo

#: gevent's own ``os.close()`` waits for the hub: for as long as no client sends something.
close: Callable[[int], None] = monkey.get_original("os", "close")


def wait(seconds: float) -> None:
    """Wait as a child does that uses the libraries of its parent: the hub runs, if there is one."""
    (gevent.sleep if _has_hub() else time.sleep)(seconds)


def _has_hub() -> bool:
    return isinstance(gevent.getcurrent(), gevent.Greenlet)


def expect_children() -> None:
    """Have gevent notice the end of each child.

    gevent takes SIGCHLD over after the first fork: until then, the end of a child that is faster
    than its parent goes unnoticed, and waiting for it takes until the end of the next child.
    """
    if _has_hub():
        gevent.get_hub().loop.install_sigchld()


def create_app() -> Flask:
    app = Flask("forking")
    app.secret_key = "secret of the forking site"
    protoo = Protoo()
    children: dict[str, tuple[int, int]] = {}

    @protoo.get("/pid")
    def pid(req: Any, next: Any) -> None:
        req.reply(200, "OK", {"pid": os.getpid()})

    def fork(work: Callable[[], Any]) -> int:
        expect_children()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                work()
            os._exit(0)
        return child

    @protoo.get("/exit-hooks")
    def run_exit_hooks(req: Any, next: Any) -> None:
        """Fork a child that ends as a Python process ends."""
        os.waitpid(fork(atexit._run_exitfuncs), 0)
        req.reply(200)

    @protoo.get("/multiprocessing")
    def multiprocess(req: Any, next: Any) -> None:
        """Start a process that calls everything that could reach clients."""

        def work() -> None:
            assert protoo.peers() == []
            assert protoo.disconnect("alice") == 0
            if _has_hub():  # a thread that the child does not have may hold a lock for ever
                with contextlib.suppress(Exception):
                    req.peer.notify("from the child")
                with contextlib.suppress(Exception):
                    req.peer.close()
            protoo.close()
            atexit._run_exitfuncs()

        expect_children()
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join()
        req.reply(200, "OK", {"code": process.exitcode})

    @protoo.get("/child/:name/start")
    def start_child(req: Any, next: Any) -> None:
        """Fork a child that waits for its parent, with the hub running."""
        reader, writer = os.pipe()

        def work() -> None:
            close(writer)
            os.set_blocking(reader, False)
            while True:
                with contextlib.suppress(BlockingIOError):
                    if os.read(reader, 1) == b"":
                        return
                wait(0.001)

        child = fork(work)
        close(reader)
        children[req.params["name"]] = (child, writer)
        req.reply(200, "OK", {"pid": os.getpid()})

    @protoo.get("/child/:name/end")
    def end_child(req: Any, next: Any) -> None:
        child, writer = children.pop(req.params["name"])
        close(writer)
        os.waitpid(child, 0)
        req.reply(200)

    @app.get("/kill")
    def kill() -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return ""

    @app.get("/login/<username>")
    def login(username: str) -> str:
        session["username"] = username
        return "welcome"

    protoo.init_app(app)
    return app
