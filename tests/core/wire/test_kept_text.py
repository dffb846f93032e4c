"""Kept text: messages that are read again."""

from __future__ import annotations

from protoo_flask.core.wire.kept_text import read_kept


def test_a_text_is_read_as_it_was_written():
    assert read_kept(b'{"n":1152921504606846976,"a":[{}]}') == {
        "n": 1152921504606846976,
        "a": [{}],
    }
