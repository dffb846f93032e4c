"""The benchmark suite itself: that it measures what it says, not how fast anything is."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from dataclasses import replace

import pytest

from benchmarks import accounting, docs_page, report, restart, stats, tables
from benchmarks.catalogue import CATALOGUE, FLASK_SOCK, FLOOR, OURS, PROTOO_SERVER
from benchmarks.client import server_frame
from benchmarks.frames import PING, PONG, apply_mask, client_frame, split_frames
from benchmarks.kinds import KINDS
from benchmarks.process import Server, ServerFailed, running
from benchmarks.results import Key, Results
from benchmarks.run import FULL, Run
from benchmarks.targets import Verdict, figure
from benchmarks.wires import Protoo, WrongAnswer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the suite is at home on Linux")

TINY = replace(
    FULL,
    rounds=2,
    connections=3,
    seconds=0.02,
    warm_up=0.01,
    first_warm_up=0.01,
    exchanges=2,
    recipients=5,
    idle=4,
    handshakes=3,
    crowd=6,
    crowd_rate=200,
    crowd_seconds=0.1,
    flat=(1, 4),
)


class RunOnOneServer(Run):
    """Does all that it does with one server, which is started once."""

    def __init__(self, server: Server) -> None:
        super().__init__(TINY, [server.name], say=lambda text: None)
        self.server = server

    @contextlib.contextmanager
    def start(self, entries):
        yield [self.server]


@pytest.fixture(scope="module")
def server():
    with running([CATALOGUE[OURS]]) as [server]:
        yield server


def make_results(**series):
    """Make results of one kind from ``server=[figures]``, with "_" for a space."""
    results = Results()
    for name, values in series.items():
        for value in values:
            results.add("request", name, "cpu", value)
    return results


# Measuring


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_finds_figures_for_its_targets(name, server):
    run = RunOnOneServer(server)
    KINDS[name].run(run)
    for key, values in run.results.series.items():
        assert key.kind == name
        assert len(values) == (1 if name == "crowd" else TINY.rounds)
        # What 4 connections take, pages of memory may hold already.
        assert all(value > 0 or name == "memory" for value in values)
    for metric in KINDS[name].metrics:
        assert any(key.metric == metric.name for key in run.results.series)
    # Those that compare with others cannot be told without them.
    for target in KINDS[name].targets:
        assert target.value(run.results) is not None or name in ("request", "handshake")


def test_servers_have_their_turns_in_each_round():
    run = Run(TINY, [OURS, FLOOR], say=lambda text: None)
    KINDS["request"].run(run)
    assert run.results.servers("request") == [OURS, FLOOR]
    for server in (OURS, FLOOR):
        assert len(run.results.series[Key("request", server, "cpu")]) == TINY.rounds


def test_the_rounds_go_from_one_subject_to_the_next():
    turns = []
    run = Run(TINY, say=lambda text: None)
    subjects = {name: lambda name=name: turns.append(name) or {"cpu": 1.0} for name in "ABC"}
    run.alternate("request", subjects)
    assert turns == [*"ABC", *"ABC"]


def test_connected_clients_answer_pings_while_others_connect(server):
    with server.clients(1) as [first]:
        first.socket.close()
        first.socket, server_end = socket.socketpair()
        first.fd = first.socket.fileno()
        with server_end:
            server_end.settimeout(10)
            server_end.sendall(bytes((0x80 | PING, 2)) + b"hi")
            with server.clients(1, prefix="second", others=[first]):
                answer = server_end.recv(100)
    assert answer[0] == 0x80 | PONG
    assert apply_mask(answer[6:], answer[2:6]) == b"hi"


@pytest.mark.parametrize("window", [0, 0.2])
def test_clients_come_back_after_a_restart(server, window):
    figures = restart.measure(server, 20, window)
    assert (len(figures.handshakes), figures.refused) == (20, 0)
    assert min(figures.handshakes) > 0
    assert figures.last > 0
    assert figures.requests


def test_clients_that_are_refused_after_a_restart_are_counted(server, monkeypatch):
    monkeypatch.setattr(restart, "cookie_of", lambda username: "session=unknown")
    figures = restart.measure(server, 5, 0)
    assert (figures.handshakes, figures.refused) == ([], 5)


def test_a_server_that_answers_something_else_is_not_measured():
    entry = CATALOGUE[FLOOR]._replace(wire=Protoo())
    with running([entry]) as [floor]:
        with pytest.raises((WrongAnswer, KeyError)), floor.clients(1, learn=1):
            pass


def test_a_server_that_does_not_start_says_why():
    entry = CATALOGUE[OURS]._replace(source="protoo_flask_site:no_such_app")
    with pytest.raises(ServerFailed, match="no_such_app"):
        Server(entry)


def test_a_server_that_is_not_installed_is_named_in_the_report():
    entry = CATALOGUE[FLASK_SOCK]._replace(packages=("no-such-package",))
    assert entry.obstacle() == "no-such-package is not installed"
    run = Run(TINY, [PROTOO_SERVER], say=lambda text: None)
    if not run.choose(PROTOO_SERVER):
        [left_out] = run.results.not_run
        assert left_out.startswith(f"{PROTOO_SERVER}: ")


def test_cpu_time_grows_with_work_and_memory_with_kept_objects():
    before = accounting.cpu_seconds(os.getpid())
    begin = time.process_time()
    while time.process_time() < begin + 0.02:
        pass
    # What the thread that asks is doing is on the books at the next tick, at the latest.
    assert accounting.cpu_seconds(os.getpid()) > before

    # More than glibc ever takes from memory that was freed before (M_MMAP_THRESHOLD_MAX: 32 MiB).
    size = 40_000_000
    memory = accounting.private_bytes(os.getpid())
    kept = bytearray(os.urandom(size))
    assert accounting.private_bytes(os.getpid()) - memory > size * 0.9
    del kept


# Frames


def test_frames_are_found_in_a_stream_wherever_it_is_cut():
    messages = [b"", b"x" * 125, b"y" * 126, b"z" * 70_000]
    headers = [
        b"\x81\x00",
        b"\x81\x7d",
        b"\x81\x7e\x00\x7e",
        b"\x81\x7f" + (70_000).to_bytes(8, "big"),
    ]
    stream = b"".join(header + message for header, message in zip(headers, messages))
    for cut in (1, 2, 3, 128, 130, 131, 260, 262, 270, len(stream) - 1):
        first, rest = split_frames(stream[:cut])
        second, rest = split_frames(rest + stream[cut:])
        assert [frame.payload for frame in first + second] == messages
        assert b"".join(frame.raw for frame in first + second) == stream
        assert rest == b""


@pytest.mark.parametrize("length", [0, 1, 125, 126, 1000])
def test_a_frame_of_a_client_is_masked(length):
    payload = bytes(number % 251 for number in range(length))
    frame = client_frame(payload, PING)
    header = 2 if length < 126 else 4
    assert frame[0] == 0x80 | PING
    assert frame[1] & 0x80
    mask = frame[header : header + 4]
    assert apply_mask(frame[header + 4 :], mask) == payload
    [found], _ = split_frames(server_frame(payload))
    assert found.payload == payload


# Figures


def test_a_percentile_is_one_of_the_values():
    values = [5, 1, 4, 2, 3]
    assert [stats.percentile(values, share) for share in (0, 20, 50, 99, 100)] == [1, 1, 3, 5, 5]
    assert stats.percentile(range(1, 1001), 99.9) == 999
    assert stats.spread(range(1, 101)) == (25, 75)
    with pytest.raises(ValueError, match="no values"):
        stats.percentile([], 50)


def test_a_ratio_is_that_within_the_rounds():
    # The second round was twice as slow for both, and in the third something went wrong.
    results = make_results(a=[10, 20, 10], b=[20, 40, 90])
    assert results.ratio(Key("request", "b", "cpu"), Key("request", "a", "cpu")) == 2
    assert results.ratio(Key("request", "c", "cpu"), Key("request", "a", "cpu")) is None


def test_results_are_the_same_when_they_come_back_from_a_file(tmp_path):
    results = make_results(a=[1.5, 2.5])
    results.facts["run"] = {"date": "today"}
    results.leave_out("b: not asked for")
    results.save(tmp_path / "new folder" / "results.json")
    loaded = Results.load(tmp_path / "new folder" / "results.json")
    assert vars(loaded) == vars(results)


def test_kinds_that_were_measured_again_replace_those_of_before():
    results, newer = make_results(a=[1.0], gone=[1.0]), make_results(a=[2.0])
    results.add("relay", "a", "cpu", 3.0)
    results.fail("request: a pipe broke")
    results.fail("crowd: another did")
    results.replace_kinds(newer)
    assert results.failures == ["crowd: another did"]
    assert results.servers("request") == ["a"]
    assert results.median(Key("request", "a", "cpu")) == 2
    assert results.median(Key("relay", "a", "cpu")) == 3


@pytest.mark.parametrize(
    ("value", "is_missed", "text"),
    [
        (9.0, False, "holds"),
        (10.0, False, "holds"),
        (12.5, True, "missed by 25 %"),
        (None, False, "not measured"),
    ],
)
def test_a_verdict_says_whether_a_target_holds(value, is_missed, text):
    verdict = Verdict(figure("a request", 10, "µs", Key("request", OURS, "cpu")), value)
    assert (verdict.is_missed, verdict.text) == (is_missed, text)


# The report


def test_the_report_has_medians_spreads_ratios_and_verdicts():
    results = make_results(**{OURS: [10.0, 12.0, 11.0], PROTOO_SERVER: [22.0, 22.0, 22.0]})
    results.leave_out("crowd: not asked for")
    results.fail("relay: no answer within 30 seconds")
    text = report.text_report(results)
    assert f"{OURS:15}  11.0 (10.0 to 12.0)" in text
    assert f"{PROTOO_SERVER}  22.0 (22.0 to 22.0)" in text
    assert "2.00\n" in text
    assert "a request, compared with protoo-server 4" in text
    assert "0.5 x         holds" in text
    assert "not measured" in text
    assert "- failed: relay: no answer within 30 seconds\n- crowd: not asked for" in text
    markdown = report.markdown_report(results)
    assert f"| {OURS} | 11.0 (10.0 to 12.0) |" in markdown


def test_tables_are_laid_out():
    table = [["", "µs"], ["a server", "1"], ["b", "1234"]]
    assert tables.as_text(table) == "            µs\na server     1\nb         1234"
    assert tables.as_markdown(table) == "|  | µs |\n| --- | ---: |\n| a server | 1 |\n| b | 1234 |"


def test_figures_are_written_between_their_marks():
    text = (
        "before <!-- request -->old\nfigures<!-- /request --> after <!-- relay --><!-- /relay -->"
    )
    filled = docs_page.fill_in(text, {"request": r"| 1 \1 |"})
    assert filled.startswith("before <!-- request -->\n| 1 \\1 |\n<!-- /request --> after")
    assert docs_page.fill_in(filled, {"request": r"| 1 \1 |"}) == filled
    with pytest.raises(ValueError, match="no place for 'crowd'"):
        docs_page.fill_in(text, {"crowd": ""})


def test_the_page_has_a_place_for_all_figures():
    results = Results()
    for name, kind in KINDS.items():
        for metric in kind.metrics:
            results.add(name, OURS, metric.name, 1.0)
    page = (docs_page.DOCS / "performance.md").read_text(encoding="utf-8")
    parts = report.sections(results, tables.as_markdown)
    assert set(parts) == {*KINDS, "targets", "setting", "not run"}
    docs_page.fill_in(page, parts)
