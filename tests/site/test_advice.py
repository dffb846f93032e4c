"""Advice: once in a process, and only where the answer would mislead."""

from __future__ import annotations

import os
import warnings

import pytest
from flask import Flask, abort, request, session

from protoo_flask import Protoo, Reject
from protoo_flask.site.advice import Advice

from ..joining import join, make_app


def advice(caplog):
    """Return the warnings of the log."""
    return [record.message for record in caplog.records if record.levelname == "WARNING"]


def succeeds_in_child(function):
    """Call a function in a forked process; return whether it returned."""
    with warnings.catch_warnings():
        # Python warns that other threads do not exist in the child. None is needed there.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


# A process without clients -----------------------------------------------------------

QUESTIONS = [
    ("peers", lambda protoo: protoo.peers(), []),
    ("peers", lambda protoo: protoo.peers("alice"), []),
    ("peer", lambda protoo: protoo.peer("alice", "a1"), None),
    ("disconnect", lambda protoo: protoo.disconnect("alice"), 0),
]
QUESTIONED = pytest.mark.parametrize(("method", "ask", "answer"), QUESTIONS)


@QUESTIONED
def test_a_process_that_serves_nobody_says_so_once(caplog, method, ask, answer):
    app = make_app()
    protoo = Protoo(app)

    with app.app_context():  # as in `flask shell`
        assert ask(protoo) == answer
    for _, ask_again, _ in QUESTIONS:
        ask_again(protoo)

    (message,) = advice(caplog)
    assert message.startswith(
        f"no client has ever connected to this process ({os.getpid()}), so protoo.{method}() finds "
    )


@QUESTIONED
def test_a_view_gets_the_answer_and_no_advice(caplog, method, ask, answer):
    app = make_app()
    protoo = Protoo(app)

    @app.get("/")
    def view():
        assert ask(protoo) == answer
        return ""

    assert app.test_client().get("/").status_code == 200
    assert advice(caplog) == []


@QUESTIONED
def test_a_process_that_has_had_clients_needs_no_advice(caplog, method, ask, answer):
    app = make_app()
    protoo = Protoo(app)
    join(app, "bob")
    protoo.disconnect("bob")

    assert ask(protoo) == answer
    assert advice(caplog) == []


def test_messages_and_internal_questions_give_no_advice(caplog):
    app = make_app()
    protoo = Protoo(app)

    assert app.extensions["protoo"].peers() == []
    protoo.broadcast([], "news")
    protoo.close()

    assert advice(caplog) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked")
def test_a_forked_process_says_it_for_itself(caplog):
    protoo = Protoo(make_app())
    protoo.peers()

    def ask():
        caplog.clear()
        protoo.peers()
        protoo.peers()
        (message,) = advice(caplog)
        assert str(os.getpid()) in message

    assert succeeds_in_child(ask)
    assert len(advice(caplog)) == 1


# Several processes -------------------------------------------------------------------


@pytest.mark.parametrize("environ", [{"wsgi.multiprocess": False}, {"wsgi.multiprocess": 0}, {}])
def test_one_process_needs_no_advice(caplog, environ):
    Advice(make_app()).at_first_handshake(environ)

    assert advice(caplog) == []


def test_one_of_several_processes_names_the_option_of_the_server_once(caplog):
    given = Advice(make_app())
    for _ in range(3):
        given.at_first_handshake({"wsgi.multiprocess": True})

    (message,) = advice(caplog)
    assert "peers see only the peers of their own worker process" in message
    assert "gunicorn --workers 1 (-w 1, or WEB_CONCURRENCY=1)" in message
    assert str(os.getpid()) in message


# No sessions -------------------------------------------------------------------------


def refuse_by_return():
    return ("alice", None) if session.get("username") else None


def refuse_by_reject():
    if not session.get("username"):
        raise Reject(401, "log in first")


def refuse_by_abort():
    if not session.get("username"):
        abort(401)


def refuse_by_token():
    return ("alice", None) if "token" in request.args else None


@pytest.mark.parametrize(
    ("authorizer", "status"),
    [(refuse_by_return, 403), (refuse_by_reject, 401), (refuse_by_abort, 401)],
)
@pytest.mark.parametrize("key", [None, "secret"])
def test_an_authorizer_that_refuses_for_a_session_that_cannot_exist_is_explained_once(
    caplog, authorizer, status, key
):
    app = Flask("site")
    app.secret_key = key
    Protoo(app).authorize(authorizer)
    client = app.test_client()

    for _ in range(2):
        assert client.get("/protoo").status_code == status

    expected = "looked into flask.session and then refused a client"
    assert len(advice(caplog)) == (key is None)
    assert all(expected in message for message in advice(caplog))


def test_an_authorizer_that_needs_no_session_gets_no_advice(caplog):
    app = Flask("site")

    @app.before_request
    def look():
        session.get("language")

    Protoo(app).authorize(refuse_by_token)

    assert app.test_client().get("/protoo").status_code == 403
    assert app.test_client().get("/protoo?token=7").status_code == 426
    assert advice(caplog) == []
