"""The corpus on each kind of server; the campaign tries it in all cells, and far more."""

from __future__ import annotations

import pytest

from . import site
from .cells import Cell
from .corpus import read_corpus
from .fuzzers import FUZZERS
from .ground import Ground
from .servers import EXPECTED, find_complaints, start

KINDS = ["gunicorn+compression", "pywsgi", "flask-run+compression", "standalone"]


@pytest.fixture(scope="module", params=KINDS)
def server(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chaos")
    cell = Cell(request.param)
    environment = {site.DATABASE: str(folder / "database"), site.COMPRESSION: "yes"}
    server = start(cell, 0, None, str(folder / "events"), **environment)
    yield server
    server.stop()
    assert find_complaints(server.output().splitlines(keepends=True), EXPECTED) == []


ENTRIES = [
    pytest.param(name, entry, id=f"{name}-{number}")
    for name in FUZZERS
    for number, entry in enumerate(read_corpus(name), 1)
]


@pytest.mark.parametrize(("name", "entry"), ENTRIES)
def test_an_input_of_the_corpus_is_answered_as_it_must_be(server, name, entry):
    assert FUZZERS[name].check(Ground(server.port), entry.value) is None, entry.why


@pytest.mark.parametrize("name", FUZZERS)
def test_each_fuzzer_has_a_corpus(name):
    assert read_corpus(name)
