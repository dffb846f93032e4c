"""Long names in paths are refused, before the application is asked about them."""

from __future__ import annotations

import pytest

from protoo_flask.core.names import MAX_NAME_LENGTH
from tests.features.calls.switchboards import Switchboard
from tests.features.messenger.messengers import Messenger, Store
from tests.features.rooms.room_sites import RoomSite, listen
from tests.features.sites import status_line

LONGEST = "\u00fc" * MAX_NAME_LENGTH
REFUSED = (414, "a username has at most 256 characters")


@pytest.fixture
def asked():
    return []


@pytest.fixture
def allow(asked):
    def allow(peer, username):
        asked.append(username)
        return True

    return allow


@pytest.mark.parametrize("is_allowed", [False, True])
def test_a_call_to_a_long_name_is_refused(is_allowed, allow, asked):
    options = {"allow": allow} if is_allowed else {}
    board = Switchboard("alice/a1", on_session=lambda *_: asked.append("session"), **options)
    alice = board["alice/a1"]
    answer = alice.request("session", f"/users/{LONGEST}x/b1")
    assert (status_line(answer), asked) == (REFUSED, [])
    answer = alice.request("session", f"/users/{LONGEST}/b1")
    assert status_line(answer) == (404, "peer not found")
    assert len(asked) == 1 + is_allowed
    # A notification has no answer.
    alice.notify("session", f"/users/{LONGEST}x")
    assert alice.take_all() == []


@pytest.mark.parametrize("report", [None, "all"])
@pytest.mark.parametrize("is_allowed", [False, True])
def test_a_message_to_a_long_name_is_refused(is_allowed, report, allow, asked):
    store = Store()
    options = {"allow": allow} if is_allowed else {}
    messenger = Messenger("alice/a1", report=report, on_offline=store, **options)
    alice = messenger["alice/a1"]
    assert status_line(alice.request("message", f"/users/{LONGEST}x")) == REFUSED
    assert (asked, store.kept) == ([], [])
    assert status_line(alice.request("message", f"/users/{LONGEST}")) == (202, "kept")


def test_a_room_with_a_long_id_is_refused(asked):
    site = RoomSite("alice/a1", on_room=listen(join_request=lambda room, req: asked.append(room)))
    alice = site["alice/a1"]
    answer = alice.request("session", f"/chat/rooms/{LONGEST}x")
    assert status_line(answer) == (414, "a room_id has at most 256 characters")
    assert (site.made, asked, site.sizes()) == ([], [], [])
    assert alice.request("session", f"/chat/rooms/{LONGEST}")["status"] == 200
    answer = alice.request("message", f"/chat/rooms/{LONGEST}x")
    assert status_line(answer) == (404, "room not found")


def test_the_other_parameters_of_the_path_of_a_room_are_names_too():
    site = RoomSite("alice/a1", path="/:team/:room_id")
    answer = site["alice/a1"].request("session", f"/chat/{LONGEST}x/42")
    assert status_line(answer) == (414, "a team has at most 256 characters")
