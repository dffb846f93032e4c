"""The figures of docs/architecture.md: drawn so that they can be read, and compared with care."""

from __future__ import annotations

import doctest
import importlib
import re
from xml.etree import ElementTree

import pytest

from benchmarks.figures import command, layers, svg, walks
from benchmarks.figures.imports import Import
from benchmarks.figures.page import Group
from benchmarks.tracing import Call

NAMES = ["layers", *command.TRIPS]


@pytest.fixture(params=NAMES)
def figure(request):
    """Return a committed figure, parsed."""
    return ElementTree.fromstring(command.path_of(request.param).read_text(encoding="utf-8"))


def elements(figure, tag):
    return figure.iter(f"{{http://www.w3.org/2000/svg}}{tag}")


def boxes(figure):
    """Return the edges of all boxes but the page: left, top, right, bottom."""
    found = []
    for rect in list(elements(figure, "rect"))[1:]:
        x, y, width, height = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
        found.append((x, y, x + width, y + height))
    return found


def width_of(element):
    title = element.get("class", "").startswith("title")
    text = "".join(element.itertext())
    if element[:] and element[0].tag.endswith("title"):
        text = text[len(element[0].text) :]
    return len(text) * (0.65 * 14 if title else svg.CHARACTER)


# Reading


def test_text_stays_inside_of_the_figure(figure):
    for element in elements(figure, "text"):
        assert float(element.get("x")) + width_of(element) < svg.WIDTH, "".join(element.itertext())


def test_text_stays_inside_of_its_box():
    path = command.path_of("layers")
    figure = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    for element in elements(figure, "text"):
        x, y = float(element.get("x")), float(element.get("y"))
        [right] = [box[2] for box in boxes(figure) if box[0] < x < box[2] and box[1] < y < box[3]]
        assert x + width_of(element) <= right, element.text


def test_boxes_do_not_overlap(figure):
    found = boxes(figure)
    for index, (left, top, right, bottom) in enumerate(found):
        for other in found[index + 1 :]:
            beside = other[0] >= right or other[2] <= left
            assert beside or other[1] >= bottom or other[3] <= top


def test_an_arrow_goes_through_no_box():
    path = command.path_of("layers")
    figure = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    arrows = [line.get("d") for line in elements(figure, "path") if line.get("class") != "head"]
    for arrow in arrows:
        x, start, _, end = (float(number) for number in re.findall(r"[\d.]+", arrow))
        assert not [box for box in boxes(figure) if box[0] < x < box[2] and start < box[1] < end]


def test_a_figure_has_its_own_background_and_a_dark_one(figure):
    style = next(elements(figure, "style")).text
    assert re.search(r"\.page \{ fill: #ffffff", style)
    assert "prefers-color-scheme: dark" in style
    assert next(elements(figure, "rect")).get("class") == "page"


# Drawing


def test_a_group_is_above_the_groups_that_it_imports():
    edges = {(1, 0): False, (2, 0): False, (3, 1): False, (3, 2): True}
    places = layers.arrange(4, edges)
    assert [place.row for place in places] == [0, 1, 1, 2]
    assert [(place.column, place.span) for place in places] == [(0, 2), (0, 1), (1, 1), (0, 2)]


def test_a_group_in_a_row_with_others_is_above_the_one_that_it_imports():
    edges = {(1, 0): False, (2, 0): False, (3, 2): False, (4, 1): False}
    places = layers.arrange(5, edges)
    assert (places[3].row, places[3].column) == (2, places[2].column)
    assert (places[4].row, places[4].column) == (2, places[1].column)


def test_no_group_is_where_an_arrow_passes():
    # 4 imports 1, past the row of 3.
    edges = {(1, 0): False, (2, 0): False, (3, 2): False, (4, 3): False, (4, 1): False}
    places = layers.arrange(5, edges)
    assert (places[3].row, places[3].column, places[3].span) == (2, places[2].column, 1)
    assert places[1].column != places[3].column


def test_an_arrow_is_dashed_when_only_types_need_the_import(monkeypatch):
    imports = {
        "ground": [],
        "typed": [Import("ground", True, True, 1)],
        "both": [Import("ground", True, True, 1), Import("ground", True, False, 2)],
        "outsider": [Import("flask", False, False, 1)],
    }
    monkeypatch.setattr(layers, "imports_of", imports.__getitem__)
    groups = [Group(name, [name]) for name in imports]
    assert layers.edges_between(groups) == {(1, 0): True, (2, 0): False}
    assert layers.draw(groups).count('class="path dashed"') == 1


def test_the_calls_of_one_file_are_one_row_until_the_next_entry():
    walk = [
        Call(0, "a.py", "one", None),
        Call(1, "a.py", "two", "a.py"),
        Call(1, "b.py", "three", "a.py"),
        Call(0, "b.py", "four", None),
    ]
    assert walks.rows_of(walk) == [
        walks.Row("a.py", ["one", "two"], True),
        walks.Row("b.py", ["three"], False),
        walks.Row("b.py", ["four"], True),
    ]


def test_functions_without_space_are_left_out():
    row = walks.Row("a.py", [f"function_{number}" for number in range(20)], False)
    label = walks.label(700, 0, row, 0)
    assert label.endswith("function_0, …</text>")


@pytest.mark.parametrize("module", ["layers", "page", "walks"])
def test_the_examples_in_docstrings_work(module):
    found = doctest.testmod(importlib.import_module(f"benchmarks.figures.{module}"))
    assert found.attempted > 0
    assert found.failed == 0


# Comparing


def test_a_figure_drawn_with_other_versions_is_compared_by_its_files(tmp_path, monkeypatch):
    path = tmp_path / "request.svg"
    path.write_text("<desc>old</desc><title>a.py</title><title>site/contexts.py</title>")
    assert command.is_same("request", path, "<title>a.py</title><title>a.py</title>")
    assert not command.is_same("request", path, "<title>b.py</title>")
    assert not command.is_same("layers", path, "<title>a.py</title>")
    monkeypatch.setattr(command, "versions", lambda: "old")
    assert not command.is_same("request", path, "<title>a.py</title>")


def test_check_writes_nothing_and_fails_when_a_figure_is_outdated(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "IMAGES", tmp_path)
    monkeypatch.setattr(command, "draw_trips", dict)
    assert command.main(["--check"]) == 1
    assert list(tmp_path.iterdir()) == []
    assert command.main([]) == 0
    assert command.main(["--check"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["architecture-layers.svg"]
    assert "outdated" in capsys.readouterr().out


def test_the_page_is_mended_first(monkeypatch):
    monkeypatch.setattr(command, "read_groups", lambda page: [Group("core", ["core.nothing"])])
    with pytest.raises(SystemExit, match=r"names core/nothing\.py, which does not exist"):
        command.draw_layers()
