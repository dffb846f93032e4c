"""p2p_messenger(report=...): one answer, made from the responses of the devices."""

from __future__ import annotations

import gc

import pytest

from protoo_flask.core.response import Response
from protoo_flask.features.messenger.delivery_report import DeliveryReport

from .deliveries import accept, act, cancel, leave, reject, report, start, time_out
from .messengers import NOTHING, Messenger, spoil_requests

#: ([(device, its reaction)] in order, the answer to the sender, and the number of reactions
#: after which the sender gets it). Bob has as many devices as there are reactions.
FIRST = {
    "one-accepts": ([("b1", accept())], (200, "OK", report("b1")), 1),
    "one-accepts-its-own-way": (
        [("b1", accept(202, "later", n=1))],
        (202, "later", report("b1", n=1)),
        1,
    ),
    "one-rejects": (
        [("b1", reject(486, "busy", until="noon"))],
        (486, "busy", report("", "b1", until="noon")),
        1,
    ),
    "one-leaves": ([("b1", leave)], (410, "peer offline", report("", "b1")), 1),
    "one-times-out": ([("b1", time_out)], (408, "request timeout", report("", "b1")), 1),
    "one-is-canceled": ([("b1", cancel)], (487, "canceled", report("", "b1")), 1),
    "the-first-accepts": (
        [("b1", accept(200, "read", n=1)), ("b2", accept(202)), ("b3", reject(486))],
        (200, "read", report("b1", n=1)),
        1,
    ),
    "the-last-in-the-list-accepts-first": (
        [("b3", accept(202, "later")), ("b1", accept()), ("b2", accept())],
        (202, "later", report("b3")),
        1,
    ),
    "one-rejects-then-one-accepts": (
        [("b2", reject(486)), ("b1", accept()), ("b3", accept())],
        (200, "OK", report("b1", "b2")),
        2,
    ),
    "failures-are-in-the-order-of-the-list": (
        [("b3", reject(603)), ("b1", leave), ("b2", accept())],
        (200, "OK", report("b2", "b1 b3")),
        3,
    ),
    "the-device-cannot-say-who-delivered": (
        [("b1", accept(200, "OK", delivered=["b2"], failed=1)), ("b2", accept())],
        (200, "OK", report("b1")),
        1,
    ),
    "the-rest-times-out-after-one-rejected": (
        [("b1", reject(486, "busy")), ("b2", time_out)],
        (486, "busy", report("", "b1 b2")),
        2,
    ),
}

ALL = {
    **{name: case for name, case in FIRST.items() if name.startswith("one-") and len(case[0]) == 1},
    "all-accept": (
        [("b2", accept(202, "later", n=1)), ("b3", accept()), ("b1", accept(299))],
        (200, "message delivered to 3 of 3 peers", report("b1 b2 b3")),
        3,
    ),
    "some-accept": (
        [("b3", reject(603)), ("b2", accept(202)), ("b1", reject(300))],
        (200, "message delivered to 1 of 3 peers", report("b2", "b1 b3")),
        3,
    ),
    "one-accepts-one-leaves": (
        [("b1", accept()), ("b2", leave)],
        (200, "message delivered to 1 of 2 peers", report("b1", "b2")),
        2,
    ),
    "the-rest-times-out": (
        [("b2", accept()), ("b1", time_out)],
        (200, "message delivered to 1 of 2 peers", report("b2", "b1")),
        2,
    ),
}

