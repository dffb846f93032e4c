"""The metrics as Prometheus gets them from one process, over the view of a site."""

from __future__ import annotations

import gc

import pytest
from flask import Flask
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from protoo_flask import Protoo, Request
from protoo_flask.core.errors import UsageError
from protoo_flask.middleware import p2p_messenger, room_handler, session_handler
from protoo_flask.observe import PrometheusMetrics
from protoo_flask.observe.catalogue import METRICS
from protoo_flask.testing import Refused
from tests.joining import HANDSHAKE, make_app

TOKEN = "a secret of the metrics"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Scraped:
    """A site with metrics, and what Prometheus finds there."""

    def __init__(self, token=TOKEN, **options):
        self.app = make_app()
        self.protoo = Protoo(self.app, **options)
        self.registry = CollectorRegistry()
        self.metrics = self.protoo.observe(PrometheusMetrics(self.registry))
        self.app.add_url_rule("/metrics", view_func=self.metrics.view(token))
        self.protoo.get("/", lambda req, next: req.reply(200, "OK"))
        self.protoo.use("/users", p2p_messenger(self.protoo))
        self.protoo.use("/calls", session_handler(self.protoo))
        self.protoo.use("/chat", room_handler(self.protoo))

    def connect(self, username="alice", uuid="a1"):
        return self.protoo.test_client(username=username, uuid=uuid)

    def scrape(self, headers=BEARER):
        answer = self.app.test_client().get("/metrics", headers=headers)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return read(answer.get_data(as_text=True))

    def gauge(self, name, *labels):
        return self.scrape()[(name, *labels)]


def read(text):
    """Return ``{(name, value of each label ...): value}``; "le" is the last label."""
    return {
        (
            sample.name,
            *(value for _, value in sorted(sample.labels.items(), key=_rank)),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _rank(label):
    return label[0] == "le", label[0]


def test_a_scrape_tells_what_clients_have_done():
    site = Scraped()
    with site.connect() as alice, site.connect("bob", "b1"):
        alice.request("get", "/")
        alice.request("get", "/nowhere")
        alice.notify("get", "/")
        found = site.scrape()
    assert found["protoo_requests_total", "get", "200"] == 1
    assert found["protoo_requests_total", "get", "404"] == 1
    assert found["protoo_notifications_total", "get"] == 1
    assert found["protoo_request_duration_seconds_count", "get"] == 2
    assert found["protoo_request_duration_seconds_bucket", "get", "+Inf"] == 2
    assert found["protoo_connections_opened_total",] == 2
    assert found["protoo_peers", "connected"] == found["protoo_users",] == 2
    found = site.scrape()
    assert found["protoo_peers", "connected"] == found["protoo_users",] == 0
    assert found["protoo_connections_closed_total", "1000"] == 2
    assert found["protoo_requests_total", "get", "200"] == 1  # nothing is entered twice


def test_every_metric_of_the_catalogue_is_shown():
    site = Scraped()
    with site.connect():
        text = site.app.test_client().get("/metrics", headers=BEARER).get_data(as_text=True)
    for metric in METRICS:
        kind = "histogram" if metric.kind == "histogram" else metric.kind
        assert f"# TYPE {metric.name} {kind}" in text


def test_users_with_several_devices_are_counted_once():
    site = Scraped()
    with site.connect("alice", "a1"), site.connect("alice", "a2"), site.connect("bob", "b1"):
        found = site.scrape()
    assert (found["protoo_peers", "connected"], found["protoo_users",]) == (3, 2)


def test_peers_in_their_grace_period_are_told_with_what_waits_for_them():
    site = Scraped(disconnect_grace_period=30)
    with site.connect() as alice, site.connect("bob", "b1"):
        peer = site.protoo.peer("alice", "a1")
        alice.drop()
        peer.notify("news", {"text": "x" * 1000})
        found = site.scrape()
        assert (found["protoo_peers", "connected"], found["protoo_peers", "away"]) == (1, 1)
        assert 1000 < found["protoo_mailbox_bytes",] < 1300
        site.protoo.test_clock.advance(30)
        found = site.scrape()
        assert (found["protoo_peers", "away"], found["protoo_mailbox_bytes",]) == (0, 0)


def test_transactions_in_flight_are_told():
    site = Scraped()
    with site.connect() as alice:
        site.protoo.peer("alice", "a1").send(Request("get"))
        assert site.gauge("protoo_transactions_open") == 1
        alice.expect_request("get").reply(200)
        found = site.scrape()
    assert found["protoo_transactions_open",] == 0
    assert found["protoo_transactions_total", "200"] == 1


def test_requests_that_are_not_answered_are_told():
    site = Scraped()
    kept = []
    site.protoo.get("/open", lambda req, next: kept.append(req))
    with site.connect() as alice:
        sent = alice.send("get", "/open")
        assert site.gauge("protoo_requests_open") == 1
        kept[0].reply(200)
        assert sent.wait().status == 200
        assert site.gauge("protoo_requests_open") == 0


def test_calls_and_rooms_are_told():
    site = Scraped()
    with site.connect() as alice, site.connect("bob", "b1") as bob:
        call = alice.send("session", "/calls/bob")
        bob.expect_request("session").reply(200)
        call.wait()
        alice.request("session", "/chat/rooms/1")
        bob.request("session", "/chat/rooms/1")
        found = site.scrape()
        assert (found["protoo_calls",], found["protoo_rooms",]) == (1, 1)
    found = site.scrape()
    assert (found["protoo_calls",], found["protoo_rooms",]) == (0, 0)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-WebSocket-Version": "1"}, "426"),
        ({"Origin": "http://evil.example"}, "403"),
        ({}, "403"),
    ],
)
def test_refused_handshakes_are_told_also_before_the_first_client(headers, status):
    site = Scraped()  # nobody has logged in
    answer = site.app.test_client().get("/protoo", headers={**HANDSHAKE, **headers})
    assert str(answer.status_code) == status
    assert site.gauge("protoo_handshakes_refused_total", status) == 1


