"""A test client: a connection in memory, on the same path as in production."""

from __future__ import annotations

import threading

import gevent
import pytest

from protoo_flask import Request
from protoo_flask.core.errors import UsageError
from protoo_flask.testing import ExpectationFailed, finish

from .conftest import make_site


def test_a_request_gets_the_answer_of_its_handler_in_the_session_of_the_handshake(alice):
    response = alice.request("get", "/echo", {"n": 1})
    assert (response.status, response.reason) == (200, "OK")
    assert response.data == {"data": {"n": 1}, "session": "alice"}


def test_a_client_is_a_peer_of_its_app(protoo, alice):
    assert alice.peer is protoo.peer("alice", "phone")
    assert alice.peer.online
    assert alice.is_connected
    assert (alice.close_code, alice.close_reason) == (None, "")


def test_a_device_without_a_name_gets_one(protoo):
    client = protoo.test_client(username="alice")
    assert client.uuid
    assert protoo.peers("alice") == [client.peer]


def test_text_that_is_no_message_is_answered_by_the_real_parser(alice):
    alice.send_raw("{")
    response = alice.expect_bad_message()
    assert (response.status, response.id) == (400, 0)
    assert response.reason.startswith("message is not JSON")
    alice.send_raw(b"\x00")
    assert "binary" in alice.expect_bad_message().reason
    alice.expect_nothing()


def test_data_is_what_json_makes_of_it(alice):
    data = {"list": [1, None, {"deep": "\U0001f600 \u2028"}], "long": "x" * 50_000}
    assert alice.request("get", "/echo", data).data["data"] == data


def test_provisional_responses_come_in_order(alice):
    sent = alice.send("get", "/steps")
    assert [response.status for response in sent] == [100, 150, 200]
    sent = alice.send("get", "/steps")
    assert sent.expect_response(100).reason == "first"
    assert sent.expect_response().status == 150
    assert sent.wait().status == 200
    assert sent.response is sent.responses[-1]


def test_a_request_of_a_handler_is_answered_while_it_waits(alice):
    sent = alice.send("get", "/question")
    request = alice.expect_request("question")
    assert (request.data, request.sender, request.is_answered) == ({"n": 1}, None, False)
    request.reply(100, "thinking")
    assert sent.response is None
    request.reply(200, "OK", {"answer": 42})
    assert request.is_answered
    assert sent.wait().data == {"status": 200, "data": {"answer": 42}}


def test_a_second_final_answer_is_an_error(alice):
    alice.send("get", "/question")
    request = alice.expect_request()
    request.reply(200)
    with pytest.raises(UsageError, match="has been answered"):
        request.reply(200)
    with pytest.raises(UsageError, match="100 to 699"):
        request.__class__("ask", {}, None, 1, None).reply(99)


def test_a_request_may_wait_in_a_greenlet_of_the_test(alice):
    asking = gevent.spawn(alice.request, "get", "/question")
    alice.expect_request("question").reply(200, "OK", {"answer": 1})
    assert asking.get().data["data"] == {"answer": 1}


def test_two_clients_may_wait_at_once(protoo, alice, bob):
    waiting = [gevent.spawn(client.expect_notification, "news") for client in (alice, bob)]
    gevent.spawn(protoo.broadcast, protoo.peers(), "news", {"n": 1})
    assert [greenlet.get().data for greenlet in waiting] == [{"n": 1}] * 2


def test_a_handler_that_sleeps_is_waited_for(alice):
    assert alice.request("get", "/slow").reason == "slow"


def test_messages_of_others_have_a_sender(alice, bob):
    sent = alice.send("message", "/users/bob", {"text": "hi"})
    request = bob.expect_request("message")
    assert request.data == {"text": "hi"}
    assert request.sender == {"username": "alice", "uuid": "phone"}
    request.reply(200, "read")
    assert sent.wait().reason == "read"
    alice.notify("message", "/users/bob", {"text": "bye"})
    assert bob.expect_notification("message").data == {"text": "bye"}


def test_an_expected_message_is_taken_out_of_the_inbox_and_others_stay(alice):
    alice.peer.notify("first")
    alice.peer.notify("second", {"n": 1})
    alice.peer.notify("second", {"n": 2})
    assert alice.expect_notification("second").data == {"n": 1}
    assert alice.expect_notification().method == "first"
    assert [item.data for item in alice.inbox] == [{"n": 2}]
    assert alice.expect_notification("second").data == {"n": 2}
    alice.expect_nothing()


