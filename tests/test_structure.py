"""The rules of the architecture that can be read off the imports."""

from __future__ import annotations

import ast
import doctest
import importlib
import subprocess
import sys

import pytest

import protoo_flask
from benchmarks.figures.imports import MODULES, PACKAGE, imports_of
from protoo_flask import middleware, observe, testing

#: Which modules may import what, from the bottom up: a module may import those of its own
#: line and of the lines above it here, and of other packages those that its line names.
#: What of the standard library touches the outside world is named like a package.
#: A line for a package is for the modules in it that have no line of their own.
LAYERS = [
    # modules of protoo_flask        other packages
    ("core.excerpts core.exits", ""),
    ("core.errors core.close_codes", ""),
    ("core.callers", ""),
    ("core.tracebacks", "traceback"),
    ("core.registration_log core.suggestions", ""),
    ("core.occasions core.connection_limit", ""),
    ("core.functions core.arrivals core.names", ""),
    ("core.scheduling", ""),
    ("core.rate_limit", ""),
    ("core.handshake_queue", ""),
    ("core.rates core.clustered_rate_limit core.request_rates", ""),
    ("core.deadlines core.errands core.events core.observer core.stuck_places core.meter", ""),
    ("core.observers", ""),
    ("core.transactions.shares", ""),
    ("core.runtime core.backlog", ""),
    ("core.workload", ""),
    ("core.link core.sendable core.response", ""),
    ("core.cluster.places", ""),
    ("core.cluster.items", "msgspec"),
    ("core.cluster.protocol core.cluster", ""),
    ("core.transactions.best_response", ""),
    ("core.wire.surrogates core.wire.nesting core.wire.object_size", ""),
    ("core.wire.deep_data", ""),
    ("core.wire.garbage", "gc"),
    ("core.wire.long_integers", "json msgspec"),
    ("core.wire.kept_text", "json"),
    ("core.wire.messages", "msgspec typing_extensions"),
    ("core.wire.client_messages", "msgspec"),
    ("core.wire", "msgspec"),
    ("core.transactions.provisional", "msgspec"),
    ("core.transactions.mailbox core.transactions.client core.transactions.open_requests", ""),
    ("core.transactions.unanswered", ""),
    ("core.transactions.local_transactions", ""),
    ("core.transactions.outbound", ""),
    ("core.transactions.given_replies core.transactions.client_outbound", ""),
    ("core.transactions.inquiry core.transactions.inheritance", ""),
    ("core.transactions.remembered_answers", ""),
    ("core.transactions.server", ""),
    ("core.peers.directory", ""),
    ("core.peers.peer", ""),
    ("core.peers.homes", ""),
    ("core.peers.local_directory", ""),
    ("core.request", ""),
    ("core.remote.texts core.remote.asks core.remote.ownership core.remote.handshake_queues", ""),
    ("core.remote.forwarded_ask core.remote.context core.remote.missed_tells", ""),
    ("core.remote.holds", ""),
    ("core.remote.outbound core.remote.recent_answers", ""),
    ("core.remote.foreign_requests", ""),
    ("core.remote.comparison core.remote.probes", ""),
    ("core.remote.remote_peers core.remote.exchange", ""),
    ("core.remote.event_order core.remote.following core.remote.owned_devices", ""),
    ("core.remote.releases", ""),
    ("core.remote.awaited_gifts", ""),
    ("core.remote.peer_search core.remote.moves", ""),
    ("core.remote.visits core.remote.engagements", ""),
    ("core.remote.user_watches", ""),
    ("core.remote.homes core.remote.estate_items", ""),
    ("core.remote.handler_answers core.remote.forwarding core.remote.early_items", ""),
    ("core.remote.estate_transfer", ""),
    ("core.remote.parting_gifts core.remote.estates", ""),
    ("core.remote.takeovers", ""),
    ("core.remote.handshake_claims", ""),
    ("core.remote.cluster_directory", ""),
    ("core.remote", ""),
    ("core.routing.regex.parser", "sre_constants sre_parse"),
    ("core.routing.regex.effort", ""),
    ("core.routing.regex.linear_regex", ""),
    ("core.routing.regex.backtracking", ""),
    ("core.routing.matching.params core.routing.matching.foreign_paths", ""),
    ("core.routing.matching.patterns", ""),
    ("core.routing", ""),
    ("core.handling", ""),
    ("core.inbox", "msgspec"),
    ("core.application core.draining", ""),
    ("core", ""),
    ("features.kept_rejection features.limits features.missed_news", ""),
    ("features.sending_peer features.permission", ""),
    ("features.relay", ""),
    ("features.ice.servers", "hashlib hmac"),
    ("features.rates.path_limits", ""),
    ("features.calls.session features.calls.leg features.calls.early_messages", ""),
    ("features.calls.endings", ""),
    ("features.calls.party_watch", ""),
    ("features.calls.call", ""),
    ("features.calls.calls", ""),
    ("features.calls.foreign_calls", "json"),
    ("features.calls.clustered_calls features.calls.call_list", ""),
    ("features.calls.handlers", ""),
    ("features.rooms.path_template", ""),
    ("features.rooms.room", ""),
    ("features.rooms.departures", ""),
    ("features.rooms.room_homes", ""),
    ("features.rooms.rooms", ""),
    ("features.rooms.handlers", ""),
    ("features.presence.states features.presence.watchers features.presence.pace", ""),
    ("features.presence.agent features.presence.moves", ""),
    ("features.presence.cluster_agent", "sys"),
    ("features.presence.handlers", ""),
    ("features.messenger.delivery_report", ""),
    ("features.messenger.messenger", ""),
    ("signals", "blinker"),
    ("origins", ""),
    ("settings", ""),
    ("transport.send_buffer", "array contextlib fcntl socket sys termios"),
    ("transport.descriptors", "resource sys"),
    ("transport.hang_up", "contextlib gevent select socket sys"),
    ("transport.forked_child", "gevent os"),
    ("transport.channel", "socket"),
    ("transport.in_process", ""),
    ("transport.tls_records", "ssl"),
    ("transport.websocket.frames", ""),
    ("transport.websocket.fast_frames", "websockets"),
    (
        "transport.closing transport.outbox transport.waiting_frame transport.websocket.deflate",
        "",
    ),
    ("transport.keep_alive transport.closing_links", ""),
    ("transport.counted_links", ""),
    ("transport.websocket.handshake", "http websockets"),
    ("transport.server_sockets", "gevent socket ssl sys"),
    ("transport.opened_websocket", ""),
    ("transport.tap", "socket threading"),
    ("transport.turns", ""),
    ("transport.connection", ""),
    ("transport.attached_connection", ""),
    ("transport.websocket.wsproto_frames", "wsproto"),
    ("transport.greenlets.write_batching", ""),
    ("transport.greenlets.greenlet_pool", "gevent time"),
    ("transport.greenlets.handover", "gevent os time"),
    ("transport.greenlets.fast_iteration", "gevent time"),
    ("transport.greenlets", "gevent socket ssl time"),
    ("transport.threads", "selectors socket ssl sys threading time"),
    ("transport.server_worlds", "gevent threading"),
    ("transport.server_ends", "gevent os signal socket sys"),
    ("transport", ""),
    ("cluster.connection", "hiredis"),
    ("cluster.opening", "gevent redis socket ssl"),
    ("cluster.server_check", ""),
    ("cluster.keys", "hashlib time"),
    ("cluster.host_calls cluster.pulses cluster.settling cluster.replies cluster.entries", ""),
    ("cluster.scripts", "hashlib"),
    ("cluster.node_scripts", ""),
    ("cluster.wires cluster.lookups", ""),
    ("cluster.watches cluster.homes cluster.tellings cluster.buckets", ""),
    ("cluster.claims", ""),
    ("cluster.gifts", ""),
    ("cluster.registry", ""),
    ("cluster.burial cluster.audit", ""),
    ("cluster.rebuild", ""),
    ("cluster.lease", "secrets"),
    ("cluster.frames", "hashlib hmac json msgspec"),
    ("cluster.streams", ""),
    ("cluster.bus", ""),
    ("cluster.ear", ""),
    ("cluster.redis_cluster", "random"),
    ("cluster", ""),
    ("site.configuration", "flask threading"),
    ("site.contexts", "contextvars flask"),
    ("site.context_probe", "flask"),
    ("site.fast_contexts", "builtins contextvars flask werkzeug"),
    ("site.context_choice", "contextvars flask"),
    ("site.remote_contexts", "contextvars flask json werkzeug"),
    ("site.advice", "flask os"),
    ("site.entrance", "flask"),
    ("site.goodbye", "atexit os"),
    ("site.teardown_log", ""),
    ("site.authorization", "flask secrets"),
    ("site.flask_framework", "flask werkzeug"),
    ("site.reauthorization", "flask"),
    ("site.upgrade", "flask gevent os socket"),
    ("site.attachment", ""),
    ("site.admission", "flask threading"),
    ("site.client_addresses", ""),
    ("site.handshake_limits", "contextlib flask time"),
    ("site.membership", "flask"),
    ("site.service", "flask secrets"),
    ("site.drain", "flask gevent os threading time"),
    ("site.servers", "flask"),
    ("site.site", "flask gevent threading"),
    ("site.views", "flask werkzeug"),
    ("site.sock_routes", "flask flask_sock simple_websocket"),
    ("site.routes", "flask pathlib werkzeug"),
    ("site", ""),
    ("observe.labels", "http"),
    ("observe.catalogue observe.users", ""),
    ("observe.tally", "bisect"),
    ("observe.census", ""),
    ("observe.ledger", ""),
    ("observe.prometheus_metrics", "atexit flask gevent hmac os prometheus_client time"),
    ("observe.event_log", ""),
    ("observe.json_formatter", "datetime json"),
    ("observe.health", "flask"),
    ("observe", ""),
    ("testing.stillness", "gc gevent threading time"),
    ("testing.failures", "werkzeug"),
    ("testing.channel", ""),
    ("testing.client_link", "websockets"),
    ("testing.messages", "json"),
    ("testing.server", "flask time"),
    ("testing.client", "flask json"),
    ("testing", "flask"),
    ("terminal_table", "click"),
    ("peer_commands", "click flask json time"),
    ("check.gunicorn_reader", "gunicorn json os"),
    ("check.findings", ""),
    ("check.gunicorn", "json os pathlib shlex subprocess"),
    ("check.subject", "flask werkzeug"),
    ("check.settings_checks", "os"),
    ("check.server_checks check.database_checks check.proxy_checks", ""),
    ("check.secret_checks check.session_checks check.cluster_checks", ""),
    ("check.checks", ""),
    ("check.report", "click flask json os pathlib textwrap"),
    ("check.command", "click flask"),
    ("check", ""),
    ("serving", "flask gevent signal"),
    ("development", "click flask gevent os pathlib subprocess traceback werkzeug"),
    ("commands", "click flask os"),
    ("extension", "flask gc"),
    ("features.presence", "time"),
    ("features.ice", "flask time"),
    ("features.calls", "secrets time"),
    ("features", ""),
    ("middleware", ""),
    ("cli", "flask os"),
    ("__init__", ""),
    ("client.events", ""),
    ("client.dialing", "errno itertools os select socket ssl time"),
    ("client.pipe", "socket ssl threading time"),
    ("client.retry_after", "email time"),
    ("client.handshake", "email functools http ssl"),
    ("client.websocket", "simple_websocket threading time wsproto"),
    ("client.listeners", "threading"),
    ("client.incoming", ""),
    ("client.connector", "random threading time"),
    ("client.client", "functools os random secrets ssl threading time"),
    ("client.console.commands", "json"),
    ("client.console.completion", ""),
    ("client.console.output", "os sys threading"),
    ("client.console.terminal", "os prompt_toolkit readline sys"),
    ("client.console.conversation", "json threading"),
    ("client.console.json_lines", "json threading"),
    ("client.console.cookie_file", "http io pathlib"),
    ("client.console.main", "os ssl sys"),
    ("client", ""),
    ("__main__", "gevent"),
]

