"""The metrics of two workers, as Prometheus gets them, and the truth that clients have counted."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.redis_servers import RedisServer

from .clients import Client, Site, eventually
from .metrics_site import TOKEN, URL
from .processes import ROOT, start

PLACE = "tests.servers.metrics_site:create_app()"
PAGE = ROOT / "docs" / "observability.md"

BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Truth:
    """What clients have sent and received."""

    def __init__(self):
        self.sent, self.sent_bytes = 0, 0
        self.received, self.received_bytes = 0, 0
        self.requests = Counter()
        self.opened = 0

    def as_metrics(self):
        """Return it as the server sees it."""
        found = {
            ("protoo_received_messages_total",): self.sent,
            ("protoo_received_bytes_total",): self.sent_bytes,
            ("protoo_sent_messages_total",): self.received,
            ("protoo_sent_bytes_total",): self.received_bytes,
            ("protoo_connections_opened_total",): self.opened,
        }
        for (method, status), count in self.requests.items():
            found["protoo_requests_total", method, str(status)] = count
        return found


class CountingClient(Client):
    """A client that counts for the truth."""

    def __init__(self, truth, port, username, uuid):
        super().__init__(f"ws://127.0.0.1:{port}/protoo?username={username}&uuid={uuid}")
        self.truth = truth
        self.connection.send, self._send = self._count_sent, self.connection.send
        self.connection.recv, self._recv = self._count_received, self.connection.recv
        truth.opened += 1

    def _count_sent(self, text):
        self.truth.sent += 1
        self.truth.sent_bytes += len(text.encode())
        self._send(text)

    def _count_received(self, timeout=None):
        text = self._recv(timeout)
        self.truth.received += 1
        self.truth.received_bytes += len(text.encode())
        return text

    def ask(self, method, path, data=None):
        """Make a request, and count it."""
        response = self.request(method, path, data)
        self.truth.requests[method, response["status"]] += 1
        return response

    @property
    def pid(self):
        return self.ask("get", "/pid")["data"]["pid"]


class Workers:
    """Two workers of gunicorn, with the configuration of the documentation."""

    def __init__(self, folder, **env):
        self.folder = folder / "metrics"
        config = folder / "gunicorn.conf.py"
        config.write_text(read_config(), encoding="utf-8")
        env["PROMETHEUS_MULTIPROC_DIR"] = str(self.folder)
        options = ["-c", str(config), "--graceful-timeout", "5", "--bind", "127.0.0.1:0"]
        command = ["-m", "gunicorn", *options, PLACE]
        self.server = start("gunicorn, two workers", command, **env)
        self.site = Site(self.server.port)
        self.truth = Truth()
        self.clients = []

    def connect(self, username, uuid="a1"):
        client = CountingClient(self.truth, self.server.port, username, uuid)
        self.clients.append(client)
        return client

    def connect_to(self, pid, username):
        """Connect to one worker; the connections to the other one stay, as other users."""
        for number in range(200):
            client = self.connect(username, f"{pid}-{number}")
            if client.pid == pid:
                return client
            client.close(1000)
            self.clients.remove(client)
        raise AssertionError(f"worker {pid} takes no connections")

    def connect_to_both(self):
        """Connect one user to each of the workers; returns the clients."""
        first = self.connect("first")
        for number in range(200):
            other = self.connect(f"other{number}")
            if other.pid != first.pid:
                return first, other
        raise AssertionError("one worker takes all connections")

    def scrape(self):
        """Return ``{(name, values of the labels ...): value}``."""
        return scrape(self.site)

    def expect(self, expected):
        """Scrape, from whatever worker, until these metrics have these values."""
        eventually(lambda: pick(self.scrape(), expected), expected)

    def stop(self):
        for client in self.clients:
            with contextlib.suppress(Exception):
                client.close()
        self.server.stop()


def scrape(site):
    answer = site.http("GET", "/metrics", BEARER)
    assert answer.status == 200, answer.text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def pick(found, names):
    return {name: found.get(name, 0) for name in names}


def read_config():
    """Return the configuration for gunicorn that the documentation shows."""
    text = PAGE.read_text(encoding="utf-8")
    [config] = re.findall(r"```python\n(# gunicorn\.conf\.py\n.*?)```", text, re.DOTALL)
    return config


@pytest.fixture
def workers(tmp_path, request):
    env = getattr(request, "param", {})
    workers = Workers(tmp_path, **env)
    yield workers
    workers.stop()


@pytest.fixture
def clustered(tmp_path):
    redis = RedisServer(tmp_path)
    workers = Workers(tmp_path, **{URL: redis.url})
    yield workers
    workers.stop()
    redis.stop()


def test_the_numbers_are_the_truth_of_the_clients(workers):
    first, other = workers.connect_to_both()
    for client in (first, other):
        for _ in range(25):
            client.ask("get", "/pid")
        for number in range(5):
            client.ask("get", "/nowhere")
            client.ask(f"method{number}", "/é")
            workers.truth.requests["other", 404] += 1
            client.notify("get", "/pid")
        client.ask("get", "/fail")
        client.connection.send("no JSON")
        assert client.receive()["status"] == 400
    for number in range(5):
        del workers.truth.requests[f"method{number}", 404]
    for query in ("", "?username=", "?uuid=a1"):
        assert workers.site.knock(query).status == 403
    count = len(workers.clients)
    expected = {
        **workers.truth.as_metrics(),
        ("protoo_violations_total",): 2,
        ("protoo_notifications_total", "get"): 10,
        ("protoo_errors_total", "handler"): 2,
        ("protoo_handshakes_refused_total", "403"): 3,
        ("protoo_peers", "connected"): count,
        ("protoo_users",): count,
        ("protoo_requests_open",): 0,
        ("protoo_transactions_open",): 0,
    }
    workers.expect(expected)
    found = workers.scrape()
    requests = Counter()
    for (method, _), number in workers.truth.requests.items():
        requests[method] += number
    for method, number in requests.items():
        assert found["protoo_request_duration_seconds_count", method] == number
    assert {key[1] for key in found if key[0] == "protoo_requests_total"} == {"get", "other"}
    for client in workers.clients:
        client.close(4000)
    workers.expect(
        {
            ("protoo_connections_closed_total", "4xxx"): count,
            ("protoo_peers", "connected"): 0,
            ("protoo_users",): 0,
        }
    )
    # Nothing is entered twice.
    workers.expect({**workers.truth.as_metrics()})
    workers.server.expect_traceback("ValueError: deliberate")


def test_relayed_messages_and_slow_readers_are_told(workers):
    first, _ = workers.connect_to_both()
    neighbour = workers.connect_to(first.pid, "neighbour")
    id = first.start("message", "/users/neighbour", {"text": "hi"})
    workers.expect({("protoo_transactions_open",): 1, ("protoo_requests_open",): 1})
    neighbour.respond(neighbour.expect("message"), 202)
    assert first.receive()["id"] == id
    workers.truth.requests["message", 202] += 1
    workers.expect(
        {
            **workers.truth.as_metrics(),
            ("protoo_transactions_total", "202"): 1,
            ("protoo_transactions_open",): 0,
        }
    )


def test_the_users_of_a_cluster_are_counted_once(clustered):
    first, other = clustered.connect_to_both()
    strangers = len(clustered.clients)
    same = [clustered.connect_to(client.pid, "alice") for client in (first, other)]
    assert same[0].pid != same[1].pid
    clustered.expect(
        {
            ("protoo_users",): strangers + 1,
            ("protoo_peers", "connected"): strangers + 2,
            ("protoo_cluster_workers", "up"): 2,
            ("protoo_cluster_nodes",): 2,
            ("protoo_cluster_gaps_total",): 0,
        }
    )
    same[0].close()
    clustered.clients.remove(same[0])
    clustered.expect(
        {("protoo_users",): strangers + 1, ("protoo_peers", "connected"): strangers + 1}
    )


def test_a_message_across_workers_is_two_frames_or_more(clustered):
    first, other = clustered.connect_to_both()
    name = f"other{len(clustered.clients) - 2}"
    before = clustered.scrape()["protoo_cluster_frames_sent_total",]
    first.start("message", f"/users/{name}", {"text": "hi"})
    other.respond(other.expect("message"), 202)
    assert first.receive()["status"] == 202
    eventually(lambda: clustered.scrape()["protoo_cluster_frames_sent_total",] >= before + 2, True)


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM], ids=["KILL", "TERM"])
def test_a_worker_that_ends_leaves_its_counts_and_no_gauges(workers, signal_number):
    first, other = workers.connect_to_both()
    others = [client for client in workers.clients if client is not other]
    workers.expect(workers.truth.as_metrics())
    dead = other.pid
    workers.expect(workers.truth.as_metrics())
    os.kill(dead, signal_number)
    workers.expect(
        {
            ("protoo_peers", "connected"): len(others),
            ("protoo_connections_opened_total",): workers.truth.opened,
        }
    )
    # Its gauges are gone, and its counts are still there.
    eventually(lambda: [*workers.folder.glob(f"gauge_live*_{dead}.db")], [])
    assert (workers.folder / f"counter_{dead}.db").exists()
    workers.expect({("protoo_peers", "connected"): len(others)})
    # The next worker is there before the server is told to end.
    pids = {str(dead), str(first.pid)}
    eventually(lambda: workers.site.get("/pid") in pids, False)


def test_a_reload_keeps_the_counts(workers):
    _first, _ = workers.connect_to_both()
    workers.expect(workers.truth.as_metrics())
    workers.server.process.send_signal(signal.SIGHUP)
    for client in workers.clients:
        assert client.wait_for_close()[0] == 1001
    expected = workers.truth.as_metrics()
    expected["protoo_connections_closed_total", "1001"] = len(workers.clients)
    expected["protoo_peers", "connected"] = 0
    workers.expect(expected)


def test_threads_lose_no_count(tmp_path):
    command = ["-m", "flask", "--app", "tests.servers.metrics_site", "run", "--port", "0"]
    server = start("flask run", command, stop_signal=signal.SIGINT)
    try:
        site, truths = Site(server.port), [Truth() for _ in range(4)]

        def talk(truth, number):
            client = CountingClient(truth, server.port, f"user{number}", "a1")
            for _ in range(100):
                client.ask("get", "/pid")
            client.close()

        threads = [
            threading.Thread(target=talk, args=[truth, number])
            for number, truth in enumerate(truths)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = Counter()
        for truth in truths:
            expected.update(truth.as_metrics())
        expected["protoo_connections_closed_total", "1000"] = len(truths)
        expected["protoo_request_duration_seconds_count", "get"] = 100 * len(truths)
        eventually(lambda: pick(scrape(site), expected), expected)
    finally:
        server.stop()


def test_the_health_views_answer(workers):
    for path in ("/live", "/ready"):
        answer = workers.site.get(path)
        assert answer == {"status": "ok", "draining": False, "peers": 0, "cluster": None}


def test_the_directory_has_files_of_the_workers_only(workers):
    first, other = workers.connect_to_both()
    workers.expect(workers.truth.as_metrics())
    pids = {re.search(r"(\d+)\.db$", path.name)[1] for path in Path(workers.folder).iterdir()}
    assert pids == {str(first.pid), str(other.pid)}