def test_a_request_is_no_notification(alice):
    transaction = alice.peer.send(Request("ask"))
    with pytest.raises(ExpectationFailed, match="expected a notification 'ask'"):
        alice.expect_notification("ask")
    alice.expect_request("ask").reply(200)
    assert transaction.wait().status == 200


def test_several_devices_of_a_user_ring(protoo, alice):
    devices = [protoo.test_client(username="bob", uuid=uuid) for uuid in ("b1", "b2")]
    sent = alice.send("session", "/users/bob", {"offer": {}})
    first, second = [device.expect_request("session") for device in devices]
    first.reply(180, "ringing")
    second.reply(200, "OK")
    assert sent.wait().status == 200
    end = devices[0].expect_request("end")
    assert end.data["reason"] == "answered elsewhere"
    assert alice.request("end", sent.responses[0].data["sessionPath"]).status == 200


def test_clients_that_were_made_before_get_their_own_answers(alice, bob):
    first, second = alice.send("get", "/slow"), bob.send("get", "/echo", {"n": 2})
    third = alice.send("get", "/echo", {"n": 3})
    assert third.wait().data == {"data": {"n": 3}, "session": "alice"}
    assert second.wait().data == {"data": {"n": 2}, "session": "bob"}
    assert first.wait().reason == "slow"


def test_all_devices_of_a_user_are_told_that_they_are_closed(protoo, alice, bob):
    tablet = protoo.test_client(alice.flask_client, uuid="tablet")
    assert protoo.disconnect("alice") == 2
    for device in (alice, tablet):
        assert device.expect_close() == 3001
    bob.expect_nothing()


# The end of a connection


def test_a_client_that_closes_is_offline(protoo, alice):
    events = []
    protoo.test_clock.settle()
    alice.peer.on("offline", events.append)
    peer = alice.peer
    alice.close()
    assert events == [peer]
    assert protoo.peers() == []
    assert (alice.is_connected, alice.close_code, alice.peer) == (False, 1000, None)
    alice.close()


def test_a_context_manager_closes(protoo):
    with protoo.test_client(username="alice", uuid="phone") as alice:
        assert alice.request("get", "/echo").status == 200
    assert protoo.peers() == []


def test_a_call_of_a_closed_client_is_an_error_that_tells_why(alice):
    alice.peer.close(3001, "logged out")
    assert alice.expect_close(3001) == 3001
    assert alice.close_reason == "logged out"
    with pytest.raises(UsageError, match=r"alice/phone is not connected \(3001 'logged out'\)"):
        alice.request("get", "/echo")


def test_a_newer_connection_of_the_device_takes_over(protoo, alice):
    newer = protoo.test_client(username="alice", uuid="phone")
    alice.expect_close(3000)
    assert alice.close_reason == "online elsewhere"
    assert newer.request("get", "/echo").status == 200
    alice.close()
    assert newer.is_connected
    assert newer.peer.online


def test_a_dropped_client_may_come_back_in_its_grace_period(protoo, alice, bob):
    peer = alice.peer
    alice.drop()
    assert alice.close_code == 1006
    assert not peer.online
    sent = bob.send("message", "/users/alice", {"text": "hi"})
    assert not sent.responses
    alice.reconnect()
    assert alice.peer is peer
    alice.expect_request("message").reply(200)
    assert sent.wait().status == 200


def test_an_answer_that_was_lost_is_given_again(protoo, alice, bob):
    sent = bob.send("message", "/users/alice")
    request = alice.expect_request("message")
    alice.drop()
    request.reply(200, "late")
    assert sent.response is None
    alice.reconnect()
    assert sent.wait().reason == "late"
    alice.expect_nothing()


def test_a_request_without_an_answer_is_repeated_and_handled_once(protoo):
    handled = []

    @protoo.put("/slowly")
    def slowly(req, next):
        handled.append(req.id)
        req.peer.request("go on?")
        req.reply(200, "done")

    alice = protoo.test_client(username="alice", uuid="phone")
    sent = alice.send("put", "/slowly")
    asked = alice.expect_request("go on?")
    alice.drop()
    alice.reconnect()
    asked.reply(200)
    assert sent.wait().reason == "done"
    assert len(handled) == 1
    alice.expect_nothing()


def test_a_silent_client_is_found_out_by_a_ping(protoo, alice):
    peer = alice.peer
    alice.drop(silently=True)
    assert peer.online
    protoo.test_clock.advance(45)
    assert peer.online
    protoo.test_clock.advance(15)
    assert not peer.online
    alice.reconnect()
    assert peer.online


