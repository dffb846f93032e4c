"""Excerpts: untrusted texts become a part of one line, however evil they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoo_flask.core.excerpts import (
    MAX_ERROR_LENGTH,
    MAX_LENGTH,
    excerpt,
    excerpt_of,
    excerpt_of_error,
)

#: The longest note of how much is left out.
NOTE = len("... (1000000 more)")


@pytest.mark.parametrize(
    "text", ["", "message", "/users/Zo\u00eb", "\u65e5\u672c", "a b", "\U0001f600", "'\"<>%s{}"]
)
def test_a_printable_text_stays_as_it_is(text):
    assert excerpt(text) == text
    assert excerpt_of(text) == repr(text)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a\nb", r"a\nb"),
        ("\r\n\t\0", r"\r\n\t\x00"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x7f\x85\x9b", r"\x7f\x85\x9b"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("\u202eadmin\u2066", r"\u202eadmin\u2066"),
        ("\u200b\ufeff", r"\u200b\ufeff"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("a\\nb", r"a\\nb"),
        ("Zo\u00eb\n", "Zo\u00eb\\n"),
    ],
    ids=ascii,
)
def test_other_characters_are_escaped(text, escaped):
    assert excerpt(text) == escaped


@pytest.mark.parametrize("character", ["x", "\u00e9", "\n", "\\", "\U000e0041"], ids=ascii)
def test_a_long_text_is_cut_with_a_note_of_the_rest(character):
    at = MAX_LENGTH // len(excerpt(character))
    assert len(excerpt(character * at)) <= MAX_LENGTH
    assert "more" not in excerpt(character * at)
    assert excerpt("x" * (MAX_LENGTH + 1)) == "x" * MAX_LENGTH + "... (1 more)"
    assert len(excerpt(character * 1_000_000)) <= MAX_LENGTH + NOTE
    assert len(excerpt_of(character * 1_000_000)) <= MAX_LENGTH + NOTE
    assert len(excerpt_of([character * 1_000_000])) <= MAX_LENGTH + NOTE


@given(st.text(st.characters()))
def test_every_excerpt_is_one_printable_line(text):
    for found in (excerpt(text), excerpt_of(text), excerpt_of({text: [text]})):
        assert found.isprintable()
        assert len(found) <= MAX_LENGTH + NOTE


@given(st.text(), st.text())
def test_two_short_texts_have_different_excerpts(one, other):
    if one != other and max(len(excerpt(one)), len(excerpt(other))) <= MAX_LENGTH:
        assert excerpt(one) != excerpt(other)


def test_the_repr_of_an_object_is_escaped_and_cut():
    class Message:
        def __repr__(self):
            return "line one\n\x1b[31mline two\n" * 1000

    found = excerpt_of(Message())
    assert found.startswith(r"line one\n\x1b[31mline two\n")
    assert len(found) <= MAX_LENGTH + NOTE


def test_a_value_that_is_no_text_is_shown_by_its_repr():
    assert (excerpt(None), excerpt(b"\n")) == ("None", r"b'\n'")


@pytest.mark.parametrize("error", [ValueError("x"), RecursionError("x")])
def test_a_repr_that_fails_is_no_error(error):
    class Message:
        def __repr__(self):
            raise error

    name = type(error).__name__
    assert excerpt_of(Message()) == f"<Message, whose repr() failed with {name}>"


def test_an_error_has_more_room_as_ours_show_the_way_out():
    assert excerpt_of_error(ValueError("x" * 300)) == repr(ValueError("x" * 300))
    assert len(excerpt_of_error(ValueError("x" * 60_000))) <= MAX_ERROR_LENGTH + NOTE
