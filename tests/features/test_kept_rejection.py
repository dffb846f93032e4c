"""KeptRejection: the best of several rejections, and the memory that it takes."""

from __future__ import annotations

import pytest

from protoo_flask.core.response import Response
from protoo_flask.features.kept_rejection import MAX_REASON, MAX_SIZE, KeptRejection


def parts(response):
    return response.status, response.reason, response.data


def test_nothing_is_found_before_a_rejection_was_added():
    kept = KeptRejection()
    assert kept.find() is None
    newest = Response(486)
    assert kept.find(newest) is newest


def test_the_best_one_is_found_with_its_data():
    kept = KeptRejection()
    kept.add(Response(603, "declined"))
    kept.add(Response(486, "busy", {"until": "noon", "n": 2**60}))
    kept.add(Response(404, "not found"))
    assert parts(kept.find()) == (486, "busy", {"until": "noon", "n": 2**60})
    assert parts(kept.find(Response(500))) == (
        486,
        "busy",
        {"until": "noon", "n": 1152921504606846976},
    )
    better = Response(302, "moved")
    assert kept.find(better) is better


def test_of_equal_ones_the_first_place_wins_then_the_earliest():
    kept = KeptRejection()
    kept.add(Response(486, "second"), place=1)
    kept.add(Response(486, "third"), place=2)
    kept.add(Response(486, "later"), place=1)
    assert kept.find().reason == "second"
    newest = Response(486, "first")
    assert kept.find(newest, place=0) is newest
    assert kept.find(newest, place=1).reason == "second"


def written(length):
    """Return a rejection that is written with so many bytes."""
    empty = len('{"status":486,"reason":"busy","id":0,"data":{"text":""}}')
    return Response(486, "busy", {"text": (length - empty) * "x"})


@pytest.mark.parametrize("length", [MAX_SIZE - 1, MAX_SIZE])
def test_a_rejection_up_to_the_limit_is_kept_with_its_data(length):
    kept = KeptRejection()
    kept.add(written(length))
    assert parts(kept.find()) == parts(written(length))


def test_a_longer_rejection_is_kept_without_its_data():
    kept = KeptRejection()
    kept.add(written(MAX_SIZE + 1))
    assert parts(kept.find()) == (486, "busy", {})


def test_a_long_reason_is_cut():
    kept = KeptRejection()
    kept.add(Response(486, "x" * MAX_SIZE))
    assert parts(kept.find()) == (486, "x" * MAX_REASON, {})


def test_a_rejection_that_cannot_be_written_is_kept_without_its_data():
    kept = KeptRejection()
    kept.add(Response(486, "busy", {"n": object()}))
    assert parts(kept.find()) == (486, "busy", {})
