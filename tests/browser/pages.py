"""Actions and expectations on a page of the sample app."""

from __future__ import annotations

from playwright.sync_api import expect

#: ms. A device with a broken connection is offline only after its grace period.
PATIENCE = 30_000


def contact(page, username):
    return page.locator(f'[data-testid=contact][data-username="{username}"]')


def expect_presence(page, username, presence, **options):
    expect(contact(page, username)).to_have_attribute("data-presence", presence, **options)


def open_conversation(page, username):
    contact(page, username).click()
    expect(page.get_by_test_id("thread-name")).to_have_text(username)


def open_tab(page):
    """Open another page of the same login, which is another device."""
    tab = page.context.new_page()
    tab.goto("/")
    expect(tab.locator("body[data-connected=true]")).to_be_attached()
    return tab


def write(page, text):
    page.get_by_test_id("composer").fill(text)
    page.get_by_test_id("composer").press("Enter")


def message(page, text):
    return page.get_by_test_id("message").filter(has_text=text)


def expect_mark(page, text, mark, **options):
    expect(message(page, text)).to_have_attribute("data-mark", mark, **options)


def expect_texts(page, texts):
    """Expect exactly these messages in the conversation, in this order."""
    expect(page.get_by_test_id("message").locator(".text")).to_have_text(texts)


def choose_status(page, status, note=""):
    page.get_by_test_id("own").click()
    dialog = page.get_by_test_id("status")
    dialog.get_by_label(status).check()
    dialog.get_by_label("Note").fill(note)
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()


def come_back(page):
    """Tell the page that the network is back, until it has reconnected.

    One event may be lost: an attempt that is just failing is not repeated at once.
    """
    page.wait_for_function(
        """() => {
          if (document.getElementById("connection").hidden) return true;
          dispatchEvent(new Event("online"));
          return false;
        }""",
        polling=100,
    )


# Calls


def call(page, username, kind="video"):
    """Call a user with the button above the conversation."""
    open_conversation(page, username)
    page.get_by_test_id(f"call-{kind}").click()


def in_call(page):
    """The view of an answered call."""
    return page.locator("[data-testid=call][data-state=open]")


def expect_video_plays(page, selector="#call-remote"):
    """Expect that the video is visible and that new pictures arrive."""
    page.wait_for_function(
        """(selector) => {
          const video = document.querySelector(selector);
          if (!video?.checkVisibility({ visibilityProperty: true })) return false;
          const { totalVideoFrames } = video.getVideoPlaybackQuality();
          video.framesAtFirst ??= totalVideoFrames;
          const plays = totalVideoFrames > video.framesAtFirst + 5;
          // Start counting again for another stream, and at the next call.
          if (plays || totalVideoFrames < video.framesAtFirst) delete video.framesAtFirst;
          return plays;
        }""",
        arg=selector,
        timeout=PATIENCE,
    )


def join_meeting(page, name):
    page.get_by_test_id("meetings").click()
    page.get_by_test_id("meeting-name").fill(name)
    page.get_by_test_id("meeting-join").click()


def tile(page, username):
    """A member of the meeting that the page is in."""
    return page.locator(f'[data-testid=tile][data-username="{username}"]')
