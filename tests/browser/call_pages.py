"""Actions and expectations on a page of call_site.py."""

from __future__ import annotations


def wait_for(page, expression):
    """Wait until an expression in the page is true. It may return a promise."""
    # wait_for_function() treats a promise as true.
    met = page.evaluate(f"""async () => {{
        const deadline = Date.now() + 15000;
        while (!(await ({expression}))) {{
            if (Date.now() > deadline) return false;
            await new Promise((resolve) => setTimeout(resolve, 20));
        }}
        return true;
    }}""")
    assert met, f"never became true: {expression}; log: {page.evaluate('log')}"


def wait_for_state(page, state):
    wait_for(page, f"window.call && call.state === '{state}'")


def wait_for_media(*pages):
    """Wait until each page shows more frames of the other's camera than now."""
    for page in pages:
        wait_for(page, "call.peerConnection?.connectionState === 'connected'")
        before = page.evaluate("framesDecoded()")
        wait_for(page, f"framesDecoded().then((count) => count > {before} + 2)")


def start_call(page, callee, media="{ audio: true, video: true }"):
    path = f"/users/{callee.evaluate('username')}"
    page.evaluate(f"void show(calls.start('{path}', {media}))")


def open_call(open_page, query=""):
    """Return the pages of a caller and a callee in an open call with pictures."""
    alice, bob = open_page("alice", query=query), open_page("bob", query=query)
    start_call(alice, bob)
    wait_for_state(bob, "ringing")
    bob.evaluate("call.accept({ audio: true, video: true })")
    wait_for_media(alice, bob)
    return alice, bob


def closed_with(page):
    wait_for_state(page, "closed")
    wait_for(page, "log.some(([event]) => event === 'close')")
    return page.evaluate("log.find(([event]) => event === 'close')[1]")


def is_clean(page):
    """Whether nothing is sent any more, and no device or connection is open."""
    return page.evaluate(
        "call.peerConnection === null && calls.list.length === 0"
        " && call.localStream.getTracks().length === 0"
    )
