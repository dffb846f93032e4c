"""The plain way to write: at once."""

from __future__ import annotations

from protoo_flask.transport.greenlets.write_batching import WriteBatching


class Corked:
    def uncork(self) -> None:
        raise AssertionError("nothing is kept")


def test_nothing_is_batched():
    writes = WriteBatching()
    assert not writes.add(Corked())
    writes.begin()
    assert not writes.add(Corked())
    writes.end()
