"""Paths and methods with control characters, on real servers."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("character", ["\n", "\0", "\x1b", "\x7f", "\x85", "\u2028"], ids=ascii)
def test_a_path_with_a_control_character_is_answered_400_and_the_next_one_is_handled(
    character, site, alice
):
    with site.connect(alice) as client:
        answer = client.request("get", f"/echo{character}")
        assert answer["status"] == 400
        assert "control characters" in answer["reason"]
        assert client.request("get", "/echo", {"n": 1})["data"] == {"n": 1}


def test_a_method_with_a_control_character_is_a_method_without_a_handler(site, alice):
    with site.connect(alice) as client:
        assert client.request("get\n", "/echo")["status"] == 404
        assert client.request("\x1b[2J" * 1000, "/echo")["status"] == 404


def test_an_escaped_control_character_is_legal(site, alice):
    with site.connect(alice) as client:
        assert client.request("get", "/ech%0ao")["status"] == 404
