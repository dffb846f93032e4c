"""The nesting of JSON text: its depth, and its outline."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoo_flask.core.wire.nesting import MAX_DEPTH, is_too_deep, outline
from tests.core.wire import json_texts

texts = st.builds(
    lambda parts, space: f"[{f',{space}'.join(parts)}]",
    st.lists(json_texts.values | json_texts.wrapped_scalars, max_size=4),
    json_texts.spaces,
)


@given(texts)
def test_the_depth_is_that_of_the_brackets_outside_of_strings(text):
    depth = json_texts.depth_of(text)
    assert outline(text.encode()).depth == depth
    assert is_too_deep(text.encode()) == (depth > MAX_DEPTH)


@given(json_texts.objects_of(json_texts.strings, json_texts.values | json_texts.wrapped_scalars))
def test_the_outline_has_the_same_members_without_what_is_in_them(text):
    expected = {
        name: 0 if isinstance(value, (list, dict)) else value
        for name, value in json.loads(text).items()
    }
    assert json.loads(outline(text.encode()).text) == expected


@given(st.binary(max_size=60) | st.text('[]{}",\\ 0', max_size=60).map(str.encode))
def test_no_text_makes_them_raise(text):
    outline(text)
    is_too_deep(text)
    is_too_deep(text * 100)


@pytest.mark.parametrize("levels", [MAX_DEPTH - 4, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1])
@pytest.mark.parametrize(
    "wide", ["", ", " + "[], " * 1000 + "0", ", " + '{"x": [[]]}, ' * 500 + "0", ', "[[[["']
)
def test_the_limit_is_exact(levels, wide):
    for opening, closing in (("[", "]"), ('{"]": ', "}")):
        deep = opening * (levels - 1) + "0" + (levels - 1) * closing
        text = f"[{deep}{wide}]"
        assert json_texts.depth_of(text) == levels
        assert is_too_deep(text.encode()) == (levels > MAX_DEPTH)


@pytest.mark.parametrize("inner", ["", "[],[]", '"]["', "[[[[[]]]]],7"])
@pytest.mark.parametrize("levels", [MAX_DEPTH - 7, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1])
def test_the_limit_is_the_same_for_text_that_goes_up_and_down_many_times(levels, inner):
    inner_levels = {"": 0, "[],[]": 1, '"]["': 0, "[[[[[]]]]],7": 5}[inner]
    around = levels - inner_levels - 1
    text = f"[{','.join(['[' * around + inner + ']' * around] * 20)}]"
    assert is_too_deep(text.encode()) == (levels > MAX_DEPTH)
    assert is_too_deep((text[:-1] + ",[]" * 3000 + "]").encode()) == (levels > MAX_DEPTH)
