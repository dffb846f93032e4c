"""Messages between peers, and requests to the site, through a real server."""

from __future__ import annotations

import pytest

from .processes import WHERE_BLOCKING_IS_FINE


def test_two_users_send_each_other_messages(site, alice, bob):
    with site.connect(alice, "a1") as a, site.connect(bob, "b1") as b:
        for sender, receiver, address in ((a, b, f"{bob}/b1"), (b, a, alice)):
            id = sender.start("message", f"/users/{address}", {"text": "hi"})
            message = receiver.expect("message")
            assert message["data"] == {"text": "hi"}
            assert "path" not in message
            receiver.respond(message, 200, "got it", read=True)
            assert sender.receive() == {
                "status": 200,
                "reason": "got it",
                "id": id,
                "data": {"read": True},
            }


def test_a_relayed_message_has_its_sender_and_a_new_id(site, alice, bob):
    with site.connect(alice, "a1") as a, site.connect(bob, "b1") as b:
        id = a.start("message", f"/users/{bob}")
        message = b.expect("message")
        b.respond(message, 200)
        assert a.receive()["id"] == id

    assert message["sender"] == {"username": alice, "uuid": "a1"}
    assert 1 <= message["id"] < 2**53
    assert message["id"] != id


def test_a_client_cannot_forge_the_sender(site, alice, bob):
    with site.connect(alice, "a1") as a, site.connect(bob, "b1") as b:
        forged = {"username": "root", "uuid": "r1"}
        path = f"/users/{bob}"
        a.send({"method": "message", "path": path, "id": 1, "sender": forged, "extra": 1})

        message = b.expect("message")
        assert message["sender"] == {"username": alice, "uuid": "a1"}
        b.respond(message, 200)
        assert a.receive()["id"] == 1


def test_provisional_and_final_responses_are_relayed_unchanged(site, alice, bob):
    with site.connect(alice) as a, site.connect(bob) as b:
        id = a.start("message", f"/users/{bob}")
        message = b.expect("message")
        for status, reason in ((100, "trying"), (180, "ringing"), (486, "busy")):
            b.respond(message, status, reason, n=status)
            answer = {"status": status, "reason": reason, "id": id, "data": {"n": status}}
            assert a.receive() == answer
        # A response after the final one is dropped.
        b.respond(message, 200, "too late")
        b.nothing_came()
        a.nothing_came()


def test_text_of_any_script_is_relayed_unchanged(site, alice, bob):
    text = 'Grüße, 你好, مرحبا, 🧣, "quotes", \\ and \u0000\u2028'
    with site.connect(alice) as a, site.connect(bob) as b:
        a.start("message", f"/users/{bob}", {"text": text})
        message = b.expect("message")
        assert message["data"] == {"text": text}
        b.respond(message, 200, text, text=text)
        answer = a.receive()
        assert (answer["reason"], answer["data"]) == (text, {"text": text})


def test_a_message_to_a_user_goes_to_every_device(site, alice, bob):
    with site.connect(alice) as a, site.connect(bob, "b1") as b1, site.connect(bob, "b2") as b2:
        answer = a.request("message", f"/users/{bob}", {"text": "hi"})

        assert (answer["status"], answer["reason"]) == (200, "message sent to 2 peers")
        assert b1.expect("message")["data"] == {"text": "hi"}
        assert b2.expect("message")["data"] == {"text": "hi"}


@pytest.mark.parametrize("report", ["first", "all"])
def test_a_report_tells_the_rejection_that_says_most(site, alice, bob, report):
    with site.connect(alice) as a, site.connect(bob, "b1") as b1, site.connect(bob, "b2") as b2:
        id = a.start("message", f"/report/{report}/{bob}")
        b1.respond(b1.expect("message"), 404, "not found")
        b2.respond(b2.expect("message"), 413, "too large")
        answer = a.receive()
        # In no order, where the devices are connected to several servers.
        answer["data"]["failed"].sort()
        data = {"delivered": [], "failed": ["b1", "b2"]}
        assert answer == {"status": 413, "reason": "too large", "id": id, "data": data}


def test_a_message_to_a_device_goes_only_to_that_device(site, alice, bob):
    with site.connect(alice) as a, site.connect(bob, "b1") as b1, site.connect(bob, "b2") as b2:
        a.start("message", f"/users/{bob}/b2")
        b2.respond(b2.expect("message"), 200)
        assert a.receive()["status"] == 200
        b1.nothing_came()


def test_a_message_to_the_senders_own_name_skips_the_sending_device(site, alice):
    with site.connect(alice, "a1") as a1, site.connect(alice, "a2") as a2:
        id = a1.start("message", f"/users/{alice}", {"text": "note"})
        a2.respond(a2.expect("message"), 202, "noted")
        assert a1.receive()["id"] == id
        # A message to its own uuid is allowed.
        a1.start("message", f"/users/{alice}/a1")
        assert a1.expect("message")["sender"] == {"username": alice, "uuid": "a1"}


def test_a_message_to_the_senders_own_name_without_other_devices_is_a_404(site, alice):
    with site.connect(alice) as a:
        answer = a.request("message", f"/users/{alice}")
        assert (answer["status"], answer["reason"]) == (404, "peer not found")