def test_a_plain_get_of_the_route_is_no_handshake():
    site = Scraped()
    assert site.app.test_client().get("/protoo").status_code == 403
    assert not [key for key in site.scrape() if key[0] == "protoo_handshakes_refused_total"]


def test_a_refusal_by_a_limit_is_told_with_its_name():
    site = Scraped(max_peers_per_user=1)
    with site.connect("alice", "a1"):
        with pytest.raises(Refused):
            site.connect("alice", "a2")
        found = site.scrape()
    assert found["protoo_refusals_total", "devices"] == 1
    assert found["protoo_handshakes_refused_total", "429"] == 1


def test_errors_of_listeners_of_the_site_are_told():
    site = Scraped()

    @site.protoo.on("online")
    def fail(peer):
        raise ValueError("a mistake")

    with site.connect():
        assert site.gauge("protoo_errors_total", "listener") == 1


# Who may see it


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"bearer {TOKEN}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN} "},
        {"Authorization": "Bearer \u00e9"},
        {"Authorization": ""},
    ],
)
def test_nobody_sees_the_metrics_without_the_token(headers):
    site = Scraped()
    if headers.get("Authorization", "").endswith(" "):
        headers = {"Authorization": f"Bearer {TOKEN}x"}
    answer = site.app.test_client().get("/metrics", headers=headers)
    assert answer.status_code == 401
    assert "protoo" not in answer.get_data(as_text=True)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_everybody_sees_them_only_if_the_site_says_so():
    site = Scraped(token=None)
    assert ("protoo_users",) in site.scrape(headers={})


@pytest.mark.parametrize("token", ["", "short", "x" * 15, b"x" * 16, 7])
def test_a_token_that_could_be_guessed_is_refused(token):
    with pytest.raises(UsageError, match="16 characters or more"):
        Scraped(token=token)


@pytest.mark.parametrize("token", ["x" * 20 + "\n", "x" * 20 + " ", "x" * 20 + "\xfc"])
def test_a_token_that_no_header_could_have_is_refused(token):
    with pytest.raises(UsageError, match="without spaces or line breaks"):
        Scraped(token=token)


def test_a_token_must_be_thought_of():
    with pytest.raises(TypeError):
        PrometheusMetrics(CollectorRegistry()).view()