NONE_ACCEPTED = {
    "the-lowest-class-wins": (
        [("b1", reject(500, "no")), ("b2", reject(487, "lost", n=1)), ("b3", reject(503))],
        (487, "lost", report("", "b1 b2 b3", n=1)),
        3,
    ),
    "a-status-that-says-least-loses": (
        [("b1", reject(404, "lost")), ("b2", reject(486, "busy", n=1)), ("b3", reject(480))],
        (486, "busy", report("", "b1 b2 b3", n=1)),
        3,
    ),
    "of-equals-the-one-listed-first": (
        [("b2", reject(486, "second")), ("b1", reject(486, "first"))],
        (486, "first", report("", "b1 b2")),
        2,
    ),
    "a-redirection-is-no-acceptance": (
        [("b1", reject(300, "elsewhere")), ("b2", leave)],
        (300, "elsewhere", report("", "b1 b2")),
        2,
    ),
    "local-and-remote": (
        [("b1", leave), ("b2", reject(486, "busy")), ("b3", time_out)],
        (486, "busy", report("", "b1 b2 b3")),
        3,
    ),
    "canceled-and-gone": (
        [("b1", leave), ("b2", cancel), ("b3", time_out)],
        (487, "canceled", report("", "b1 b2 b3")),
        3,
    ),
    "all-leave": ([("b1", leave), ("b2", leave)], (410, "peer offline", report("", "b1 b2")), 2),
}


def cases():
    for mode, table in (("first", FIRST), ("all", ALL)):
        for name, case in {**table, **NONE_ACCEPTED}.items():
            yield pytest.param(mode, *case, id=f"{mode}-{name}")


@pytest.mark.parametrize(("mode", "actions", "answer", "after"), list(cases()))
def test_the_sender_gets_one_answer_with_the_report(mode, actions, answer, after):
    messenger, requests = start(mode, [uuid for uuid, _ in actions])
    assert [request["data"] for request in requests.values()] == [{"text": "hi"}] * len(actions)
    alice = messenger["alice/a1"]
    for uuid, do in actions[: after - 1]:
        act(messenger, requests, uuid, do)
        assert alice.take_all() == []
    act(messenger, requests, *actions[after - 1])
    (told,) = alice.take_all()
    assert (told["status"], told["reason"], told["data"]) == answer
    for uuid, do in actions[after:]:
        act(messenger, requests, uuid, do)
    assert alice.take_all() == []
    assert messenger.left_behind() == NOTHING
    assert messenger.core.framework.errors == []


@pytest.mark.parametrize("mode", ["first", "all"])
@pytest.mark.parametrize("others", [[], ["b2"]], ids=["only", "one-of-two"])
def test_a_message_to_one_device_is_reported_in_its_response(mode, others):
    names = ["alice/a1", "bob/b1", *(f"bob/{uuid}" for uuid in others)]
    messenger = Messenger(*names, report=mode)
    id = messenger["alice/a1"].start_request("message", "/users/bob/b1")
    bob = messenger["bob/b1"]
    request = bob.take()
    bob.respond(request, 180, "ringing", {"n": 1})
    bob.respond(request, 202, "later", {"n": 2})
    assert messenger["alice/a1"].take_all() == [
        {"status": 180, "reason": "ringing", "id": id, "data": {"n": 1}},
        {"status": 202, "reason": "later", "id": id, "data": report("b1", n=2)},
    ]
    assert messenger.take_recipients() == []


@pytest.mark.parametrize("mode", ["first", "all"])
def test_provisional_responses_of_all_devices_are_relayed_until_the_answer(mode):
    messenger, requests = start(mode, ["b1", "b2"])
    alice = messenger["alice/a1"]
    for uuid, status in (("b1", 100), ("b2", 180), ("b1", 183)):
        act(messenger, requests, uuid, accept(status, uuid, n=status))
    assert [(told["status"], told["reason"], told["data"]) for told in alice.take_all()] == [
        (100, "b1", {"n": 100}),
        (180, "b2", {"n": 180}),
        (183, "b1", {"n": 183}),
    ]
    act(messenger, requests, "b1", accept())
    act(messenger, requests, "b2", accept(180))
    statuses = [told["status"] for told in alice.take_all()]
    assert statuses == ([200] if mode == "first" else [180])
    act(messenger, requests, "b2", accept(202))
    assert [told["status"] for told in alice.take_all()] == ([] if mode == "first" else [200])
    assert messenger.left_behind() == NOTHING


