"""The refusal of an authorizer, as the tests of reauthorization see it."""

from __future__ import annotations

REVOKED = (3001, "authorization revoked")


def raising(error):
    def answer():
        raise error

    return answer
