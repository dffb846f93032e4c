"""The event log: which logger, which level, which fields; nothing of a client unescaped."""

from __future__ import annotations

import io
import json
import logging

import pytest

from protoo_flask.core.request import Request
from protoo_flask.observe import EventLog, JsonFormatter
from tests.fakes import Core

EVIL = "x\n2026-01-01 root logged in \x1b[2J"


class Logged:
    """A core with an event log; ``/open`` is never answered."""

    def __init__(self, caplog, level="DEBUG"):
        caplog.set_level(level, "protoo_flask.events")
        self._caplog = caplog
        self.core = Core(observer=EventLog())
        self.kept = []
        self.core.router.get("/", lambda req, next: req.reply(200, "OK"))
        self.core.router.get("/open", lambda req, next: self.kept.append(req))

    def take(self):
        """Take the records so far."""
        records = [record for record in self._caplog.records if record.name.startswith("protoo")]
        self._caplog.clear()
        return records

    def connect(self):
        client = self.core.connect()
        self.take()
        return client


def fields_of(record):
    return {
        name: getattr(record, name)
        for name in ("event", "username", "uuid", "method", "path", "request_id", "status")
        if hasattr(record, name)
    }


def test_a_request_has_its_peer_and_id(caplog):
    logged = Logged(caplog)
    alice = logged.connect()
    alice.start_request("get", "/open")
    logged.core.scheduler.advance(1.5)
    logged.kept[0].reply(200)
    [record] = logged.take()
    assert record.name == "protoo_flask.events.request"
    assert record.levelname == "INFO"
    assert record.getMessage() == "get /open from alice/a1 is answered 200 after 1.5 s"
    assert fields_of(record) == {
        "event": "answered",
        "username": "alice",
        "uuid": "a1",
        "method": "get",
        "path": "/open",
        "request_id": 1,
        "status": 200,
    }
    assert record.seconds == 1.5


def test_connections_are_logged(caplog):
    logged = Logged(caplog)
    logged.core.connect().drop(3000)
    opened, closed = logged.take()
    assert opened.name == closed.name == "protoo_flask.events.connection"
    assert (opened.event, closed.event, closed.code) == ("connected", "closed", 3000)
    assert closed.getMessage() == "alice/a1 is closed with 3000"


def test_every_event_has_its_logger_and_level(caplog):
    logged = Logged(caplog)
    log, alice = logged.core.application.runtime.observer, logged.connect()
    alice.notify("get", "/")
    alice.start_request("get", "/open")
    logged.kept[0].reply(180)
    alice.peer.send(Request("get"))
    alice.respond(alice.link.take_all()[-1], 200)
    alice.send_raw(b"hello")
    log.limited("rooms", alice.peer)
    log.limited("descriptors", None)
    log.turned_away(429, "too many handshakes")
    log.failed(ValueError("x"), logged.kept[0])
    log.failed(ValueError("x"), None)
    found = [
        (record.name.split(".")[-1], record.levelname, record.event) for record in logged.take()
    ]
    assert found == [
        ("request", "DEBUG", "notified"),
        ("request", "DEBUG", "provisional"),
        ("transaction", "DEBUG", "concluded"),
        ("violation", "INFO", "refused"),
        ("limit", "INFO", "limited"),
        ("limit", "INFO", "limited"),
        ("handshake", "INFO", "turned away"),
        ("error", "ERROR", "failed"),
        ("error", "ERROR", "failed"),
    ]


def test_what_a_client_can_provoke_does_not_reach_a_log_of_warnings(caplog):
    logged = Logged(caplog, "WARNING")
    alice = logged.core.connect()
    alice.request("get", "/")
    alice.send_raw(b"hello")
    alice.notify("get", "/")
    logged.core.application.runtime.observer.limited("rooms", alice.peer)
    alice.leave()
    assert logged.take() == []


@pytest.mark.parametrize("formatter", [logging.Formatter(), JsonFormatter()], ids=["text", "json"])
def test_texts_of_a_client_are_escaped_and_cut(caplog, formatter):
    logged = Logged(caplog)
    client = logged.core.connect(EVIL, EVIL * 1000)
    client.start_request(EVIL, "/" + EVIL * 100)
    client.notify(EVIL, "/" + EVIL * 100)
    client.send_raw(b'{"method": "get", "path": "\\u001b[2J", "id": 7}')
    log = logged.core.application.runtime.observer
    log.turned_away(403, EVIL * 100)
    log.failed(ValueError(EVIL * 100), None)
    client.leave()
    records = logged.take()
    assert len(records) == 7
    for record in records:
        line = formatter.format(record)
        assert line.isprintable()
        assert len(line) < 2500


def test_json_is_one_object_in_a_line():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("tests.json")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        logger.error("a %s\nb", "text", extra={"event": "told", "extra": {1: {2}}})
        try:
            raise ValueError("x")
        except ValueError:
            logger.exception("failed")
    finally:
        logger.removeHandler(handler)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "ERROR",
        "logger": "tests.json",
        "message": "a text\nb",
        "event": "told",
        "extra": {"1": "{2}"},
    }
    assert second["traceback"].endswith("ValueError: x")


def test_a_field_named_like_one_of_ours_does_not_replace_it():
    record = logging.makeLogRecord({"msg": "hi", "levelname": "INFO", "level": "x", "time": "y"})
    found = json.loads(JsonFormatter().format(record))
    assert found["level"] == "INFO"
    assert found["time"] != "y"
