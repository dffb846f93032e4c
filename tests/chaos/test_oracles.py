"""The checks of the fuzzers: each of them notices a server that answers wrongly."""

from __future__ import annotations

import contextlib
import json

import pytest

from tests.servers.clients import TEXT
from tests.transport.wire import close_frame, frame

from . import fuzzers
from .fuzzers import check_deflated, check_frames, check_messages, check_paths
from .ground import Ground, Heard


class Scripted:
    """A client whose server has said all that it will say.

    :param statuses: (id, status) of its answers.
    """

    def __init__(self, *statuses, code=None):
        self.heard = Heard({"id": id, "status": status} for id, status in statuses)
        self.heard.code = code

    def send_bytes(self, data):
        pass

    send_frame_of = send_bytes

    def finish(self):
        pass

    def send_frame(self, opcode, payload):
        pass

    def send_request(self, method, path, id):
        pass

    def listen(self):
        return self.heard

    def await_answer(self, id):
        end = 1 + next(
            index
            for index, message in enumerate(self.heard)
            if message["id"] == id and message["status"] >= 200
        )
        taken, self.heard = self.heard[:end], self.heard[end:]
        return taken


@pytest.fixture
def ground(monkeypatch):
    """Return a function that returns a ground whose clients are all one that is scripted."""

    def play(client):
        ground = Ground(0)
        monkeypatch.setattr(
            ground, "connect", lambda *args, **headers: contextlib.nullcontext(client)
        )
        return ground

    return play


TEXT_FRAME = frame(TEXT, b"{")
UNMASKED = frame(TEXT, b"{}", mask=None)


@pytest.mark.parametrize(
    ("data", "client", "wrong"),
    [
        (TEXT_FRAME, Scripted((0, 400)), None),
        (TEXT_FRAME, Scripted(), "1 messages were answered by []"),
        (TEXT_FRAME, Scripted((0, 400), (0, 400)), "1 messages were answered by"),
        (TEXT_FRAME, Scripted((0, 500)), "1 messages were answered by"),
        (TEXT_FRAME, Scripted((0, 400), code=1011), "closed with 1011, and not []"),
        (UNMASKED, Scripted(code=1002), None),
        (UNMASKED, Scripted(), "not closed, and it should be with 1002"),
        (UNMASKED, Scripted(code=1000), "closed with 1000, and not [1002]"),
        (close_frame(3000), Scripted(code=3000), None),
        (close_frame(3000), Scripted(code=1000), "closed with 1000, and not [3000]"),
    ],
)
def test_frames(ground, data, client, wrong):
    found = check_frames(ground(client), data)
    assert found is None if wrong is None else found.startswith(wrong)


def test_compressed_frames(ground):
    assert check_deflated(ground(Scripted(code=1007)), b"") is None
    assert check_deflated(ground(Scripted(code=1011)), b"") == "closed with 1011"


ECHO = (fuzzers.LAST_ID, 200)
GET = json.dumps({"method": "get", "path": "/x", "id": 7})


@pytest.mark.parametrize(
    ("text", "client", "wrong"),
    [
        (GET, Scripted((7, 404), ECHO), None),
        (GET, Scripted(ECHO), "answered by []"),
        (GET, Scripted((7, 404), (7, 404), ECHO), "answered by"),
        (GET, Scripted((0, 400), ECHO), "answered by"),
        (GET, Scripted((7, 500), ECHO), "an error of the server"),
        (GET, Scripted((7, 404), (fuzzers.LAST_ID, 503)), "the next request was answered"),
        ("{", Scripted((0, 400), ECHO), None),
        ("{", Scripted(ECHO), "answered by []"),
        ('{"status": 200, "id": 7}', Scripted(ECHO), None),
        ('{"status": 200, "id": 7}', Scripted((7, 404), ECHO), "answered by"),
    ],
)
def test_messages(ground, text, client, wrong):
    found = check_messages(ground(client), text)
    assert found is None if wrong is None else found.startswith(wrong)


@pytest.mark.parametrize(
    ("client", "wrong"),
    [
        (Scripted((7, 100), (7, 404), (8, 200)), None),
        (Scripted((7, 500), (8, 200)), "an error of the server"),
        (Scripted((7, 404), (7, 404), (8, 200)), "a second answer"),
    ],
)
def test_paths(ground, client, wrong):
    found = check_paths(ground(client), ("get", "/x"))
    assert found is None if wrong is None else found.startswith(wrong)
