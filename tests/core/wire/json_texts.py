"""JSON texts for property tests: everything that the grammar allows, and how Python reads it.

``json.dumps`` writes none of the unusual texts: escapes where none is needed, lone surrogates,
space in odd places, the same name twice, numbers in every notation.
"""

from __future__ import annotations

import json

from hypothesis import strategies as st

from protoo_flask.core.wire.surrogates import mend_string

spaces = st.sampled_from(["", "", "", " ", "\n", "\t \r\n"])
escapes = st.sampled_from([rf"\{letter}" for letter in '"\\/bfnrt']) | st.builds(
    "\\u{:04x}".format, st.integers(0, 0xFFFF) | st.integers(0xD7FF, 0xE000)
)
pieces = st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters='"\\'))
strings = st.lists(pieces | escapes, max_size=4).map(lambda parts: f'"{"".join(parts)}"')
digits = st.text("0123456789", min_size=1, max_size=5)
integers = st.builds("{}{}".format, st.sampled_from(["", "-"]), st.integers(0, 2**70)) | (
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["", "-"]),
        st.sampled_from("19"),
        digits.map("{:0>19}".format),
    )
)
numbers = integers | st.builds(
    "{}{}{}".format,
    integers,
    st.just("") | digits.map(".{}".format),
    st.just("")
    | st.builds(
        "{}{}{}".format,
        st.sampled_from("eE"),
        st.sampled_from(["", "+", "-"]),
        st.integers(0, 200).map(str),
    ),
)
#: Numbers that a server may refuse.
large_numbers = st.sampled_from(["1e999", "-1E400", "1" * 400, "1" * 5000, "-" + "9" * 4301])
scalars = strings | numbers | st.sampled_from(["true", "false", "null"])


def lists_of(items):
    return st.builds(
        lambda items, space: f"[{space}{f'{space},'.join(items)}{space}]",
        st.lists(items, max_size=3),
        spaces,
    )


def objects_of(names, values):
    members = st.builds("{}{}:{}{}".format, names, spaces, spaces, values)
    return st.builds(
        lambda members, space: f"{{{space}{f'{space},{space}'.join(members)}{space}}}",
        st.lists(members, max_size=4),
        spaces,
    )


def wrap(text, levels, opening, closing):
    times = levels // depth_of(opening + closing)
    return opening * times + text + closing * times


def depth_of(text):
    """Return the levels of arrays and objects in a JSON text."""
    depth = deepest = 0
    in_string = False
    characters = iter(text)
    for character in characters:
        if in_string and character == "\\":
            next(characters)
        elif character == '"':
            in_string = not in_string
        elif not in_string:
            depth += (character in "[{") - (character in "]}")
            deepest = max(deepest, depth)
    return deepest


#: Levels around a limit of 500, and few enough for the standard library.
wrapped_scalars = st.builds(
    lambda text, levels, brackets: wrap(text, levels, *brackets),
    scalars,
    st.sampled_from([3, 400, *range(495, 505), 600]),
    st.sampled_from([("[", "]"), ('{"":', "}"), ('[{"\\"]":[', "]}, 0]")]),
)
values = st.recursive(
    scalars, lambda inner: lists_of(inner) | objects_of(strings, inner), max_leaves=8
)
data = objects_of(strings, values)


def write_name(name, escaped):
    """Return a name as JSON, with some characters escaped."""
    letters = [
        f"\\u{ord(letter):04x}" if escape else letter for letter, escape in zip(name, escaped)
    ]
    return f'"{"".join(letters)}"'


def names_of(fields):
    return st.builds(
        write_name,
        st.sampled_from(fields),
        st.lists(st.booleans(), min_size=8, max_size=8) | st.just([False] * 8),
    )


def read(text):
    """Return the value of a text as Python reads it, with mended strings."""
    return _mend(json.loads(text, object_pairs_hook=_read_object))


def _read_object(pairs):
    return {mend_string(name): value for name, value in pairs}


def _mend(value):
    # Without recursion: the value may be nested deeply.
    box = [value]
    places = [(box, 0)]
    while places:
        holder, key = places.pop()
        item = holder[key]
        if isinstance(item, str):
            holder[key] = mend_string(item)
        elif isinstance(item, list):
            places += [(item, index) for index in range(len(item))]
        elif isinstance(item, dict):
            places += [(item, name) for name in item]
    return box[0]