def test_notifications_are_relayed_and_never_answered(site, alice, bob):
    with site.connect(alice, "a1") as a, site.connect(bob) as b:
        a.notify("message", f"/users/{bob}", {"typing": True})
        assert b.expect("message") == {
            "method": "message",
            "data": {"typing": True},
            "sender": {"username": alice, "uuid": "a1"},
        }
        a.notify("message", "/users/nobody-at-all")
        a.notify("get", "/nowhere")
        a.notify("get", "/echo")
        a.nothing_came()


@pytest.mark.parametrize("path", ["/users/nobody-at-all", "/users/nobody-at-all/n1"])
def test_a_message_to_an_absent_peer_is_a_404(site, alice, path):
    with site.connect(alice) as a:
        answer = a.request("message", path)
        assert (answer["status"], answer["reason"]) == (404, "peer not found")


def test_a_site_may_store_a_message_to_an_offline_user(site, alice):
    with site.connect(alice) as a:
        answer = a.request("message", "/users/away-today")
        assert (answer["status"], answer["reason"]) == (202, "stored")


def test_a_peer_that_leaves_without_answering_counts_as_410(site, alice, bob):
    with site.connect(alice) as a, site.connect(bob) as b:
        a.start("message", f"/users/{bob}")
        b.expect("message")
        b.close()
        answer = a.receive()
        assert (answer["status"], answer["reason"]) == (410, "peer offline")


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("get", "/nowhere", 404, "not found"),
        ("put", "/echo", 404, "not found"),
        ("any method at all", "/", 404, "not found"),
        ("get", "/abort", 409, "somebody was faster"),
        ("get", "/reject", 486, "busy here"),
    ],
)
def test_every_request_is_answered(site, alice, method, path, status, reason):
    with site.connect(alice) as a:
        assert a.request(method, path) == {
            "status": status,
            "reason": reason,
            "id": 1,
            "data": {},
        }


def test_a_failing_handler_is_a_500_without_the_cause(server, site, alice):
    with site.connect(alice) as a:
        answer = a.request("get", "/crash")
        assert (answer["status"], answer["reason"]) == (500, "internal server error")
        server.expect_traceback("Deliberate: crash")
        a.nothing_came()


def test_a_handler_may_ask_another_peer_and_wait(site, alice, bob):
    with site.connect(alice) as a, site.connect(bob) as b:
        id = a.start("get", f"/ask/{bob}", {"n": 1})
        question = b.expect("question")
        assert question["data"] == {"n": 1}
        assert "sender" not in question
        # A waiting handler does not delay other peers.
        b.nothing_came()
        b.respond(question, 100)
        b.respond(question, 603, "decline", n=2)
        assert a.receive() == {
            "status": 603,
            "reason": "decline",
            "id": id,
            "data": {"n": 2, "is_local": False},
        }


def test_a_handler_may_ask_the_same_peer_that_it_answers(site, alice):
    with site.connect(alice) as a:
        id = a.start("get", f"/ask/{alice}")
        a.respond(a.expect("question"), 200, "me")
        answer = a.receive()
        assert (answer["id"], answer["status"], answer["reason"]) == (id, 200, "me")


def test_a_handler_sees_every_response(site, alice):
    with site.connect(alice) as a:
        a.start("get", f"/all-answers/{alice}")
        question = a.expect("question")
        for status in (100, 180, 200):
            a.respond(question, status)
        assert a.receive()["data"] == {"statuses": [100, 180, 200]}


def test_a_peer_that_does_not_answer_in_time_counts_as_408(site, alice):
    with site.connect(alice) as a:
        a.start("get", f"/ask/{alice}", {"timeout": 0.05})
        a.expect("question")
        answer = a.receive()
        assert (answer["status"], answer["data"]) == (408, {"is_local": True})


def test_requests_are_handled_in_order_even_if_the_first_one_blocks(site, alice):
    with site.connect(alice) as a:
        ids = [a.start("get", f"/ask/{alice}"), a.start("get", "/echo"), a.start("get", "/no")]
        question = a.expect("question")
        a.respond(question, 200)
        assert [a.receive()["id"] for _ in ids] == ids


def test_hundreds_of_requests_at_once_are_answered_in_order(site, alice):
    with site.connect(alice) as a:
        ids = [a.start("get", "/echo", {"n": n}) for n in range(300)]
        answers = [a.receive() for _ in ids]
        assert [answer["id"] for answer in answers] == ids
        assert [answer["data"]["n"] for answer in answers] == list(range(300))


def test_a_site_may_handle_requests_of_a_peer_in_parallel(site_at, alice):
    with site_at("/parallel").connect(alice) as a:
        asking = a.start("get", f"/ask/{alice}")
        question = a.expect("question")
        echo = a.start("get", "/echo")
        assert a.receive()["id"] == echo
        a.respond(question, 200)
        assert a.receive()["id"] == asking


@WHERE_BLOCKING_IS_FINE
def test_a_blocking_call_of_the_standard_library_blocks_one_connection(site, alice, bob):
    with site.connect(alice) as a, site.connect(bob) as b:
        id = a.start("get", f"/gate/{alice}/wait")
        assert a.receive()["status"] == 100
        b.nothing_came()
        assert b.request("get", f"/gate/{alice}/open")["status"] == 200
        answer = a.receive()
        assert (answer["id"], answer["status"]) == (id, 200)


def test_an_id_may_be_used_again_after_its_answer(site, alice):
    with site.connect(alice) as a:
        echo = {"method": "get", "path": "/echo", "id": 2**53 - 1}
        for _ in range(2):
            a.send(echo)
            assert a.receive()["status"] == 200
