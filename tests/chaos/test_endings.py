"""What clients are excused for: a server that ended with its peers, not long before."""

from __future__ import annotations

import json

import pytest

from tests.soak.checks import check_stayed

from .cells import Cell
from .endings import AFTERMATH, Endings
from .faults import FAULTS


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def endings(clock):
    return Endings(lambda: clock[0])


def test_nothing_is_excused_before_a_server_has_ended(endings):
    assert not endings.excuse(100.0)


def test_an_end_excuses_what_was_there_before_it_and_until_it_is_forgotten(endings, clock):
    with endings.during():
        assert endings.excuse(100.0)
        clock[0] = 103.0
    assert endings.excuse(50.0)
    assert endings.excuse(103.0 + AFTERMATH - 0.1)
    assert not endings.excuse(103.0 + AFTERMATH)


@pytest.mark.parametrize(
    ("name", "cell", "ends_peers"),
    [
        ("kill", "gunicorn+cluster", True),
        ("hup", "gunicorn+cluster", False),
        ("term", "gunicorn+cluster", False),
        ("stop", "gunicorn+cluster", True),
        ("stop", "gunicorn", False),
        ("hup", "gunicorn", True),
        ("term", "pywsgi", True),
        ("cut", "gunicorn", False),
    ],
)
def test_a_worker_of_a_cluster_that_ends_in_good_order_gives_its_peers_to_others(
    name, cell, ends_peers
):
    assert FAULTS[name].ends_peers(Cell(cell)) is ends_peers


@pytest.mark.parametrize(
    ("told", "is_right"),
    [
        (["online", "offline"], True),
        (["online"], False),
        (["online", "offline", "online", "offline"], False),
    ],
)
def test_a_device_that_was_told_offline_meanwhile_is_found(told, is_right, tmp_path):
    events = tmp_path / "events"
    entries = [[at, event, "pair0-to/d", 7] for at, event in enumerate(told)]
    entries += [[0.5, "online", "pair0-to", 7]]
    events.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    assert (check_stayed(str(events), ["pair0-to/d"]) == []) is is_right
