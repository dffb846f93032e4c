"""Meetings in the sample app: each page has a connection to each other page."""

from __future__ import annotations

from playwright.sync_api import expect

from .conftest import with_config
from .pages import (
    PATIENCE,
    call,
    expect_video_plays,
    join_meeting,
    tile,
)


def expect_to_see(page, *usernames):
    expect(page.get_by_test_id("tile")).to_have_count(len(usernames) + 1)
    for username in usernames:
        expect_video_plays(page, f'[data-testid=tile][data-username="{username}"] video')


@with_config(PROTOO_DISCONNECT_GRACE_PERIOD=2)
def test_three_members_see_each_other_and_notice_joins_and_leaves(open_browser):
    names = ["alice", "bob", "carol"]
    pages = {name: open_browser(name) for name in names}
    for page in pages.values():
        join_meeting(page, "Standup")
        expect(page.get_by_test_id("meeting")).to_be_visible()
    for name, page in pages.items():
        expect_to_see(page, *[other for other in names if other != name])
        expect(page.get_by_test_id("meeting-detail")).to_have_text("3 people")

    pages["carol"].get_by_test_id("meeting-leave").click()
    expect(pages["carol"].get_by_test_id("meeting")).to_be_hidden()
    expect_to_see(pages["alice"], "bob")
    pages["bob"].close()
    expect(pages["alice"].get_by_test_id("tile")).to_have_count(1)
    expect(pages["alice"].get_by_test_id("meeting-detail")).to_have_text("Nobody else is here yet")


def test_later_members_also_see_who_is_muted_or_has_no_picture(open_browser):
    alice, bob, carol = open_browser("alice"), open_browser("bob"), open_browser("carol")
    join_meeting(alice, "standup")
    join_meeting(bob, "standup")
    expect_to_see(bob, "alice")
    alice.get_by_test_id("meeting-mute").click()
    alice.get_by_test_id("meeting-camera").click()
    join_meeting(carol, "standup")
    for page in (bob, carol):
        expect(tile(page, "alice")).to_have_attribute("data-seen", "false")
        expect(tile(page, "alice")).to_contain_text("muted", timeout=PATIENCE)
    alice.get_by_test_id("meeting-mute").click()
    alice.get_by_test_id("meeting-camera").click()
    expect(tile(carol, "alice")).not_to_contain_text("muted")
    expect_to_see(carol, "alice", "bob")


def test_a_reloaded_page_joins_the_meeting_again(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    join_meeting(alice, "standup")
    join_meeting(bob, "standup")
    expect_to_see(bob, "alice")
    alice.get_by_test_id("meeting-mute").click()
    alice.reload()
    expect_to_see(alice, "bob")
    expect_to_see(bob, "alice")
    expect(tile(bob, "alice")).to_contain_text("muted")


def test_two_pages_reloaded_at_once_find_each_other(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    for page in (alice, bob):
        join_meeting(page, "standup")
    expect_to_see(bob, "alice")
    for page in (alice, bob):
        page.evaluate("setTimeout(() => location.reload())")
    expect_to_see(alice, "bob")
    expect_to_see(bob, "alice")


def test_the_seventh_member_is_refused_because_the_meeting_is_full(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    # Six members without camera and page, to save processor time.
    alice.evaluate(
        """async () => {
          const { protooModule, protooUrl: url } = document.body.dataset;
          const { Client } = await import(protooModule);
          window.clients = [1, 2, 3, 4, 5, 6].map((n) => new Client({ url, uuid: `d${n}` }));
          for (const client of clients) {
            await client.connect();
            await client.request("session", "/rooms/standup");
          }
        }"""
    )
    join_meeting(bob, "standup")
    expect(bob.get_by_test_id("meetings-error")).to_contain_text("The meeting is full")
    expect(bob.get_by_test_id("meeting")).to_be_hidden()
    alice.evaluate("clients[0].request('end', '/rooms/standup')")
    bob.get_by_test_id("meeting-join").click()
    expect(bob.get_by_test_id("tile")).to_have_count(6)


def test_a_user_in_a_meeting_is_busy(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    join_meeting(bob, "standup")
    expect(bob.get_by_test_id("meeting")).to_be_visible()
    call(alice, "bob")
    expect(alice.get_by_test_id("toast")).to_contain_text("bob is busy.")
    expect(bob.get_by_test_id("ringing")).to_be_hidden()


def test_a_link_to_a_meeting_fills_in_its_name(open_browser):
    alice, bob = open_browser("alice"), open_browser("bob")
    alice.context.grant_permissions(["clipboard-read", "clipboard-write", "camera", "microphone"])
    join_meeting(alice, "standup")
    alice.get_by_test_id("meeting-link").click()
    expect(alice.get_by_test_id("meeting-link")).to_have_text("Link copied")
    bob.goto(alice.evaluate("navigator.clipboard.readText()"))
    expect(bob.get_by_test_id("meeting-name")).to_have_value("standup")
    bob.get_by_test_id("meeting-join").click()
    expect_to_see(bob, "alice")