@pytest.mark.parametrize("mode", ["first", "all"])
def test_data_that_cannot_be_sent_fails_at_every_device(mode):
    messenger = Messenger("alice/a1", "bob/b1", "bob/b2", report=mode)
    alice = messenger["alice/a1"]
    spoil_requests(alice)
    alice.start_request("message", "/users/bob")
    (told,) = alice.take_all()
    assert (told["status"], told["data"]) == (400, report("", "b1 b2"))
    assert messenger.left_behind() == NOTHING


@pytest.mark.parametrize("mode", ["first", "all"])
@pytest.mark.parametrize("status", [180, 200])
def test_a_response_that_cannot_be_relayed_is_answered_500(mode, status):
    messenger, requests = start(mode, ["b1"])
    peer = messenger["bob/b1"].peer
    unsendable = Response(status, "OK", {"x": object()}, peer=peer)
    peer.outbound.receive(requests["b1"]["id"], unsendable)
    (told,) = messenger["alice/a1"].take_all()
    assert told["status"] == 500
    assert "cannot be written as JSON" in told["reason"]


@pytest.mark.parametrize("mode", ["first", "all"])
def test_a_device_may_answer_while_the_message_is_still_being_sent_to_others(mode):
    messenger = Messenger("alice/a1", "bob/b1", "bob/b2", report=mode)
    bob = messenger["bob/b1"]
    keep = bob.link.send

    def answer_at_once(payload, id=None):
        keep(payload, id)
        bob.respond(bob.take(), 200, "OK")
        return True

    bob.link.send = answer_at_once
    messenger["alice/a1"].start_request("message", "/users/bob")
    assert len(messenger["alice/a1"].take_all()) == (1 if mode == "first" else 0)
    second = messenger["bob/b2"]
    second.respond(second.take(), 200, "OK")
    assert len(messenger["alice/a1"].take_all()) == (0 if mode == "first" else 1)
    assert messenger.left_behind() == NOTHING


@pytest.mark.parametrize("mode", ["first", "all"])
def test_devices_may_answer_after_the_sender_has_left(mode):
    messenger, requests = start(mode, ["b1", "b2"])
    messenger["alice/a1"].drop()
    for uuid in ("b1", "b2"):
        act(messenger, requests, uuid, accept())
    assert messenger.left_behind() == NOTHING


@pytest.mark.parametrize("mode", ["first", "all"])
@pytest.mark.parametrize("path", ["/users/bob", "/users/bob/b1"])
def test_a_notification_is_sent_on_without_a_report(mode, path):
    messenger = Messenger("alice/a1", "bob/b1", report=mode)
    messenger["alice/a1"].notify("message", path, {"typing": True})
    (got,) = messenger["bob/b1"].take_all()
    assert got == {
        "method": "message",
        "data": {"typing": True},
        "sender": {"username": "alice", "uuid": "a1"},
    }
    assert messenger.take_recipients() == []
    assert messenger.left_behind() == NOTHING


@pytest.mark.parametrize("mode", ["first", "all"])
def test_a_message_without_recipients_is_answered_404_without_a_report(mode):
    messenger = Messenger("alice/a1", report=mode)
    answer = messenger["alice/a1"].request("message", "/users/bob")
    assert (answer["status"], answer["data"]) == (404, {})


@pytest.mark.parametrize("mode", ["first", "all"])
@pytest.mark.parametrize(
    "last", [accept(), reject(486), leave, time_out], ids=["200", "486", "410", "408"]
)
def test_a_report_is_freed_when_all_transactions_have_ended(request, mode, last):
    # The collector need not look at all that other tests have made.
    gc.collect()
    gc.freeze()
    request.addfinalizer(gc.unfreeze)

    def reports():
        gc.collect()
        return [found for found in gc.get_objects() if isinstance(found, DeliveryReport)]

    messenger, requests = start(mode, ["b1", "b2"], on_offline=lambda req, username: None)
    assert len(reports()) == 1
    act(messenger, requests, "b1", leave)
    act(messenger, requests, "b2", last)
    assert reports() == []
    assert messenger.left_behind() == NOTHING
