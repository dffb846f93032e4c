"""protoo-call.mjs between two Chromiums, with fake cameras but a real media connection."""

from __future__ import annotations

import pytest

from .call_pages import (
    closed_with,
    is_clean,
    open_call,
    start_call,
    wait_for,
    wait_for_media,
    wait_for_state,
)

#: On a busy machine, a reload may take longer than a page has time by default.
PATIENT = '?calls={"leaveTimeout": 15000}'


def test_both_see_each_other(open_page):
    alice, bob = open_call(open_page)
    for page in (alice, bob):
        assert page.evaluate("call.state") == "open"
        wait_for(page, "document.getElementById('remote').videoWidth > 0")
        assert page.evaluate("call.remoteStream.getTracks().length") == 2
    assert bob.evaluate("call.peer.username") == alice.evaluate("username")
    assert [e[1]["state"] for e in alice.evaluate("log") if e[0] == "state"] == ["progress", "open"]


def test_a_caller_that_hangs_up_ends_the_call_for_both(open_page):
    alice, bob = open_call(open_page)
    alice.evaluate("call.hangUp('bye')")
    assert closed_with(alice) == {"cause": "hangup", "status": None, "reason": "bye"}
    assert closed_with(bob) == {"cause": "end", "status": None, "reason": "bye"}
    assert is_clean(alice)
    assert is_clean(bob)


