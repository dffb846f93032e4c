"""Checks of secrets: missing ones, and those that somebody can guess."""

from __future__ import annotations

import re
from typing import Any, Iterator

from ..settings import config_key
from .findings import Finding
from .subject import Subject

#: Bytes of a secret that cannot be found by trying: 128 bits, if they are random.
MIN_SECRET = 16

#: Different characters in a secret; 32 random hexadecimal digits have fewer once in a million.
MIN_CHARACTERS = 8

_MAKE = "Make one with: python -c 'import secrets; print(secrets.token_hex(32))'"

#: Parts of examples, in lower case and without other characters than letters and digits.
_EXAMPLES = re.compile(
    "changeme|changethis|replaceme|replacethis|yoursecret|mysecret|supersecret|topsecret|"
    "secretkey|insecure|example|keepitsecret|youllneverguess|youwillneverguess|"
    "devkey|developmentkey|dontusethis|donotuse|notasecret|thisisasecret|hardtoguess"
)

#: Keys that were printed in the documentation of Flask, and are copied from there.
_PRINTED = (
    b'_5#y2L"F4Q8z\n\xec]/',
    b"A0Zr98j/3yX R~XHH!jmN]LWX/,?RT",
    b"192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
)


def check_secret_key(subject: Subject) -> Iterator[Finding]:
    """Find a key with which anybody could log in as anybody."""
    key: Any = subject.app.secret_key
    if not key:
        if subject.has_cookie_sessions:
            problem = "app.secret_key is not set, so the app has no sessions"
            if not subject.has_authorizer:
                problem += ": nobody can log in, and each handshake is answered 500"
            remedy = "Set SECRET_KEY, the same in all workers and after each restart"
            yield Finding("secret-key-missing", problem, f"{remedy}. {_MAKE}")
        return
    fallbacks = subject.config.get("SECRET_KEY_FALLBACKS") or ()
    for name, value in (
        ("app.secret_key", key),
        *((f"SECRET_KEY_FALLBACKS[{index}]", old) for index, old in enumerate(fallbacks)),
    ):
        fault = find_fault(value)
        if fault:
            yield Finding(
                "secret-key-weak",
                f"{name} {fault}: who knows it makes a cookie for any user, and connects as them",
                _MAKE,
            )


def check_other_secrets(subject: Subject) -> Iterator[Finding]:
    """Find secrets of the cluster and of TURN that can be guessed."""
    for code, name, consequence in (
        ("cluster-key-weak", "cluster_key", "who can write to Redis makes messages of workers"),
        ("turn-secret-weak", "turn_secret", "anybody makes credentials for your TURN server"),
    ):
        value = getattr(subject.settings, name)
        fault = "" if value is None else find_fault(value)
        if fault:
            remedy = f"{_MAKE}. All that share it need the new one"
            yield Finding(code, f"{config_key(name)} {fault}: {consequence}", remedy)


def check_turn_passwords(subject: Subject) -> Iterator[Finding]:
    """Find a password of a TURN server that every client is told."""
    for index, server in enumerate(subject.settings.ice_servers):
        if server.get("credential"):
            yield Finding(
                "turn-password",
                f"PROTOO_ICE_SERVERS[{index}] has a password of a TURN server that does not "
                "expire: each client is told it, and can give it to anybody",
                "Leave username and credential out, and set PROTOO_TURN_SECRET (coturn: "
                "use-auth-secret), of which credentials are made that expire",
            )


def find_fault(secret: str | bytes) -> str:
    """Tell why a secret is none; "" if nothing is known against it. Never shows it.

    >>> find_fault("dev")
    'has 3 bytes, and 16 are few'
    >>> find_fault("change-me-change-me")
    'is an example'
    >>> find_fault("6f1c2d0e9b8a47535d7e0c1f2a3b4c5d")
    ''
    """
    encoded = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else bytes(secret)
    text = re.sub("[^a-z0-9]", "", encoded.decode("utf-8", "ignore").lower())
    if encoded in _PRINTED or _EXAMPLES.search(text):
        return "is an example"
    if len(encoded) < MIN_SECRET:
        return f"has {len(encoded)} bytes, and {MIN_SECRET} are few"
    if len(set(encoded)) < MIN_CHARACTERS:
        return f"has {len(set(encoded))} different characters"
    return ""
