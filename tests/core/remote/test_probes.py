"""Requests to a node that listens no more end before others have buried it."""

from __future__ import annotations

import pytest

from protoo_flask.core.remote.probes import INTERVAL
from tests.cluster.nodes import BURIAL_TIME

from .pairs import Pair

#: After a look at the asks, another one, and a probe: the first two find the node silent.
NOTICED = 3 * INTERVAL

GONE = "its server cannot be reached: it has gone"


@pytest.fixture
def pair():
    with Pair(request_timeout=60) as pair:
        yield pair


def take_outcome(transaction):
    response = transaction.response
    return None if response is None else (response.status, response.reason, response.is_local)


def test_requests_on_their_way_end_soon_after_a_node_was_killed(pair):
    assert NOTICED < BURIAL_TIME
    first, second = pair.ask(), pair.ask()
    pair.run()
    pair.hub.kill(pair.b)

    pair.nodes.advance(NOTICED)

    assert take_outcome(first) == take_outcome(second) == (503, GONE, True)


def test_an_item_that_reaches_nobody_is_the_first_sign(pair):
    asked = pair.ask()
    pair.run()
    pair.hub.kill(pair.b)
    late = pair.ask()
    pair.run()
    assert take_outcome(late) == (503, GONE, True)

    pair.nodes.advance(INTERVAL)

    assert take_outcome(asked) == (503, GONE, True)


def test_requests_to_a_node_that_connects_anew_go_on(pair):
    asked = pair.ask()
    pair.run()
    connection = pair.b.cluster
    connection.is_connected = False
    pair.ask()  # it reaches nobody
    pair.run()
    pair.nodes.advance(INTERVAL / 2)
    connection.is_connected = True

    pair.nodes.advance(5 * INTERVAL)

    assert take_outcome(asked) is None
    pair.bob.respond(pair.bob.take(), 200)
    pair.run()
    assert take_outcome(asked) == (200, "", False)


def test_a_node_that_is_stopped_is_waited_for(pair):
    asked = pair.ask()
    pair.run()
    pair.hub.stop(pair.b)

    pair.nodes.advance(BURIAL_TIME - 1)
    assert take_outcome(asked) is None

    pair.hub.resume(pair.b)
    pair.bob.respond(pair.bob.take(), 200)
    pair.run()
    assert take_outcome(asked) == (200, "", False)


def test_nothing_is_probed_while_nothing_is_asked(pair):
    asked = pair.ask()
    pair.run()
    pair.bob.respond(pair.bob.take(), 200)
    pair.run()
    assert take_outcome(asked)[0] == 200
    probed = []
    pair.a.cluster.probe = probed.append

    pair.nodes.advance(10 * INTERVAL)

    assert probed == []
    assert not pair.a.host.probes.is_on
