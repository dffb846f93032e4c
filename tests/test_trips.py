"""The trips of the benchmarks: that they are seen whole, not how long they are."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import gevent
import pytest

from benchmarks import trips
from benchmarks.tracing import Call, Counts, Tracer, count, without_idle_calls

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the suite is at home on Linux")

ROOT = Path(__file__).resolve().parent.parent

ONE = """
from . import two

def run(function):
    return function()

def make():
    return [number for number in two.numbers()]
"""
TWO = """
def numbers():
    yield helper()
    yield 2

def helper():
    return 1
"""


@pytest.fixture(scope="module")
def walks():
    """Return the calls of each trip; tracing them fails when a second time is different."""
    return trips.trace_trips()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a traced package of two files."""
    folder = tmp_path / "traced_package"
    folder.mkdir()
    for name, text in {"__init__": "", "one": ONE, "two": TWO}.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("traced_package.one"), Tracer(folder)
    for name in [name for name in sys.modules if name.startswith("traced_package")]:
        del sys.modules[name]


MADE = [
    Call(0, "one.py", "make", None),
    Call(1, "two.py", "numbers", "one.py"),
    Call(2, "two.py", "helper", "two.py"),
]


# Tracing


def test_a_generator_is_one_call_and_a_comprehension_is_none(package):
    one, tracer = package
    with tracer.tracing() as walk:
        assert one.make() == [1, 2]
    # CPython before 3.12 has a frame for the comprehension.
    assert [call._replace(depth=0) for call in walk] == [call._replace(depth=0) for call in MADE]


def test_calls_in_every_greenlet_are_seen(package):
    one, tracer = package
    begun, go_on = gevent.event.Event(), gevent.event.Event()

    def wait_and_make():
        begun.set()
        go_on.wait()
        one.two.helper()

    waiting = gevent.spawn(wait_and_make)
    begun.wait()
    with tracer.tracing() as walk:
        go_on.set()
        waiting.join()
        gevent.spawn(one.two.helper).join()
    assert walk == [Call(0, "two.py", "helper", None)] * 2


def test_the_caller_of_a_call_is_found_behind_functions_of_others(package):
    one, tracer = package
    with tracer.tracing() as walk:
        one.run(lambda: one.two.helper())
    assert walk == [Call(0, "one.py", "run", None), Call(1, "two.py", "helper", "one.py")]


def test_nothing_is_traced_afterwards(package):
    one, tracer = package
    with tracer.tracing() as walk:
        pass
    one.make()
    gevent.spawn(one.make).join()
    assert walk == []


def test_crossings_are_calls_from_outside_and_from_other_files():
    assert count(MADE) == Counts(calls=3, files=2, crossings=2)


def test_idle_calls_of_the_event_loop_are_left_out_unless_they_lead_to_other_calls():
    poll = Call(0, "loop.py", "poll", None)
    found = Call(1, "loop.py", "handle", "loop.py")
    other = Call(0, "loop.py", "other", None)
    walk = [poll, poll, found, poll, other, poll]
    assert without_idle_calls(walk, [poll, poll]) == [poll, found, other]


# The trips


def test_all_trips_are_traced(walks):
    assert list(walks) == list(trips.NAMES)


@pytest.mark.parametrize("name", trips.NAMES)
def test_a_trip_goes_through_files_of_the_package(name, walks):
    assert {call.file for call in walks[name]} <= {
        str(path.relative_to(ROOT / "protoo_flask"))
        for path in (ROOT / "protoo_flask").rglob("*.py")
    }
    counts = count(walks[name])
    assert counts.calls >= counts.crossings >= counts.files > 1


def test_a_request_begins_and_ends_in_the_transport_and_is_replied_to(walks):
    walk = walks["request"]
    assert walk[0].file.startswith("transport/")
    assert walk[0].caller is None
    assert walk[-1].file.startswith("transport/")
    # That of the site's handler, and no other.
    assert [call.function.split(".")[-1] for call in walk].count("reply") == 1


def test_a_call_of_a_request_that_is_not_from_outside_has_its_caller_in_a_file_seen(walks):
    files = {call.file for call in walks["request"]}
    # A greenlet of the pool has begun its loop before the trip.
    began_before = "transport/greenlets/greenlet_pool.py"
    assert {call.caller for call in walks["request"]} <= {*files, began_before, None}


def test_trips_of_several_messages_have_more_calls_than_one_request(walks):
    request, relay, fork = (count(walks[name]).calls for name in ("request", "relay", "fork"))
    assert request < relay < fork


@pytest.mark.parametrize("name", ["handshake", "takeover"])
def test_a_trip_of_a_handshake_begins_with_what_flask_calls(name, walks):
    assert walks[name][0].file != walks["request"][0].file


def test_the_table_has_a_row_for_each_trip(walks, monkeypatch, capsys):
    monkeypatch.setattr(trips, "trace_trips", lambda checkout: walks)
    assert trips.main([]) == 0
    header, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert header == ["trip", "calls", "files", "crossings"]
    assert [row[0] for row in rows] == list(trips.NAMES)


def test_two_checkouts_are_shown_side_by_side(walks, monkeypatch, capsys):
    monkeypatch.setattr(trips, "trace_trips", lambda checkout: walks)
    assert trips.main(["--checkout", "before", "--checkout", "after"]) == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row == ["request", *map(str, count(walks["request"]) * 2)]


def test_a_walk_is_shown_with_a_line_for_each_call(walks, monkeypatch, capsys):
    monkeypatch.setattr(trips, "trace_trips", lambda checkout: walks)
    assert trips.main(["--show", "request"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(walks["request"])
    assert lines[0] == f"{walks['request'][0].file}  {walks['request'][0].function}"


def test_walks_that_differ_are_told_with_the_first_difference():
    assert trips.difference([1, 2], [1, 3]) == "call 1: 2 and 3"
    assert trips.difference([1, 2], [1]) == "call 1, which only one of them has"