def test_openmetrics_is_spoken_if_asked_for():
    site = Scraped()
    headers = {**BEARER, "Accept": "application/openmetrics-text; version=1.0.0"}
    answer = site.app.test_client().get("/metrics", headers=headers)
    assert answer.content_type.startswith("application/openmetrics-text")
    assert answer.get_data(as_text=True).endswith("# EOF\n")
    assert answer.headers["Cache-Control"] == "no-store"


# Registries and apps


def test_metrics_of_the_site_are_on_the_same_page():
    site = Scraped()
    Counter("sales", "Things sold", registry=site.registry).inc(3)
    found = site.scrape()
    assert found["sales_total",] == 3
    assert found["protoo_users",] == 0


def test_two_in_one_registry_are_an_error_that_tells_the_way_out():
    registry = CollectorRegistry()
    PrometheusMetrics(registry)
    with pytest.raises(UsageError, match=r"make it once, .* or give each a registry"):
        PrometheusMetrics(registry)


@pytest.mark.parametrize("buckets", [[], [1, 1], [2, 1]])
def test_buckets_rise(buckets):
    with pytest.raises(UsageError, match="rise"):
        PrometheusMetrics(CollectorRegistry(), buckets)


def test_buckets_are_those_of_the_site():
    registry = CollectorRegistry()
    app = make_app()  # held: a Protoo has no reference to its app that keeps it
    protoo = Protoo(app)
    protoo.observe(PrometheusMetrics(registry, buckets=[0.5, 2]))
    with protoo.test_client(username="alice") as alice:
        alice.request("get", "/")
    found = read(generate_latest(registry).decode())
    bounds = [key[2] for key in found if key[0] == "protoo_request_duration_seconds_bucket"]
    assert bounds == ["0.5", "2.0", "+Inf"]


def test_several_apps_of_one_protoo_have_one_set_of_metrics():
    registry = CollectorRegistry()
    protoo = Protoo()
    protoo.observe(PrometheusMetrics(registry))
    apps = [make_app("first"), make_app("second")]
    for app in apps:
        protoo.init_app(app)
    clients = [protoo.test_client(app.test_client(), username="alice") for app in apps]
    for client in clients:
        client.request("get", "/")
    found = read(generate_latest(registry).decode())
    assert found["protoo_requests_total", "get", "404"] == 2
    assert found["protoo_peers", "connected"] == 2
    for client in clients:
        client.close()


def test_the_counts_of_an_app_outlive_it():
    registry = CollectorRegistry()
    protoo = Protoo()
    metrics = protoo.observe(PrometheusMetrics(registry))
    for _ in range(2):
        app = make_app()
        protoo.init_app(app)
        with protoo.test_client(app.test_client(), username="alice") as alice:
            alice.request("get", "/")
        del app, alice
        gc.collect()
        found = read(generate_latest(registry).decode())
    assert found["protoo_requests_total", "get", "404"] == 2
    assert found["protoo_peers", "connected"] == 0
    assert metrics._ledgers == []


# Registration


def test_observe_takes_observers_only():
    with pytest.raises(UsageError, match=r"subclass of protoo_flask\.observe\.Observer, not 'x'"):
        Protoo(make_app()).observe("x")


def test_observe_comes_before_the_first_handshake():
    site = Scraped()
    with site.connect(), pytest.raises(UsageError, match="before the first handshake"):
        site.protoo.observe(PrometheusMetrics(CollectorRegistry()))


def test_a_listener_observes_once():
    app = make_app()
    protoo = Protoo(app)
    metrics = protoo.observe(PrometheusMetrics(CollectorRegistry()))
    with pytest.raises(UsageError, match="observes already"):
        protoo.observe(metrics)
    assert protoo.observers == [metrics]
    protoo.observe(PrometheusMetrics(CollectorRegistry()))


def test_a_factory_that_observes_a_shared_protoo_for_each_app_is_refused():
    protoo = Protoo()

    def create_app():
        app = Flask("site")
        protoo.init_app(app)
        protoo.observe(PrometheusMetrics(CollectorRegistry()))

    create_app()
    with pytest.raises(UsageError, match="has registered the same before, for another app"):
        create_app()
