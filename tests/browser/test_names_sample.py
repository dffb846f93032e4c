"""Users of the sample app whose names are properties that every object of JavaScript has."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .pages import (
    call,
    choose_status,
    contact,
    expect_mark,
    expect_presence,
    expect_texts,
    in_call,
    join_meeting,
    message,
    open_conversation,
    tile,
    write,
)

#: Also a name in the paths of calls, and the id of an element of the page. The site turns names
#: to lower case, so "toString" becomes "tostring".
PAIRS = [
    ("constructor", "__proto__"),
    ("toString", "hasOwnProperty"),
    ("sessions", "thread"),
]


def chat(one, other):
    """Write both ways, and look at the composer, the drafts and the marks."""
    for page, partner in (one, other), (other, one):
        open_conversation(page[0], partner[1])
        expect(page[0].get_by_test_id("composer")).to_have_value("")
    for page, partner in (one, other), (other, one):
        write(page[0], f"to {partner[1]}")
        expect(message(partner[0], f"to {partner[1]}")).to_be_visible()
        expect_mark(page[0], f"to {partner[1]}", "delivered")


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_users_with_names_of_inherited_properties_chat(open_browser, first, second):
    one = (open_browser(first), first.lower())
    other = (open_browser(second), second.lower())
    expect_presence(one[0], other[1], "online")
    chat(one, other)
    choose_status(one[0], "Away", note="at lunch")
    expect_presence(other[0], one[1], "away")

    one[0].get_by_test_id("composer").fill("half a thought")
    one[0].reload()
    expect(one[0].get_by_test_id("composer")).to_have_value("half a thought")
    expect_texts(one[0], [f"to {other[1]}", f"to {one[1]}"])
    assert one[0].evaluate("document.scrollingElement.scrollTop") == 0


def test_users_with_names_of_inherited_properties_call_each_other(open_browser):
    one, other = open_browser("constructor"), open_browser("__proto__")
    expect_presence(one, "__proto__", "online")
    call(one, "__proto__")
    expect(other.get_by_test_id("ringing")).to_contain_text("constructor")
    other.get_by_test_id("accept-video").click()
    for page in (one, other):
        expect(in_call(page)).to_be_visible()
    one.get_by_test_id("hang-up").click()
    open_conversation(other, "constructor")
    expect(message(other, "Video call")).to_have_count(1)


@pytest.mark.parametrize("name", ["__proto__", ".."])
def test_a_meeting_with_the_name_of_an_inherited_property(open_browser, name):
    one, other = open_browser("constructor"), open_browser("__proto__")
    join_meeting(one, name)
    expect(one.get_by_test_id("meeting-detail")).to_have_text("Nobody else is here yet")
    join_meeting(other, name)
    expect(tile(one, "__proto__")).to_be_visible()
    expect(tile(other, "constructor")).to_be_visible()
    one.get_by_test_id("meeting-leave").click()
    expect(tile(other, "constructor")).to_have_count(0)
    expect(contact(one, "__proto__")).to_be_visible()
