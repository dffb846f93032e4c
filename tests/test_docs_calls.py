"""docs/calls.md tells the truth: its transcript is replayed, its recipes work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from protoo_flask.features.calls.early_messages import MAX_MESSAGES, MAX_SIZE
from protoo_flask.features.calls.endings import ENDINGS
from protoo_flask.features.calls.middleware import ID_BYTES, MAX_SESSIONS
from protoo_flask.features.calls.session import ANSWERED_ENDINGS, UNANSWERED_ENDINGS
from protoo_flask.settings import Settings

from .features.calls.switchboards import NOTHING, Switchboard
from .features.sites import status_line

PAGE = (Path(__file__).parent.parent / "docs" / "calls.md").read_text(encoding="utf-8")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def recipe(name, **names):
    """Return a function that the page defines, with these names as its globals."""
    (source,) = (source for source in blocks("python") if f"def {name}(" in source)
    exec(compile(source, "calls.md", "exec"), names)
    return names[name]


def test_the_transcript_can_be_replayed():
    board = Switchboard(
        *("alice/a1", "bob/b1", "bob/b2"),
        ids=iter(["Vq3nTkLx"]),
        core_options={"first_id": lambda: 7001},
    )
    lines = "".join(blocks("text")).splitlines()
    assert len(lines) == 23
    for line in lines:
        name, direction, message = line.split(" ", 2)
        if direction == ">":
            board[name].send(json.loads(message))
        else:
            assert board[name].take() == json.loads(message)
    assert all(client.take_all() == [] for client in board.clients.values())
    assert (board.left_behind(), board.unfinished()) == (NOTHING, {})


def test_the_endings_of_a_ringing_call_are_on_the_page():
    for cause, ending in ENDINGS.items():
        if cause not in ("rejected", "gone", "unavailable"):  # nobody rings then
            assert f"`{ending.told}`" in PAGE
        if cause not in ("rejected", "declined", "offline", "failed"):
            assert f"{ending.status} " in PAGE
            assert ending.reason in PAGE


@pytest.mark.parametrize("cause", [*UNANSWERED_ENDINGS, *ANSWERED_ENDINGS])
def test_the_causes_are_on_the_page(cause):
    assert f'`"{cause}"`' in PAGE


@pytest.mark.parametrize(
    "limit",
    [
        f"| {MAX_SESSIONS}, then 429",
        f"the last {MAX_MESSAGES} messages of the caller, {MAX_SIZE // 1024} KiB",
        f"`PROTOO_SESSION_TIMEOUT`, {Settings.session_timeout} seconds",
        f"random, {ID_BYTES * 8} bits",
    ],
)
def test_the_page_has_the_limits_of_the_code(limit):
    assert limit in PAGE


@pytest.mark.parametrize("source", blocks("python"), ids=lambda source: source.split("\n")[0])
def test_the_python_of_the_page_compiles(source):
    compile(source, "calls.md", "exec")


class Database:
    """A stand-in for the database of a site, with the user Bob."""

    def __init__(self):
        self.kept = []
        self.session = SimpleNamespace(add=self.kept.append, commit=lambda: None)
        self.query = self

    def filter_by(self, name):
        return SimpleNamespace(first=lambda: name if name == "bob" else None)


@pytest.mark.parametrize(
    ("path", "status", "kept"),
    [
        ("/users/bob", 200, []),
        ("/users/bob", 486, [("bob", "alice", 1000.0, "rejected")]),
        ("/users/bob/b9", None, [("bob", "alice", 1000.0, "unavailable")]),
        ("/users/bob", 603, []),
        ("/users/nobody", None, []),
    ],
)
def test_missed_calls_are_kept(path, status, kept):
    db = Database()

    def make(user, caller, at, cause):
        return (user, caller, at, cause)

    on_session = recipe("keep_missed_calls", db=db, User=db, MissedCall=make)
    board = Switchboard("alice/a1", "bob/b1", on_session=on_session)
    answer = board["alice/a1"].request("session", path)
    if status:
        board["bob/b1"].respond(board["bob/b1"].take(), status)
        board["alice/a1"].take()
    if status == 200:
        board["alice/a1"].request("end", answer["data"]["sessionPath"])
    assert db.kept == kept
    assert board.left_behind() == NOTHING


@pytest.mark.parametrize("ids", [["s1", "s2"], ["s2", "s1"]])
def test_a_call_that_meets_one_from_the_other_side_is_not_missed(ids):
    db = Database()
    on_session = recipe("keep_missed_calls", db=db, User=db, MissedCall=dict)
    board = Switchboard("alice/a1", "bob/b1", on_session=on_session, ids=iter(ids))
    board["alice/a1"].start_request("session", "/users/bob")
    board["bob/b1"].start_request("session", "/users/alice")
    assert len(board.all_calls()) == 1
    assert db.kept == []


def test_a_peer_in_a_call_is_busy_until_it_ends():
    board = Switchboard("alice/a1", "bob/b1", "carol/c1", on_session=recipe("refuse_if_busy"))
    path = board.open_call()
    for name in ("alice", "bob"):
        answer = board["carol/c1"].request("session", f"/users/{name}")
        assert status_line(answer) == (486, "busy here")
    board["bob/b1"].request("end", path)
    board["alice/a1"].take()
    board.call("carol/c1")


def test_a_ringing_device_is_not_busy():
    board = Switchboard("alice/a1", "bob/b1", "carol/c1", on_session=recipe("refuse_if_busy"))
    _, rung = board.call()
    board["bob/b1"].respond(rung["b1"], 486)
    board["alice/a1"].take()
    board.call("carol/c1")


def test_the_site_refuses_calls_at_night():
    names = {"night": lambda: True, "protoo": SimpleNamespace(use=lambda *args: None, on=print)}
    names["session_handler"] = lambda *args, **options: None
    board = Switchboard("alice/a1", "bob/b1", on_session=recipe("on_session", **names))
    assert status_line(board["alice/a1"].request("session", "/users/bob")) == (480, "not at night")
