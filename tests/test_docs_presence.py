"""docs/presence.md tells the truth: its transcript is replayed, its code compiles."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from protoo_flask.features.presence.middleware import MAX_SUBSCRIPTIONS
from protoo_flask.features.presence.states import MAX_LAST_SEEN, MAX_NOTE_LENGTH, MAX_STATUS_LENGTH

from .features.presence.presence_sites import PresenceSite

PAGE = (Path(__file__).parent.parent / "docs" / "presence.md").read_text(encoding="utf-8")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_transcript_can_be_replayed():
    site = PresenceSite(now=lambda: 1753430400.0)
    clients = {"alice": site.connect("alice/a1"), "bob": site.connect("bob/b1")}
    lines = "".join(blocks("text")).splitlines()
    assert len(lines) == 9
    for line in lines:
        name, direction, message = line.split(" ", 2)
        if direction == ">":
            clients[name].send(json.loads(message))
        else:
            assert clients[name].take() == json.loads(message)
    assert [client.take_all() for client in clients.values()] == [[], []]


@pytest.mark.parametrize("source", blocks("python"), ids=lambda source: source.split("\n")[0])
def test_the_python_of_the_page_compiles(source):
    compile(source, "presence.md", "exec")


@pytest.mark.parametrize(
    "limit",
    [
        f"{MAX_SUBSCRIPTIONS}, then 429",
        f"`status` | {MAX_STATUS_LENGTH} characters",
        f"`note` | {MAX_NOTE_LENGTH} characters",
        f"the last {MAX_LAST_SEEN:,}".replace(",", " "),
    ],
)
def test_the_page_has_the_limits_of_the_code(limit):
    assert limit in PAGE