def test_a_rejected_call_is_closed(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    start_call(alice, bob)
    wait_for_state(bob, "ringing")
    assert bob.evaluate("call.offered") == {"audio": True, "video": True}
    bob.evaluate("call.reject(486, 'busy')")
    assert closed_with(alice) == {"cause": "rejected", "status": 486, "reason": "busy"}
    assert closed_with(bob) == {"cause": "hangup", "status": 486, "reason": "busy"}
    assert is_clean(alice)
    assert is_clean(bob)


def test_a_canceled_call_stops_ringing(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    start_call(alice, bob)
    wait_for_state(bob, "ringing")
    alice.evaluate("call.hangUp()")
    assert closed_with(bob)["reason"] == "canceled"
    assert is_clean(bob)


def test_a_call_to_an_absent_user_is_rejected(open_page):
    alice = open_page("alice")
    alice.evaluate("void show(calls.start('/users/carol'))")
    assert closed_with(alice) == {"cause": "rejected", "status": 404, "reason": "peer not found"}


def test_of_two_ringing_devices_the_accepting_one_gets_the_call(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    tablet = open_page("bob", bob.context)
    start_call(alice, bob)
    wait_for_state(bob, "ringing")
    wait_for_state(tablet, "ringing")
    tablet.evaluate("call.accept({ audio: true, video: true })")
    wait_for_media(alice, tablet)
    assert closed_with(bob)["reason"] == "answered elsewhere"
    assert is_clean(bob)


def test_on_hold_nothing_is_sent_in_either_direction(open_page):
    alice, bob = open_call(open_page)
    alice.evaluate("call.hold()")
    wait_for(bob, "call.remote.held")
    directions = "call.peerConnection.getTransceivers().every(it => it.currentDirection === '{}')"
    for page in (alice, bob):
        wait_for(page, directions.format("inactive"))
    alice.evaluate("call.unhold()")
    wait_for(bob, "!call.remote.held")
    for page in (alice, bob):
        wait_for(page, directions.format("sendrecv"))
    wait_for_media(alice, bob)


def test_the_other_side_is_told_about_mute(open_page):
    alice, bob = open_call(open_page)
    alice.evaluate("call.setMuted('audio', true)")
    wait_for(bob, "call.remote.muted.audio && !call.remote.muted.video")
    assert alice.evaluate("call.localStream.getAudioTracks().map((it) => it.enabled)") == [False]
    alice.evaluate("call.setMuted('audio', false)")
    wait_for(bob, "!call.remote.muted.audio")


def test_video_can_be_added_to_a_call_without_video(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    start_call(alice, bob, "{}")
    wait_for_state(bob, "ringing")
    bob.evaluate("call.accept()")
    wait_for(alice, "call.peerConnection?.connectionState === 'connected'")
    bob.evaluate("call.useDevice('video')")
    wait_for_media(alice)
    alice.evaluate("call.useDevice('video')")
    wait_for_media(alice, bob)


def test_another_camera_replaces_the_first(open_page):
    alice, bob = open_call(open_page)
    alice.evaluate("""async () => {
        const [camera] = call.localStream.getVideoTracks();
        const ids = (await navigator.mediaDevices.enumerateDevices())
            .filter(({ kind }) => kind === "videoinput").map(({ deviceId }) => deviceId);
        window.first = camera;
        await call.useDevice("video", ids.at(-1));
    }""")
    assert alice.evaluate("[first.readyState, call.localStream.getVideoTracks().length]") == [
        "ended",
        1,
    ]
    wait_for_media(alice, bob)


def test_the_screen_replaces_the_camera_until_sharing_stops(open_page):
    alice, bob = open_call(open_page)
    before = bob.evaluate("document.getElementById('remote').videoWidth")
    alice.evaluate("call.shareScreen()")
    wait_for(bob, "call.remote.screen")
    wait_for(bob, f"document.getElementById('remote').videoWidth !== {before}")
    shared = bob.evaluate("document.getElementById('remote').videoWidth")
    alice.evaluate("call.stopSharing()")
    wait_for(bob, "!call.remote.screen")
    # The width need not be the same as before: a busy machine sends smaller pictures.
    wait_for(bob, f"document.getElementById('remote').videoWidth !== {shared}")
    sent = alice.evaluate("call.peerConnection.getSenders().map(({ track }) => track?.label)")
    assert any("fake" in (label or "") for label in sent), sent


def test_video_works_when_both_add_it_at_once_and_the_offers_collide(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    start_call(alice, bob, "{}")
    wait_for_state(bob, "ringing")
    bob.evaluate("call.accept()")
    wait_for(alice, "call.peerConnection?.connectionState === 'connected'")
    for page in (alice, bob):
        page.evaluate("void call.useDevice('video')")
    wait_for_media(alice, bob)


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_reloaded_page_resumes_the_call(open_page, who):
    alice, bob = open_call(open_page, PATIENT)
    page = alice if who == "caller" else bob
    page.evaluate("sessionStorage.resume = 'true'")
    page.reload()
    wait_for_state(page, "open")
    wait_for_media(alice, bob)
    page.evaluate("call.hangUp()")
    assert closed_with(alice if page is bob else bob)["cause"] == "end"


def test_the_call_continues_when_both_pages_are_reloaded(open_page):
    alice, bob = open_call(open_page, PATIENT)
    for page in (alice, bob):
        page.evaluate("sessionStorage.resume = 'true'")
    for page in (alice, bob):
        page.reload(wait_until="commit")  # the second reloads while the first resumes
    for page in (alice, bob):
        wait_for_state(page, "open")
    wait_for_media(alice, bob)


def test_a_reloaded_page_that_does_not_resume_ends_the_call(open_page):
    alice, bob = open_call(open_page, PATIENT)
    bob.reload()
    alice.evaluate("call.hold()")
    assert closed_with(alice)["status"] == 404


def test_a_lost_connection_to_the_server_does_not_end_the_call(open_page):
    alice, bob = open_call(open_page)
    connection = alice.evaluate_handle("call.peerConnection")
    alice.evaluate("""() => {
        client.on("open", () => { window.isBack = true; });
        window.dispatchEvent(new Event("offline"));
    }""")
    wait_for(alice, "window.isBack")
    wait_for_media(alice, bob)
    assert alice.evaluate("(it) => it === call.peerConnection", connection)
    bob.evaluate("call.hangUp('bye')")
    assert closed_with(alice)["reason"] == "bye"


def test_both_sides_restart_ice_after_a_failure(open_page):
    alice, bob = open_call(open_page)
    ufrag = "call.peerConnection.localDescription.sdp.match(/a=ice-ufrag:(\\S+)/)[1]"
    before = alice.evaluate(ufrag), bob.evaluate(ufrag)
    for page in (alice, bob):
        # Simulates a failure of ICE, because a test cannot cut a real network cable.
        page.evaluate("""
            Object.defineProperty(
                call.peerConnection, "iceConnectionState", { value: "failed", configurable: true }
            );
            window.dispatchEvent(new Event("offline"));
            window.dispatchEvent(new Event("online"));
        """)
    for page, old in ((alice, before[0]), (bob, before[1])):
        wait_for(page, f"{ufrag} !== '{old}'")
        page.evaluate("delete call.peerConnection.iceConnectionState")
        wait_for(page, "call.peerConnection.signalingState === 'stable'")
    wait_for_media(alice, bob)


def test_a_call_can_be_rejected_after_the_microphone_was_refused(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    start_call(alice, bob)
    wait_for_state(bob, "ringing")
    bob.evaluate("""() => {
        navigator.mediaDevices.getUserMedia = async () => {
            throw new DOMException("Permission denied", "NotAllowedError");
        };
    }""")
    message = bob.evaluate("call.accept().catch((error) => error.message)")
    assert message == "You have not allowed this page to use the microphone."
    assert bob.evaluate("call.state") == "ringing"
    bob.evaluate("call.reject()")
    assert closed_with(alice)["status"] == 603