def test_a_client_answers_pings(protoo, alice):
    protoo.test_clock.advance(3600)
    assert alice.is_connected
    assert alice.request("get", "/echo").status == 200


def test_a_client_that_closes_while_the_app_does(protoo, alice):
    alice.peer.close(3001, "logged out")
    assert not alice._link.has_ended, "it has not ended yet"
    alice.close(1000)
    assert (alice.close_code, alice.close_reason) == (3001, "logged out")


def test_a_client_that_sends_while_the_app_closes(alice):
    alice.peer.close(3001, "logged out")
    with pytest.raises(UsageError, match=r"not connected \(3001 'logged out'\)"):
        alice.request("get", "/echo")
    sent = alice.send_raw
    with pytest.raises(UsageError, match="not connected"):
        sent("{}")
    alice.expect_close(3001)


def test_a_page_that_is_loaded_again_closes_with_a_code_and_comes_back(protoo, alice):
    peer = alice.peer
    alice.close(1001)
    assert not peer.online
    alice.reconnect()
    assert alice.peer is peer
    alice.close(4000)
    assert alice.close_code == 4000
    finish(protoo._site.app)
    assert alice.peer is None


@pytest.mark.parametrize("code", [0, 999, 1005, 1006, 2999, 5000, "1000"])
def test_a_code_that_no_client_may_send_changes_nothing(alice, code):
    with pytest.raises(UsageError, match=r"takes 1000, 1001 or 3000 to 4999"):
        alice.close(code)
    with pytest.raises(UsageError, match="at most 123 bytes"):
        alice.close(1000, "x" * 124)
    assert alice.request("get", "/echo").status == 200


@pytest.mark.parametrize("end", ["nothing", "close", "reconnect", "another device"])
def test_a_silent_client_leaves_nothing_behind(protoo, alice, end):
    alice.drop(silently=True)
    if end == "close":
        alice.close()
        assert alice.peer is None
    elif end == "reconnect":
        alice.reconnect()
        assert alice.request("get", "/echo").status == 200
    elif end == "another device":
        protoo.test_client(alice.flask_client, username="alice", uuid="phone")
    finish(protoo._site.app)
    assert protoo.peers() == []


# Misuse


def test_another_thread_is_told_to_leave_the_client_alone(alice):
    errors = []

    def use():
        try:
            alice.request("get", "/echo")
        except UsageError as error:
            errors.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert errors
    assert "is for the thread that has made the first client" in errors[0]


def test_a_protoo_knows_its_own_apps_only(protoo):
    other = make_site()
    with pytest.raises(UsageError, match="does not serve"):
        protoo.test_client(other._site.app.test_client(), username="alice")


def test_compression_is_used_as_in_a_browser():
    protoo = make_site(compression=True)
    alice = protoo.test_client(username="alice")
    assert "permessage-deflate" in alice._link.answer.headers["Sec-WebSocket-Extensions"]
    data = {"text": "again " * 1000}
    assert alice.request("get", "/echo", data).data["data"] == data
    finish(protoo._site.app)


def test_an_argument_in_the_place_of_another_is_named(protoo):
    app = protoo._site.app
    browser = app.test_client()
    for arguments, options, error in [
        ([app], {}, r"not the app itself: give it app\.test_client\(\)"),
        (["alice"], {}, r"takes a test client of Flask, .* it was given 'alice'"),
        ([], {"username": browser}, r"protoo_clients\(client=\.\.\.\) takes it"),
        ([], {"username": object()}, r"test_client\(username=\.\.\.\)"),
        ([], {"query": "token=1"}, r"query=\.\.\.\) takes a dict"),
        ([], {"headers": 7}, r"headers=\.\.\.\) takes a dict"),
        ([], {"query_string": {"a": 1}}, r"query=\{\.\.\.\}\) takes the query"),
    ]:
        with pytest.raises((UsageError, TypeError), match=error):
            protoo.test_client(*arguments, **options)
    assert protoo.peers() == []


def test_data_that_is_no_json_leaves_nothing_behind(alice):
    with pytest.raises(TypeError, match="not JSON serializable"):
        alice.send("get", "/echo", {"at": object()})
    alice.drop()
    alice.reconnect()
    assert alice.request("get", "/echo").status == 200


def test_send_raw_takes_text_or_bytes(alice):
    with pytest.raises(UsageError, match=r"takes a str or bytes.* given \{'method': 'get'\}"):
        alice.send_raw({"method": "get"})
    alice.send_raw(bytearray(b"\x00"))
    assert "binary" in alice.expect_bad_message().reason
