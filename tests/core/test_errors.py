"""Errors: which statuses a Reject takes, and how it reads."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import Reject, UsageError


@pytest.mark.parametrize("code", [299, 200, 0, 700, True, "403", None], ids=repr)
def test_only_a_status_that_rejects_can_be_a_reject(code):
    with pytest.raises(UsageError, match="from 300 to 699"):
        Reject(code, "no")


def test_a_reject_reads_as_its_code_and_reason():
    assert str(Reject(403, "banned")) == "403 banned"
    assert str(Reject(403)) == "403"
