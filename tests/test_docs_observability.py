"""docs/observability.md and the dashboard tell the truth: their metrics are those of the code."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from protoo_flask import Protoo
from protoo_flask.core import observers
from protoo_flask.observe.catalogue import CATALOGUE, COUNTER, HISTOGRAM, METRICS
from protoo_flask.observe.tally import MAX_LIMITS

from .architecture_page import code, rows
from .joining import make_app

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "observability.md"
TEXT = PAGE.read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text(encoding="utf-8"))

#: The names under which Prometheus has the samples of a metric.
SERIES = {
    series: metric
    for metric in METRICS
    for series in (
        [f"{metric.name}_{end}" for end in ("bucket", "count", "sum")]
        if metric.kind is HISTOGRAM
        else [metric.name]
    )
}

#: The units of panels whose queries are rates, and of others.
RATES = {"reqps", "cps", "mps", "Bps", "ops"}


def section(start, end="\n## "):
    return TEXT.split(start, 1)[1].split(end, 1)[0]


# The page


def test_the_table_is_the_catalogue():
    found = [
        (code(row[0])[0], row[1], tuple(code(row[2])), row[3])
        for row in rows(section("### The metrics"))
        if row[0].startswith("`protoo_")
    ]
    assert found == [(item.name, item.kind, item.labels, item.meaning) for item in METRICS]


def test_names_follow_the_conventions_of_prometheus():
    for metric in METRICS:
        assert re.fullmatch(r"protoo_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") is (metric.kind == COUNTER)
        if metric.kind == HISTOGRAM:
            assert metric.name.endswith("_seconds")
        for label in metric.labels:
            assert label not in ("le", "quantile", "job", "instance", "pid")


def test_the_labels_of_the_page_are_those_of_the_metrics():
    labels = {label for metric in METRICS for label in metric.labels}
    found = {code(row[0])[0] for row in rows(section("**Labels.**", "**What is counted")) if row}
    assert found == labels


def test_every_metric_that_the_page_names_exists():
    for name in re.findall(r"protoo_[a-z_]+_?[a-z]*", TEXT):
        if name != "protoo_flask" and not name.startswith("protoo_flask"):
            assert name in SERIES or name in CATALOGUE, name


def test_the_listeners_of_the_page_are_those_of_the_interface():
    text = section("## A listener of your own")
    cells = [code(row[0]) for row in rows(text)]
    found = {name.split("(")[0] for cell in cells for name in cell}
    assert found == set(observers.METHODS)


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
def test_the_examples_are_python(block):
    ast.parse(block)


def test_the_examples_run(monkeypatch, caplog):
    monkeypatch.setenv("METRICS_TOKEN", "0123456789abcdef")
    monkeypatch.setattr("prometheus_client.registry.REGISTRY", CollectorRegistry())
    monkeypatch.setattr("protoo_flask.observe.prometheus_metrics.REGISTRY", CollectorRegistry())
    app = make_app()
    protoo = Protoo(app)
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names = {"app": app, "protoo": protoo}
    for block in blocks:
        if not block.startswith("# gunicorn"):
            exec(compile(block, str(PAGE), "exec"), names)
    events = names["events"]
    events.removeHandler(names["handler"])
    events.propagate = True
    events.setLevel("NOTSET")
    with protoo.test_client(username="alice"):
        assert names["arrivals"].count == 1
        visitor = app.test_client()
        assert visitor.get("/ready").json["peers"] == 1
        headers = {"Authorization": "Bearer 0123456789abcdef"}
        assert 'protoo_peers{state="connected"} 1.0' in visitor.get(
            "/metrics", headers=headers
        ).get_data(as_text=True)


def test_the_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)", TEXT):
        assert (PAGE.parent / link).exists(), link
    for anchor in re.findall(r"\]\(#([^)]+)\)", TEXT):
        headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}
    for page in ("README.md", "docs/deployment.md"):
        assert "observability.md" in (ROOT / page).read_text(encoding="utf-8")


def test_limits_have_room_for_more_words():
    assert MAX_LIMITS >= 32


# The dashboard


def panels():
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: f"{panel['id']} {panel['title']}")
def test_a_panel_asks_for_metrics_that_exist_by_labels_that_they_have(panel):
    assert panel["targets"]
    for target in panel["targets"]:
        expression = target["expr"]
        names = re.findall(r"protoo_[a-z_]+", expression)
        assert names
        for name in names:
            assert name in SERIES, f"{panel['title']}: {name}"
            is_counter = SERIES[name].kind != "gauge"
            is_rate = f"rate({name}" in expression or f"increase({name}" in expression
            assert is_rate is is_counter, f"{panel['title']}: {expression}"
            allowed = {*SERIES[name].labels, "le", "job"}
            for by in re.findall(r"by \(([^)]*)\)", expression):
                assert {part.strip() for part in by.split(",")} <= allowed
            for label in re.findall(r"(\w+)=~?\"", expression):
                assert label in allowed
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert re.search(rf"by \([^)]*\b{label}\b", expression)


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: f"{panel['id']} {panel['title']}")
def test_the_unit_of_a_panel_is_that_of_its_queries(panel):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    for target in panel["targets"]:
        expression = target["expr"]
        if "_seconds" in expression:
            assert unit == "s"
        elif "_bytes" in expression:
            assert unit == ("Bps" if "rate(" in expression else "bytes")
        elif "rate(" in expression and "increase(" not in expression and unit != "short":
            assert unit in RATES


def test_every_metric_has_a_panel():
    shown = {
        SERIES[name].name
        for panel in panels()
        for target in panel["targets"]
        for name in re.findall(r"protoo_[a-z_]+", target["expr"])
    }
    assert shown == set(CATALOGUE)


def test_the_dashboard_can_be_imported():
    assert DASHBOARD["schemaVersion"] >= 39  # Grafana 10.4
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    variables = {item["name"] for item in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(DASHBOARD)))
    assert used - variables == {"__rate_interval", "__all"}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
