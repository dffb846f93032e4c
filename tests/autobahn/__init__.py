"""The Autobahn suite, which tries a WebSocket server with some 500 cases of RFC 6455 and RFC 7692.

``python -m tests.autobahn`` runs it against the connections of the package. :func:`run` is for
other programs. What is not as it should be is compared with ``expected.json``.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Sequence

from tests.cluster.redis_servers import find_port
from tests.servers.processes import start

from .echo_client import run_all
from .echo_site import COMPRESSION
from .suite import NotFound, Suite, find_suite

#: What the cases are about: framing, pings, reserved bits, opcodes, fragments, UTF-8, closing; the
#: time that long messages take; compression.
FRAMES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
LONG_MESSAGES = ["9.*"]
DEFLATE = ["12.*", "13.*"]

#: {agent: (the arguments that start its server, variables, whether it compresses)}
_SITE = "tests.autobahn.echo_site:create_app"
AGENTS: dict[str, tuple[list[str], dict[str, str], bool]] = {
    "gevent": (["-m", "protoo_flask", _SITE, "--port", "0"], {}, False),
    "gevent, compressed": (
        ["-m", "protoo_flask", _SITE, "--port", "0"],
        {COMPRESSION: "1"},
        True,
    ),
    "threads": (["-m", "flask", "run", "--port", "0"], {"FLASK_APP": _SITE}, False),
}

#: The agent that is a client: that of the package, at a server of the suite.
CLIENT = "Python client"

#: The outcomes of the suite that count as right.
RIGHT = ("OK", "NON-STRICT", "INFORMATIONAL")

EXPECTED = Path(__file__).with_name("expected.json")

#: Seconds for one server. Compression takes longest: each case has a thousand messages, of up to
#: 128 KiB, and the suite reads them in Python 2.
PATIENCE = 3 * 3600.0

PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"


@dataclass
class Summary:
    """The outcome.

    :ivar status: one of PASSED, FAILED, NOT_RUN. It is never PASSED when nothing was run.
    :ivar reason: why it was not run, or has failed.
    :ivar outcomes: ``{agent: {case: behavior}}``; the worse one of the case and of its end.
    :ivar surprises: cases whose outcome is not the one in expected.json.
    """

    status: str
    reason: str = ""
    suite: str = ""
    seconds: float = 0.0
    outcomes: dict[str, dict[str, str]] = field(default_factory=dict)
    surprises: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """``{agent: {behavior: cases}}``."""
        return {agent: dict(Counter(of.values())) for agent, of in self.outcomes.items()}

    def lines(self) -> list[str]:
        """Return the report, as text."""
        lines = [f"Autobahn suite: {self.status}" + (f": {self.reason}" if self.reason else "")]
        for agent, counts in self.counts.items():
            counted = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
            lines.append(f"  {agent}: {sum(counts.values())} cases: {counted}")
        lines += [f"  {surprise}" for surprise in self.surprises]
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return it for a file."""
        return {
            "status": self.status,
            "reason": self.reason,
            "suite": self.suite,
            "seconds": round(self.seconds, 1),
            "counts": self.counts,
            "surprises": self.surprises,
        }


def run(
    report_dir: Path | str,
    cases: Sequence[str] = (*FRAMES, *LONG_MESSAGES, *DEFLATE),
    agents: Sequence[str] = (*AGENTS, CLIENT),
) -> Summary:
    """Run cases against servers, and the client; the suite's own pages are left in a folder.

    :param cases: patterns of the suite: ``"1.*"``, ``"7.1.1"``. Those of compression are left out
        for agents that do not compress.
    :param agents: keys of :data:`AGENTS`, or :data:`CLIENT`.
    """
    begin = time.monotonic()
    folder = Path(report_dir).resolve()
    try:
        suite = find_suite()
    except NotFound as error:
        return Summary(NOT_RUN, str(error))
    summary = Summary(PASSED, suite=suite.name)
    try:
        for agent in agents:
            compresses = agent != CLIENT and AGENTS[agent][2]
            wanted = [case for case in cases if compresses or not case.startswith(("12.", "13."))]
            if wanted:
                try_agent = _try_client if agent == CLIENT else _try_server
                summary.outcomes[agent] = try_agent(agent, wanted, suite, folder)
    except Exception as error:  # noqa: BLE001 (whatever stops it, it has not passed)
        summary.status, summary.reason = FAILED, f"{type(error).__name__}: {error}"
    summary.surprises = find_surprises(summary.outcomes, _read_expected())
    ran = sum(map(len, summary.outcomes.values()))
    if summary.status is PASSED and (summary.surprises or not ran):
        summary.status = FAILED
        summary.reason = f"{len(summary.surprises)} cases are not as expected" if ran else "no case"
    summary.seconds = time.monotonic() - begin
    return summary


def _try_server(agent: str, cases: Sequence[str], suite: Suite, folder: Path) -> dict[str, str]:
    command, environ, _ = AGENTS[agent]
    server = start(agent, command, **environ)
    own = folder / agent.replace(", ", "-")
    try:
        spec = {
            "servers": [
                {
                    "agent": agent,
                    "url": f"ws://127.0.0.1:{server.port}/protoo",
                    "protocols": ["protoo"],
                }
            ],
            "cases": list(cases),
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        suite.run("fuzzingclient", spec, own, PATIENCE)
    finally:
        server.stop()
    problems = server.complaints()
    if problems:
        raise RuntimeError(f"the server has complained: {problems}")
    return _read_report(own, agent)


def _try_client(agent: str, cases: Sequence[str], suite: Suite, folder: Path) -> dict[str, str]:
    own = folder / agent.replace(" ", "-")
    url = f"ws://127.0.0.1:{find_port()}"
    spec = {"url": url, "cases": list(cases), "exclude-cases": [], "exclude-agent-cases": {}}
    with suite.start("fuzzingserver", spec, own) as process:
        try:
            run_all(url, agent)
        finally:
            process.terminate()
            process.communicate()
    return _read_report(own, agent)


def _read_report(folder: Path, agent: str) -> dict[str, str]:
    report = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    return {case: _judge(found) for case, found in sorted(report[agent].items(), key=_number)}


def _judge(found: dict[str, Any]) -> str:
    """Return the outcome of a case, or that of its closing handshake if the case was right."""
    behavior: str = found["behavior"]
    at_end: str = found["behaviorClose"]
    return at_end if behavior in RIGHT and at_end not in RIGHT else behavior


def _number(item: tuple[str, Any]) -> list[int]:
    return [int(part) for part in item[0].split(".")]


def _read_expected() -> dict[str, dict[str, list[str]]]:
    expected: dict[str, dict[str, list[str]]] = json.loads(EXPECTED.read_text(encoding="utf-8"))
    return expected


def find_surprises(
    outcomes: dict[str, dict[str, str]], expected: dict[str, dict[str, list[str]]]
) -> list[str]:
    """Compare outcomes with the expected ones: ``{agent: {outcome: [case]}}``.

    A case that is not listed is expected to be OK. To be OK is no surprise anywhere: some outcomes
    depend on what comes in one read.
    """
    found = []
    for agent, of_agent in outcomes.items():
        listed = {
            case: outcome for outcome, cases in expected.get(agent, {}).items() for case in cases
        }
        for case, outcome in of_agent.items():
            right = listed.get(case, "OK")
            if outcome not in ("OK", right):
                found.append(f"{agent}: case {case} is {outcome}, expected {right}")
    return found