#: Of the standard library, what may be imported everywhere: it touches nothing outside.
PURE = {
    *("__future__", "argparse", "base64", "binascii", "codecs", "collections", "contextlib"),
    *("dataclasses", "difflib", "dis", "functools", "heapq", "importlib", "inspect", "io"),
    *(
        "itertools",
        "logging",
        "math",
        "re",
        "reprlib",
        "struct",
        "sys",
        "types",
        "typing",
        "urllib",
        "weakref",
    ),
    "ipaddress",
    "zlib",
}

#: Nowhere in the core, not even for the sake of types, whatever the tables above allow.
OUTSIDE_OF_THE_CORE = {
    *(
        "asyncio",
        "blinker",
        "flask",
        "gevent",
        "hiredis",
        "redis",
        "simple_websocket",
        "websockets",
    ),
    *("werkzeug", "wsproto"),
    *("datetime", "queue", "random", "secrets", "select", "selectors", "signal", "socket", "ssl"),
    *("subprocess", "threading", "time", "uuid"),
}

DOCUMENTED = {
    *("ClientTransaction", "Peer", "Protoo", "Reject", "Request", "Response", "Router"),
    "signals",
}
DOCUMENTED_MIDDLEWARE = {
    *("Room", "Session"),
    *("ice_servers", "p2p_messenger", "presence", "rate_limit", "room_handler"),
    "session_handler",
}

