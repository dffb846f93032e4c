"""Labels: no client can make a new one."""

from __future__ import annotations

import pytest

from protoo_flask.observe.labels import CODES, STATUSES, code_label, status_label


@pytest.mark.parametrize(
    ("status", "label"),
    [(100, "100"), (200, "200"), (404, "404"), (487, "487"), (419, "4xx"), (699, "6xx")],
)
def test_a_status_that_nobody_has_defined_is_told_by_its_class(status, label):
    assert status_label(status) == label


@pytest.mark.parametrize(
    ("code", "label"),
    [(1000, "1000"), (1006, "1006"), (3003, "3003"), (1004, "1xxx"), (3999, "3xxx"), (0, "0xxx")],
)
def test_a_close_code_that_nobody_has_defined_is_told_by_its_range(code, label):
    assert code_label(code) == label


def test_all_that_a_client_can_send_makes_few_labels():
    statuses = {status_label(status) for status in range(100, 700)}
    assert len(statuses) <= len(STATUSES) + 6
    codes = {code_label(code) for code in range(65536)}
    assert len(codes) <= len(CODES) + 66
