"""Suggestions for wrong names."""

from __future__ import annotations

import pytest

from protoo_flask.core.suggestions import suggest

KNOWN = ["online", "offline", "ping_interval", "request_timeout", "session_timeout"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("onlin", "online"),
        ("Online", "online"),
        ("ping-interval", "ping_interval"),
        ("pinginterval", "ping_interval"),
        ("ping", "ping_interval"),
        ("connect", "online"),
        (" Connect", "online"),
        ("interval", "ping_interval"),
        ("colour_of_the_sky", ""),
        (5, ""),
        (None, ""),
    ],
)
def test_the_name_that_was_probably_meant(name, meant):
    assert suggest(name, KNOWN, {"connect": "online"}) == meant


def test_a_name_is_suggested_in_its_own_spelling():
    assert suggest("ping interval", ["Ping_Interval"]) == "Ping_Interval"
