"""protoo-call.mjs in situations that users of comparable software complain of, in Chromium."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from .call_pages import (
    closed_with,
    open_call,
    start_call,
    wait_for,
    wait_for_media,
    wait_for_state,
)
from .conftest import ARGUMENTS, find_chromium

SIZE = "{ width: { ideal: 1280 }, height: { ideal: 720 } }"


def options(**options):
    return f"?calls={json.dumps(options)}"


@pytest.fixture
def launch(browser):
    """A function that starts another Chromium, with more options or with others."""
    launched = []

    def launch(arguments):
        path = find_chromium()
        chromium = browser.browser_type.launch(executable_path=path, args=arguments)
        launched.append(chromium)
        return chromium

    yield launch
    for chromium in launched:
        chromium.close()


def test_a_relay_only_page_publishes_no_address(open_page):
    # Members that only the constructor takes, beside the policy.
    relay = {"iceTransportPolicy": "relay", "bundlePolicy": "max-bundle"}
    alice, bob = open_page("alice", query=options(rtcConfiguration=relay)), open_page("bob")
    alice.evaluate("""() => {
        window.published = [];
        const { request } = client;
        client.request = (method, path, data, options) => {
            published.push(JSON.stringify(data));
            return request.call(client, method, path, data, options);
        };
    }""")
    start_call(alice, bob)
    wait_for_state(bob, "ringing")
    bob.evaluate("call.accept()")
    wait_for_state(alice, "open")
    # The other side finds its addresses, so this side would have found its own, too.
    wait_for(bob, "call.peerConnection.iceGatheringState === 'complete'")
    wait_for(alice, "call.peerConnection.iceGatheringState === 'complete'")
    assert alice.evaluate("log.filter(([event]) => event === 'error')") == []
    assert alice.evaluate("call.peerConnection.getConfiguration().bundlePolicy") == "max-bundle"
    published = "".join(alice.evaluate("published"))
    assert "m=audio" in published
    assert "typ host" not in published
    assert "typ host" in bob.evaluate("call.peerConnection.localDescription.sdp")


@pytest.mark.parametrize("how", ["camera", "screen"])
def test_the_other_side_notices_that_there_is_no_picture_any_more(open_page, how):
    alice, bob = open_page("alice"), open_page("bob")
    start_call(alice, bob, f"{{ audio: true, video: {json.dumps(how == 'camera')} }}")
    wait_for_state(bob, "ringing")
    bob.evaluate("call.accept()")
    wait_for(alice, "call.peerConnection?.connectionState === 'connected'")
    if how == "screen":
        alice.evaluate("call.shareScreen()")
    wait_for_media(bob)
    assert bob.evaluate("[call.remote.audio, call.remote.video]") == [True, True]
    # As the browser's own button does it, and an unplugged camera.
    alice.evaluate("""() => {
        const [track] = call.localStream.getVideoTracks();
        track.stop();
        track.dispatchEvent(new Event("ended"));
    }""")
    wait_for(bob, "!call.remote.video")
    assert bob.evaluate("call.remoteStream.getTracks().map(({ kind }) => kind)") == ["audio"]
    assert bob.evaluate("log.filter(([event]) => event === 'remote').at(-1)[1].video") is False
    alice.evaluate("call.useDevice('video')")
    wait_for(bob, "call.remote.video")
    wait_for_media(bob)


def test_another_camera_keeps_the_size_of_the_picture(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    start_call(alice, bob, f"{{ audio: {{ echoCancellation: false }}, video: {SIZE} }}")
    wait_for_state(bob, "ringing")
    alice.evaluate("""async () => {
        const devices = await navigator.mediaDevices.enumerateDevices();
        for (const kind of ["audio", "video"]) {
            const { deviceId } = devices.filter((it) => it.kind === `${kind}input`).at(-1);
            await call.useDevice(kind, deviceId);
        }
    }""")
    found = alice.evaluate("""() => {
        const [audio, video] = call.localStream.getTracks().map((it) => it.getSettings());
        return [audio.echoCancellation, video.width, video.height];
    }""")
    assert found == [False, 1280, 720]
    error = alice.evaluate("call.useDevice('video', { deviceId: 'x' }).catch(String)")
    assert error.startswith("TypeError: deviceId must be")


def test_a_released_camera_comes_back_with_its_size(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    start_call(alice, bob, f"{{ audio: true, video: {SIZE} }}")
    wait_for_state(bob, "ringing")
    bob.evaluate("call.accept()")
    wait_for_media(bob)
    alice.evaluate("""() => {
        window.camera = call.localStream.getVideoTracks()[0];
        call.setMuted("video", true, { release: true });
    }""")
    assert alice.evaluate("camera.readyState") == "ended"
    wait_for(bob, "call.remote.muted.video && !call.remote.video")
    alice.evaluate("call.setMuted('video', false)")
    wait_for(bob, "!call.remote.muted.video && call.remote.video")
    wait_for_media(bob)
    size = "call.localStream.getVideoTracks()[0].getSettings().width"
    assert alice.evaluate(size) == 1280


def test_a_mute_during_an_outage_of_the_other_side_is_known_when_it_is_back(open_page):
    alice, bob = open_call(open_page)
    bob.evaluate("window.dispatchEvent(new Event('offline'))")
    alice.evaluate("""() => {
        // The request is lost, as after its time limit.
        const { request } = client;
        client.request = async () => {
            client.request = request;
            throw Object.assign(new Error("nothing within 15 s"), { status: 408, isLocal: true });
        };
        call.setMuted("audio", true);
    }""")
    bob.evaluate("window.dispatchEvent(new Event('online'))")
    wait_for(bob, "call.remote.muted.audio")


def test_a_call_stops_ringing_when_the_page_of_the_caller_is_closed(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    start_call(alice, bob)
    wait_for_state(bob, "ringing")
    wait_for(alice, "call.state === 'progress'")
    alice.close()
    assert closed_with(bob)["reason"] == "canceled"


def test_a_call_ends_soon_after_one_of_the_pages_is_closed(open_page):
    # The grace period of the site is 20 s.
    alice, bob = open_call(open_page)
    alice.close()
    assert closed_with(bob) == {"cause": "end", "status": None, "reason": "page closed"}


@pytest.mark.parametrize("path", ["/Users/{}", "/USERS/{}/"])
def test_the_caller_may_write_the_mount_in_its_own_way(open_page, path):
    alice, bob = open_page("alice"), open_page("bob")
    path = path.format(bob.evaluate("username"))
    alice.evaluate("(path) => void show(calls.start(path, { video: true }))", path)
    wait_for_state(bob, "ringing")
    bob.evaluate("call.accept({ video: true })")
    wait_for_media(alice, bob)
    bob.evaluate("call.hangUp('bye')")
    assert closed_with(alice)["reason"] == "bye"


def test_a_computer_without_a_camera_can_call_and_be_called(launch, open_page, call_site):
    others = [it for it in ARGUMENTS if not it.startswith("--use-fake-device")]
    chromium = launch([*others, "--use-fake-device-for-media-stream=device-count=0"])
    permissions = ["camera", "microphone"]
    context = chromium.new_context(base_url=call_site, permissions=permissions)
    alice, bob = open_page("alice"), open_page("bob", context)
    start_call(alice, bob)
    wait_for_state(bob, "ringing")
    refused = bob.evaluate("""call.accept({ video: true }).catch(
        ({ name, message, missing, cause }) => [name, message, missing, cause.name])""")
    assert refused == ["CallError", "No camera was found.", ["video"], "NotFoundError"]
    bob.evaluate("call.accept({ video: true, required: ['audio'] })")
    wait_for_media(bob)
    wait_for(alice, "call.remote.audio && !call.remote.video")
    missing = "log.filter(([event]) => event === 'error').map(([, it]) => it.missing)"
    assert bob.evaluate(missing) == [["video"]]


def test_a_page_is_told_that_the_browser_wants_a_click_before_it_plays(
    launch, open_page, call_site
):
    policy = "--autoplay-policy=document-user-activation-required"
    chromium = launch([*ARGUMENTS, policy])
    bob = chromium.new_context(base_url=call_site).new_page()
    # Whatever the test evaluates in a page counts as a click, so this page reports by itself.
    bob.goto("/login/bob-without-a-click?answer=1")
    alice = open_page("alice")
    told = []
    with bob.expect_console_message(lambda it: told.append(it.text) or "plays:" in it.text):
        alice.evaluate("""async () => {
            // Until his page is connected.
            do {
                if (window.call) await new Promise((resolve) => setTimeout(resolve, 50));
                show(calls.start("/users/bob-without-a-click"));
                await new Promise((resolve) => call.on("state", ({ state }) =>
                    state === "open" || state === "closed" ? resolve() : null));
            } while (call.state === "closed");
        }""")
    assert told == ["The browser plays the call only after a click.", "plays: false"]
    expect(bob.locator("#remote")).to_be_attached()
