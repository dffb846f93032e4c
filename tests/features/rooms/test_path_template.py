"""PathTemplate: which paths rooms may have, and how the path of a room is written."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import UsageError
from protoo_flask.features.rooms.path_template import PathTemplate


@pytest.mark.parametrize(
    ("path", "params", "written"),
    [
        ("/rooms/:room_id", {"room_id": "42"}, "/chat/rooms/42"),
        ("/rooms/:room_id", {"room_id": "a b/ü%"}, "/chat/rooms/a%20b%2F%C3%BC%25"),
        ("/:team/:room_id", {"team": "red", "room_id": "1", 0: "x"}, "/chat/red/1"),
    ],
)
def test_parameters_are_filled_in_percent_encoded(path, params, written):
    assert PathTemplate(path).write("/chat", params) == written


def test_the_mount_is_used_as_it_is():
    assert PathTemplate("/:room_id").write("/Tëam/chat", {"room_id": "1"}) == "/Tëam/chat/1"


@pytest.mark.parametrize("path", ["/rooms", "/:room", "/:room_id?", "/a(b)/:room_id", "", None])
def test_a_path_with_patterns_or_without_a_room_id_is_refused(path):
    with pytest.raises(UsageError, match=r"takes a path of plain segments.* not "):
        PathTemplate(path)
