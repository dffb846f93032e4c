"""Switchboards whose clients are connected to several nodes of a cluster.

The path of a call has its home at the end: ``/users/sessions/s1.7f3a...``. A test that is not about
that reads and writes :data:`~.switchboards.S1`, as within one process: the clients translate.
"""

from __future__ import annotations

import itertools
import json
import re

from tests.cluster.nodes import NodeClient, spread

from .switchboards import NOTHING, Switchboard, sizes_of

#: A path of a call, with its home.
_PATH = re.compile(r"(/sessions/\w+)\.([0-9a-f]{12})")


class Client(NodeClient):
    """A client that reads and writes paths without homes."""

    @property
    def _paths(self):
        """``{path without a home: path}``, of all calls of the hub."""
        return vars(self.core.hub).setdefault("paths", {})

    def take(self):
        return self._shorten([super().take()])[0]

    def take_all(self):
        return self._shorten(super().take_all())

    def encode(self, message):
        text = super().encode(message).decode()
        for short, full in self._paths.items():
            text = re.sub(re.escape(short) + r"(?![\w.])", full, text)
        return text.encode()

    def _shorten(self, messages):
        text = json.dumps(messages)
        self._paths.update({short: f"{short}.{node}" for short, node in _PATH.findall(text)})
        return json.loads(_PATH.sub(r"\1", text))


class AllCalls:
    """The calls of several nodes."""

    def __init__(self, found):
        self._calls = {}
        for calls in found:
            if calls is not None:
                self._calls.update(calls._calls)

    def __len__(self):
        return len(self._calls)


def spread_switchboard(count=2):
    """Return a Switchboard with clients on so many nodes in turn."""

    class SpreadSwitchboard(spread(Switchboard, count)):
        def __init__(self, *names, **options):
            # One count for all nodes.
            ids = options.pop("ids", None) or (f"s{number}" for number in itertools.count(1))
            super().__init__(*names, ids=ids, **options)

        @property
        def cores(self):
            return [site.core for site in self.sites]

        def connect(self, name, node=None):
            """Connect a client to the next node in turn, and again to the same one."""
            if node is None:
                node = self.fixed.get(name, self._turns % count)
                self._turns += 1
            self.fixed[name] = node
            core = self.sites[node].core
            self.clients[name] = core.connect(*name.split("/"), kind=Client)
            return self.clients[name]

        def all_calls(self):
            """Return the calls of all nodes, for tests that look into them."""
            return AllCalls([Switchboard.all_calls(site) for site in self.sites])

        def left_behind(self):
            self.hub.run()
            found = [Switchboard.all_calls(site) for site in self.sites]
            sizes = [sizes_of(calls) for calls in found if calls is not None]
            return [sum(column) for column in zip(NOTHING, *sizes)]

        @property
        def pending_timers(self):
            return sum(core.scheduler.pending_timers for core in self.cores)

    return SpreadSwitchboard
