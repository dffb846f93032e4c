"""For whom a node waits until it believes that somebody is absent."""

from __future__ import annotations

import pytest

from protoo_flask.cluster.settling import REBUILDING, SETTLED, WAITING, Settling


def settle() -> Settling:
    return Settling(lambda: 0.0, node_timeout=10.0)


@pytest.mark.parametrize("state", [REBUILDING, WAITING])
def test_a_new_node_waits_until_all_others_have_claimed_their_peers(state):
    settling = settle()
    settling.join()
    assert not settling.is_over({"a": b"7" + SETTLED, "b": b"7" + state}, SETTLED)
    assert settling.is_over({"a": b"7" + SETTLED, "b": b"8" + SETTLED}, SETTLED)


def test_nodes_that_wait_do_not_wait_for_each_other():
    settling = settle()
    settling.wait_for({"b": b"7" + SETTLED})
    assert not settling.is_over({"b": b"8" + REBUILDING}, WAITING)
    assert settling.is_over({"b": b"9" + WAITING}, WAITING)
