"""Lone surrogates, in JSON text and in strings."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoo_flask.core.wire.surrogates import mend_string, mend_text, mend_values
from tests.core.wire import json_texts

units = st.text(st.characters(min_codepoint=0xD7F0, max_codepoint=0xE00F)) | st.text(
    "\ud83d\ude00\\ud83\U0001f600x"
)


@given(units)
def test_a_mended_string_can_be_encoded_and_keeps_all_other_characters(text):
    mended = mend_string(text)
    mended.encode()
    units = text.encode("utf-16-le", "surrogatepass")
    assert len(mended.encode("utf-16-le")) == len(units)
    assert mend_string(mended) == mended
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert mended == text


@given(units)
def test_a_mended_text_is_read_as_the_mended_string(text):
    written = json.dumps(text).encode()
    mended = mend_text(written)
    assert json.loads(mended) == mend_string(text)
    assert len(mended) == len(written)


@given(json_texts.values)
def test_a_mended_text_differs_only_in_lone_surrogates(text):
    mended = mend_text(text.encode())
    assert json.loads(mended, object_pairs_hook=list) == mend_pairs(
        json.loads(text, object_pairs_hook=list)
    )


def mend_pairs(value):
    if isinstance(value, list):
        return [mend_pairs(item) for item in value]
    if isinstance(value, tuple):
        return tuple(map(mend_pairs, value))
    return mend_string(value) if isinstance(value, str) else value


@pytest.mark.parametrize("number", [0xD800, 0xDBFF, 0xDC00, 0xDFFF])
def test_each_half_is_mended_alone_and_kept_in_a_pair(number):
    unit = chr(number)
    is_high = unit < "\udc00"
    pair = unit + "\udc00" if is_high else "\ud800" + unit
    assert mend_string(unit) == "\ufffd"
    character = mend_string(pair)
    assert (len(character), ord(character) > 0xFFFF) == (1, True)
    escape = f"\\u{ord(unit):04x}"
    for spelling in (escape, escape.upper().replace("U", "u")):
        assert mend_text(spelling.encode()) == rb"\ufffd"


def test_values_are_mended_with_their_keys_and_not_in_place():
    data = {"\ud83d": ["\ude00", ("x", 1, None, True, 1.5)]}
    assert mend_values(data) == {"\ufffd": ["\ufffd", ["x", 1, None, True, 1.5]]}
    assert data == {"\ud83d": ["\ude00", ("x", 1, None, True, 1.5)]}
