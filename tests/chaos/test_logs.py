"""The logs of servers, and the corpus: what is taken for a complaint, and what is refused."""

from __future__ import annotations

import pytest

from tests.servers.processes import find_complaints

from . import corpus

LOG = """\
Traceback (most recent call last):
  File "/venv/gevent/ssl.py", line 1, in write
    return 1
ssl.SSLEOFError: of the server
Traceback (most recent call last):
  File "/here/protoo_flask/core/inbox.py", line 1, in receive
    return 1
ValueError: of ours
Traceback (most recent call last):
  File "/here/protoo_flask/core/inbox.py", line 1, in receive
  File "/here/tests/chaos/site.py", line 1, in fail
tests.chaos.site.Deliberate: wanted
""".splitlines(keepends=True)


def test_a_traceback_without_a_frame_of_ours_is_no_complaint():
    assert find_complaints(LOG, ["Deliberate: "], owner="/here/") == ["ValueError: of ours\n"]


def test_without_an_owner_every_traceback_is_one():
    assert len(find_complaints(LOG)) == 3


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("b'x'\n", "line 1: a comment says why it is there"),
        ("# a\nopen('x')\n", "malformed"),
    ],
)
def test_a_corpus_that_cannot_be_read_is_refused(text, error, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "FOLDER", tmp_path)
    (tmp_path / "frames.txt").write_text(text)
    with pytest.raises(ValueError, match=error):
        corpus.read_corpus("frames")


def test_a_corpus_has_literals_and_repetitions(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "FOLDER", tmp_path)
    (tmp_path / "frames.txt").write_text("# why\n# so\nb'\\xff'\n\n# long\n'ab' * 3\n")
    assert corpus.read_corpus("frames") == [("why so", b"\xff"), ("long", "ababab")]