DOCUMENTED_OBSERVE = {
    *("EventLog", "JsonFormatter", "Observer", "PrometheusMetrics", "liveness", "readiness"),
}

DOCUMENTED_TESTING = {
    *("ExpectationFailed", "IncomingNotification", "IncomingRequest", "Leak", "Refused"),
    *("SentRequest", "TestClient", "TestClock", "Unsettled", "finish"),
}


def layer_of(module: str) -> int:
    """Return the index of the line in LAYERS that is for a module."""
    parts = module.split(".")
    for name in (".".join(parts[:length]) for length in range(len(parts), 0, -1)):
        for index, (modules, _) in enumerate(LAYERS):
            if name in modules.split():
                return index
    raise AssertionError(f"LAYERS in {__file__} has no line for protoo_flask.{module}")


# What these functions see


def test_the_imports_are_found():
    assert "core.routing.router" in MODULES
    assert {"msgspec", "core.errors"} <= {found.name for found in imports_of("core.wire.messages")}
    assert {found.name for found in imports_of("__init__")} >= {"signals", "extension"}


# The rules


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_the_packages_of_its_line(module):
    allowed = PURE.union(LAYERS[layer_of(module)][1].split())
    wrong = [
        f"line {found.line}: {found.name}"
        for found in imports_of(module)
        if not found.is_ours and found.name not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("module", MODULES)
def test_no_import_points_upward(module):
    wrong = [
        f"line {found.line}: {found.name}"
        for found in imports_of(module)
        if found.is_ours and layer_of(found.name) > layer_of(module)
    ]
    assert wrong == []


@pytest.mark.parametrize("module", [name for name in MODULES if name.split(".")[0] == "core"])
def test_the_core_imports_nothing_of_its_surroundings(module):
    for found in imports_of(module):
        assert found.name not in OUTSIDE_OF_THE_CORE
        assert not found.is_ours or found.name.split(".")[0] == "core"


def test_imports_form_no_circle():
    # Imports for types included: two modules that need each other's types are one module.
    graph = {
        module: {found.name for found in imports_of(module) if found.is_ours} for module in MODULES
    }
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for imported in sorted(graph[module]):
                visit(imported, [*path, module])
            done.add(module)

    for module in graph:
        visit(module, [])


def test_the_core_can_be_imported_without_the_rim():
    # Only running it tells what the packages that it imports import in turn.
    script = f"""if True:
        import sys, types
        sys.modules["protoo_flask"] = package = types.ModuleType("protoo_flask")
        package.__path__ = [{str(PACKAGE)!r}]
        import protoo_flask.core.application
        imported = {{name.split(".")[0] for name in sys.modules}}
        assert not imported & {{"flask", "werkzeug", "blinker", "gevent", "websockets"}}
        ours = {{name.split(".")[1] for name in sys.modules if name.startswith("protoo_flask.")}}
        assert ours == {{"core"}}, ours
    """
    subprocess.run([sys.executable, "-c", script], check=True)


# Names and docs


def test_the_public_names_are_the_documented_ones():
    assert set(protoo_flask.__all__) == DOCUMENTED
    assert len(protoo_flask.__all__) == len(DOCUMENTED)
    for name in DOCUMENTED:
        assert hasattr(protoo_flask, name)


def test_the_public_middleware_are_the_documented_ones():
    assert set(middleware.__all__) == DOCUMENTED_MIDDLEWARE
    for name in DOCUMENTED_MIDDLEWARE:
        assert callable(getattr(middleware, name))


def test_the_public_names_for_observing_are_the_documented_ones():
    assert set(observe.__all__) == DOCUMENTED_OBSERVE
    for name in DOCUMENTED_OBSERVE:
        assert hasattr(observe, name)


def test_the_public_names_of_the_test_kit_are_the_documented_ones():
    assert set(testing.__all__) == DOCUMENTED_TESTING
    for name in DOCUMENTED_TESTING:
        assert hasattr(testing, name)


def test_the_api_page_imports_all_public_names():
    page = (PACKAGE.parent / "docs" / "api.md").read_text(encoding="utf-8")
    block = page.split("```python\n", 1)[1].split("```", 1)[0]
    imported = {
        alias.name
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    documented = DOCUMENTED | DOCUMENTED_MIDDLEWARE | DOCUMENTED_TESTING | DOCUMENTED_OBSERVE
    assert imported == documented


@pytest.mark.parametrize(
    "module", [name for name, path in MODULES.items() if ">>> " in path.read_text(encoding="utf-8")]
)
def test_the_examples_in_docstrings_work(module):
    found = doctest.testmod(importlib.import_module(f"protoo_flask.{module}"))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_docstring(module):
    docstring = ast.get_docstring(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    assert docstring
    assert len(docstring.split("\n")[0]) < 100
