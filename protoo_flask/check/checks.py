"""The table of all checks, in the order in which they are made."""

from __future__ import annotations

from typing import Callable, Iterable, Iterator

from . import (
    cluster_checks,
    database_checks,
    proxy_checks,
    secret_checks,
    server_checks,
    session_checks,
    settings_checks,
)
from .findings import LEVELS, Finding
from .subject import Subject

Check = Callable[[Subject], Iterable[Finding]]

CHECKS: tuple[Check, ...] = (
    settings_checks.check_names,
    settings_checks.check_environment,
    settings_checks.check_debug,
    settings_checks.check_routes,
    settings_checks.check_limits,
    settings_checks.check_compression,
    server_checks.check_server,
    server_checks.check_worker_class,
    server_checks.check_workers,
    server_checks.check_preload,
    server_checks.check_tls,
    server_checks.check_descriptors,
    server_checks.check_restarts,
    database_checks.check_drivers,
    database_checks.check_sqlite,
    proxy_checks.check_proxy,
    proxy_checks.check_addresses,
    proxy_checks.check_pings,
    proxy_checks.check_origins,
    secret_checks.check_secret_key,
    secret_checks.check_other_secrets,
    secret_checks.check_turn_passwords,
    session_checks.check_cookies,
    session_checks.check_lifetimes,
    cluster_checks.check_address,
    cluster_checks.check_redis,
)


def check(subject: Subject) -> Iterator[Finding]:
    """Make all checks."""
    for function in CHECKS:
        yield from function(subject)


def order(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with the most severe first, and as they came otherwise."""
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))
