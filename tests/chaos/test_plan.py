"""The plan, and the choice of cells: a seed gives the same ones again."""

from __future__ import annotations

from collections import Counter

import pytest

from .cells import MATRIX, Cell
from .fuzzers import FUZZERS
from .inputs import draw
from .plan import COSTS, QUICK, make_plan, names_for

CELL = Cell("gunicorn")


def test_a_seed_gives_the_same_plan_again_and_another_seed_another_one():
    assert make_plan(7, CELL, 60) == make_plan(7, CELL, 60)
    assert make_plan(7, CELL, 60) != make_plan(8, CELL, 60)
    assert make_plan(7, CELL, 60) != make_plan(7, Cell("pywsgi"), 60)


@pytest.mark.parametrize("name", FUZZERS)
def test_a_seed_gives_the_same_inputs_again_and_another_seed_others(name):
    strategy = FUZZERS[name].strategy
    assert draw(strategy, 7, 20) == draw(strategy, 7, 20)
    assert draw(strategy, 7, 20) != draw(strategy, 8, 20)
    assert len(draw(strategy, 7, 20)) == 20


@pytest.mark.parametrize("seconds", [20, 60, 600])
def test_the_actions_have_their_time_and_none_comes_much_more_often_than_another(seconds):
    plan = make_plan(7, CELL, seconds)
    last = plan[-1]
    assert last.at + COSTS[last.name] <= seconds
    counts = Counter(action.name for action in plan)
    if seconds == 600:
        assert set(counts) == set(names_for(CELL))
        assert min(counts.values()) * 2 >= max(counts.values())


def test_a_plan_has_an_action_even_without_time():
    assert len(make_plan(7, CELL, 0)) == 1


@pytest.mark.parametrize("cell", MATRIX, ids=lambda cell: cell.name)
def test_a_cell_has_only_what_can_happen_in_it(cell):
    names = names_for(cell)
    assert ("hup" in names) is (cell.server == "gunicorn")
    assert ("redis away" in names) is cell.has_cluster
    assert ("threads" in names) is (cell.server == "flask-run")
    assert ("deflated" in names) is cell.is_compressed


def test_the_quick_actions_exist():
    assert set(QUICK) <= set(COSTS)


def test_a_plan_is_of_the_names_that_are_asked_for():
    assert {action.name for action in make_plan(7, CELL, 60, ["kill", "paths"])} == {
        "kill",
        "paths",
    }
    assert make_plan(7, CELL, 60, ["redis away"]) == []
