"""Checks of the settings themselves: names, limits that are off, what is for development."""

from __future__ import annotations

import os
from typing import Iterator

from ..core.routing.inspection import list_routes
from ..settings import Settings, config_key, find_unknown_keys
from .findings import Finding
from .subject import Subject

#: Bytes that a connection takes with permessage-deflate: measured, see docs/performance.md.
COMPRESSION_BYTES = 300 * 1024

#: Settings whose ``None`` takes a limit away, and what can happen then.
_LIMITS = {
    "response_timeout": "a request whose handler forgets to reply stays open for ever",
    "handshakes_per_user": "a client that reconnects in a loop is not slowed down",
    "ping_interval": "a connection that has died unnoticed stays, and its user seems to be online",
}


def check_names(subject: Subject) -> Iterator[Finding]:
    """Find keys that are no settings: a spelling mistake leaves the default in effect."""
    for key, meant in find_unknown_keys(subject.config):
        remedy = f"Write {meant}" if meant else "Write one of the settings in README.md"
        yield Finding(
            "setting-unknown",
            f"{key} in app.config is not a setting of this protoo_flask, so it has no effect",
            f"{remedy}, or take it out",
        )


def check_environment(subject: Subject) -> Iterator[Finding]:
    """Find settings in the environment that nobody has put into the config."""
    defaults = Settings().to_config()
    for key, default in defaults.items():
        if subject.environ.get(key) and subject.config.get(key) == default:
            yield Finding(
                "setting-only-in-environment",
                f"{key} is a variable of the environment, and app.config has the default: "
                "settings are read from app.config only",
                f'Write app.config["{key}"] = os.environ["{key}"], with the type that it needs',
            )


def check_debug(subject: Subject) -> Iterator[Finding]:
    """Find what is for development and tests."""
    if subject.app.debug:
        yield Finding(
            "debug",
            "DEBUG is on: errors of the site leave the app instead of being answered 500, and the "
            "debugger of flask run runs any code that a visitor sends",
            "Take --debug, FLASK_DEBUG or app.debug out for production",
        )
    if subject.app.testing:
        yield Finding(
            "testing",
            "TESTING is on: errors of the site leave the app instead of being answered 500",
            "Set TESTING in the tests of the site only",
        )


def check_routes(subject: Subject) -> Iterator[Finding]:
    """Find a site that answers nothing."""
    router = subject.site.protoo.router
    if next(iter(list_routes(router)), None) is None:
        yield Finding(
            "nothing-registered",
            "no handler is registered, so every request of a client is answered 404",
            "Register handlers before the first handshake, in a module that is imported with the "
            "app: flask protoo routes lists them",
        )


def check_limits(subject: Subject) -> Iterator[Finding]:
    """Find limits that were taken away."""
    for name, consequence in _LIMITS.items():
        if getattr(subject.settings, name) is None:
            yield Finding(
                "limit-off",
                f"{config_key(name)} is None: {consequence}",
                "Prefer a large number to None",
            )


def check_compression(subject: Subject) -> Iterator[Finding]:
    """Tell the memory that permessage-deflate takes."""
    if not subject.settings.compression:
        return
    each = f"{COMPRESSION_BYTES // 1024} KiB"
    remedy = "Set it only if messages are long and links are slow"
    memory = _find_memory()
    if subject.peers is None or memory is None:
        yield Finding(
            "compression-memory",
            f"PROTOO_COMPRESSION is on: each connection takes some {each}, and not 6",
            f"{remedy}. With --peers, this command compares it with the memory of this machine",
        )
    elif subject.peers * COMPRESSION_BYTES > memory // 2:
        needed = subject.peers * COMPRESSION_BYTES / 2**30
        yield Finding(
            "compression-exceeds-memory",
            f"PROTOO_COMPRESSION is on, and {subject.peers} peers take {needed:.1f} GiB, with some "
            f"{each} each; this machine has {memory / 2**30:.1f} GiB",
            remedy,
        )


def _find_memory() -> int | None:
    """Return the bytes of memory of this machine, if it tells."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
