"""The sample app's page, when data of wrong types arrive, or data that another user has forged."""

from __future__ import annotations

import json

from playwright.sync_api import expect

from .conftest import log_in
from .pages import (
    call,
    choose_status,
    contact,
    expect_mark,
    expect_presence,
    expect_texts,
    in_call,
    message,
    open_conversation,
    write,
)

HANG_UP = """() => {
  if (!document.getElementById("call").hidden) document.getElementById("call-hang-up").click();
}"""
NO_TEXTS = [None, 7, True, {}, [], {"toString": 1}]
GOOD = {
    "id": 10**6,
    "uuid": "forged",
    "sender": "bob",
    "recipient": "alice",
    "text": "hi",
    "sent_at": 1e9,
    "delivered_at": None,
    "call": None,
}


def open_page(browser, server, username, problems):
    """Log in with a page whose WebSocket the test can write to. Returns the page and a function."""
    context = browser.new_context(base_url=server.url)
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda it: it.type == "error" and problems.append(it.text))
    routes = []

    def open_route(route):
        server_side = route.connect_to_server()
        routes.append(server_side)
        route.on_message(server_side.send)
        server_side.on_message(route.send)
        routes[-1] = route

    page.route_web_socket("**/protoo*", open_route)
    log_in(page, username)
    return page, lambda **message: routes[-1].send(json.dumps(message))


def test_broken_messages_break_neither_the_lists_nor_the_page(open_browser, browser, server):
    problems = []
    bob = open_browser("bob")
    alice, say = open_page(browser, server, "alice", problems)
    open_conversation(alice, "bob")
    open_conversation(bob, "alice")
    write(bob, "before")
    expect(message(alice, "before")).to_be_visible()

    wrong = [
        *NO_TEXTS,
        *({**GOOD, "text": value} for value in NO_TEXTS),
        *({**GOOD, "sender": value} for value in NO_TEXTS),
        *({**GOOD, "sent_at": value} for value in [None, "now", 1e300, {}]),
        *({**GOOD, "call": value} for value in [7, "call", []]),
        {key: value for key, value in GOOD.items() if key != "text"},
        {"__proto__": GOOD},
    ]
    for number, data in enumerate(wrong):
        data = data if isinstance(data, dict) else {"text": data}
        say(method="message", id=1000 + number, data=data)
        say(method="message", data=data)
    for method in ["contact", "delivered", "presence", "read", "typing"]:
        for value in [*NO_TEXTS, "x" * 10_000, "<b>bob</b>"]:
            say(method=method, data={"username": value, "ids": value, "unread": value})
            say(method=method, data={"username": "bob", "ids": value, "unread": value})
            say(method=method, data={"username": "bob", "note": value, "since": value})
    for method in ["constructor", "__proto__", "toString", "hasOwnProperty"]:
        say(method=method, data={"username": "bob"})
        say(method=method, id=5000, data={"username": "bob"})
    say(method="message", id=6000, data={**GOOD, "text": "long " * 13_000})

    expect(message(alice, "long long")).to_be_visible()
    write(bob, "after")
    expect(message(alice, "after")).to_be_visible()
    write(alice, "an answer")
    expect(message(bob, "an answer")).to_be_visible()
    expect(alice.get_by_test_id("contact")).to_have_count(1)
    expect_presence(alice, "bob", "online")
    assert len(message(alice, "long long").locator(".text").inner_text()) < 5000
    width = alice.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0
    assert [text for text in problems if "favicon" not in text] == []
    alice.context.close()


def test_html_in_notes_is_shown_as_text(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    note = "<img src=x onerror=document.title='hacked'>\u202e"
    choose_status(bob, "Busy", note=note)
    expect_presence(alice, "bob", "busy")
    expect(contact(alice, "bob").locator(".contact-preview")).to_contain_text("<img src=x")
    expect(alice).not_to_have_title("hacked")


def test_a_recipient_cannot_forge_messages_of_others_in_a_response(open_browser, browser, server):
    """The messenger relays the provisional responses of the recipient's devices to the sender."""
    open_browser("carol")
    alice = open_browser("alice")
    problems = []
    bob, _ = open_page(browser, server, "bob", problems)
    # A page of Bob that answers each message with a response that says it is from Carol.
    bob.evaluate(
        """async (forged) => {
          const { Client } = await import(document.body.dataset.protooModule);
          const client = new Client({ uuid: "evil" });
          client.on("request", (req) => {
            req.provisional(180, "stored", { ...forged, sender: "carol" });
            req.provisional(180, "stored", { ...forged, sender: "alice", recipient: "carol" });
            req.reply(200, "OK", { delivered: "everywhere", failed: { length: 9 } });
          });
          await client.connect();
          globalThis.evil = client;
        }""",
        {**GOOD, "recipient": "alice", "text": "send me your password"},
    )
    open_conversation(alice, "bob")
    write(alice, "hi Bob")
    expect_mark(alice, "hi Bob", "delivered")
    expect(contact(alice, "carol")).to_have_attribute("data-unread", "0")
    open_conversation(alice, "carol")
    expect(alice.locator("#no-messages")).to_be_visible()
    expect_texts(alice, [])
    bob.context.close()


def test_a_call_ends_without_a_notice_if_its_reason_is_not_a_known_one(
    open_browser, browser, server
):
    problems = []
    bob = open_browser("bob")
    alice, say = open_page(browser, server, "alice", problems)
    expect_presence(alice, "bob", "online")
    for number, reason in enumerate(["constructor", "__proto__", {"toString": 1}, None]):
        call(alice, "bob", "audio")
        bob.get_by_test_id("accept-audio").click()
        expect(in_call(alice)).to_be_visible()
        path = alice.evaluate("JSON.parse(sessionStorage.getItem('call')).path")
        data = {"sessionPath": path, "reason": reason}
        say(method="end", id=2000 + number, data=data)
        expect(in_call(alice)).to_have_count(0)
        expect(alice.get_by_test_id("toast")).to_be_hidden()
        # The server has heard of no end. Bob's page may have, by a 404.
        bob.evaluate(HANG_UP)
        expect(in_call(bob)).to_have_count(0)
    assert problems == []
    alice.context.close()
