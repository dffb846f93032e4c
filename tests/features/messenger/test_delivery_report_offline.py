"""p2p_messenger(report=..., on_offline=...): messages after all recipients have left."""

from __future__ import annotations

import itertools

import pytest

from .deliveries import accept, act, leave, reject, report, start, time_out
from .messengers import NOTHING


@pytest.mark.parametrize("mode", ["first", "all"])
@pytest.mark.parametrize("uuids", [["b1"], ["b1", "b2", "b3"]], ids=["one", "three"])
@pytest.mark.parametrize(
    ("reply", "answer"),
    [((202, "kept", {"n": 1}), (202, "kept")), (None, (410, "peer offline"))],
    ids=["replies", "silent"],
)
def test_a_message_is_offered_once_after_all_recipients_have_left(mode, uuids, reply, answer):
    kept = []

    def keep(req, username):
        kept.append((username, req.data))
        if reply is not None:
            req.reply(*reply)

    messenger, requests = start(mode, uuids, on_offline=keep)
    for uuid in uuids:
        assert kept == []
        act(messenger, requests, uuid, leave)
    assert kept == [("bob", {"text": "hi"})]
    (told,) = messenger["alice/a1"].take_all()
    assert (told["status"], told["reason"]) == answer
    assert told["data"] == ({"n": 1} if reply else report("", " ".join(uuids)))
    assert messenger.left_behind() == NOTHING


def test_an_error_in_on_offline_after_all_recipients_have_left_is_answered_500(caplog):
    messenger, requests = start("all", ["b1", "b2"], on_offline=lambda req, username: 1 / 0)
    act(messenger, requests, "b1", leave)
    act(messenger, requests, "b2", leave)
    (told,) = messenger["alice/a1"].take_all()
    assert (told["status"], told["reason"]) == (500, "internal server error")
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("mode", ["first", "all"])
@pytest.mark.parametrize(
    "other", [accept(), reject(410), reject(603), time_out], ids=["200", "own-410", "603", "408"]
)
@pytest.mark.parametrize("order", list(itertools.permutations(["b1", "b2"])), ids="-".join)
def test_a_message_answered_by_one_device_is_not_offered(mode, other, order):
    kept = []
    messenger, requests = start(
        mode, ["b1", "b2"], on_offline=lambda req, username: kept.append(username)
    )
    for uuid in order:
        act(messenger, requests, uuid, leave if uuid == "b1" else other)
    messenger["bob/b2"].drop()
    assert kept == []
    assert len(messenger["alice/a1"].take_all()) == 1


def test_a_message_is_not_offered_while_the_user_has_another_device():
    kept = []
    messenger, requests = start(
        "all", ["b1", "b2"], on_offline=lambda req, username: kept.append(username)
    )
    act(messenger, requests, "b1", leave)
    messenger.connect("bob/b3")
    act(messenger, requests, "b2", leave)
    (told,) = messenger["alice/a1"].take_all()
    assert (told["status"], told["data"]) == (410, report("", "b1 b2"))
    assert kept == []
