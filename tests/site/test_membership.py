"""The site of a process as a node of its cluster: joining, leaving, and what travels."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from flask import request, session

from protoo_flask import Protoo, Request
from protoo_flask.site import goodbye
from protoo_flask.site.site import Site

from ..cluster.in_process import Hub
from ..cluster.in_process_cluster import InProcessCluster
from ..joining import make_app
from ..site_nodes import make_nodes
from .test_advice import advice


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
def make_node(hub, monkeypatch):
    yield from make_nodes(hub, monkeypatch)


def test_the_peers_of_one_process_are_found_in_another(make_node):
    a, b = make_node(), make_node()
    a.connect("alice")
    b.connect("bob", "b1", {"name": "Bob"})

    (bob,) = a.protoo.peers("bob")
    assert (bob.uuid, bob.data, bob.is_local, bob.online) == ("b1", {"name": "Bob"}, False, True)
    assert b.protoo.peer("bob", "b1").is_local
    assert a.protoo.peer("bob", "b2") is None
    assert {peer.username for peer in b.protoo.peers()} == {"alice", "bob"}
    assert [peer.username for peer in a.site.local_peers()] == ["alice"]


def test_a_process_without_clients_joins_when_the_site_asks_for_peers(make_node, caplog):
    a, job = make_node(), make_node()
    link = a.connect("alice")
    assert job.asked == 0

    with job.app.app_context():
        (alice,) = job.protoo.peers("alice")
        assert alice.notify("news", {"title": "Hi"})
        job.protoo.peers("nobody")
    job.hub.run()

    assert link.take()["method"] == "news"
    assert job.asked == 1
    assert advice(caplog) == []


def test_a_view_joins_when_it_asks_for_peers(make_node):
    a, b = make_node(), make_node()
    a.connect("alice")
    b.app.add_url_rule("/count", view_func=lambda: str(len(b.protoo.peers("alice"))))

    assert b.app.test_client().get("/count").data == b"1"


def test_a_process_can_disconnect_a_user_of_another(make_node):
    a, job = make_node(), make_node()
    link = a.connect("alice")

    assert job.protoo.disconnect("alice") == 1
    job.hub.run()

    assert link.closed == (3001, "authorization revoked")


def test_code_that_runs_for_a_peer_of_another_process_finds_its_request_and_session(make_node):
    a, b = make_node(), make_node()
    a.connect("alice")
    link = b.connect("bob", "b1")
    seen = []

    def look(response):
        seen.append((response.status, session["username"], request.args["uuid"]))

    (bob,) = a.protoo.peers("bob")
    bob.send(Request("ping"), on_response=look)
    a.hub.run()
    id = link.take()["id"]
    link.inbox.receive(b'{"id":%d,"status":200,"reason":"OK","data":{}}' % id)
    a.hub.run()

    assert seen == [(200, "bob", "b1")]


def test_closing_the_site_leaves_the_cluster_after_its_clients(make_node):
    a, b = make_node(), make_node()
    link = a.connect("alice")
    b.open()

    a.protoo.close()
    a.hub.run()

    assert link.closed == (1001, "shutting down")
    assert b.protoo.peers() == []
    a.protoo.close()  # a second time does no harm


def test_a_site_that_is_closed_while_it_joins_is_no_node_afterwards(make_node, hub, monkeypatch):
    node = make_node()
    start = InProcessCluster.start

    def start_late(cluster, host):
        node.protoo.close()  # in another greenlet or thread
        start(cluster, host)

    monkeypatch.setattr(InProcessCluster, "start", start_late)
    node.protoo.peers()
    assert [cluster.is_connected for cluster in hub.nodes] == [False]


def test_a_site_that_is_closed_during_the_first_handshake_is_no_node_afterwards(make_node, hub):
    node = make_node()
    node.protoo.close()
    node.open()
    hub.run()
    assert [cluster.is_connected for cluster in hub.nodes] == [False]


def test_a_closed_site_joins_no_more(make_node):
    a = make_node()
    a.protoo.close()

    assert a.protoo.peers() == []
    assert a.asked == 0


def test_the_exit_of_the_process_leaves_the_cluster(make_node, hub):
    a, b = make_node(), make_node()
    a.connect("alice")
    b.open()

    goodbye._say_goodbye(a.site)
    hub.run()

    assert b.protoo.peers() == []


def test_a_forked_process_becomes_a_node_of_its_own(make_node, hub):
    parent, other = make_node(), make_node()
    parent.connect("alice")
    other.connect("bob")
    former = parent.site.service

    parent.site.leave_to_parent()
    assert len(parent.protoo.peers("bob")) == 1
    assert parent.asked == 2
    assert [peer.is_local for peer in parent.protoo.peers("alice")] == [False]

    # The parent goes on, and leaves at its end.
    parent.protoo.close()
    parent.site.service = former
    former.close()
    former.leave_cluster()


def test_a_first_client_of_the_other_world_has_the_site_join_anew(make_node, hub):
    node, other = make_node(), make_node()
    other.connect("bob")
    assert node.protoo.peers("bob")
    guessed = node.site.loop

    class Greenlets(type(guessed)):
        preempts = False

    loop = Greenlets(hub.clock)
    hub.clock._schedulers.append(loop)
    assert node.site.find_loop(lambda: loop) is loop
    node.site.open(loop)

    assert node.site.loop is loop
    assert node.asked == 2
    assert len([cluster for cluster in hub.nodes if cluster.is_connected]) == 2
    assert node.protoo.peers("bob")


def test_a_client_of_the_world_that_was_guessed_has_the_same_node(make_node, hub):
    node = make_node()
    node.protoo.peers()
    loop = node.site.loop

    assert node.site.find_loop(hub.clock.new_scheduler) is loop
    node.connect("alice")
    assert node.asked == 1


def test_data_that_other_processes_cannot_read_is_refused(make_node):
    node = make_node()
    with pytest.raises(Exception, match=r"peer\.data"):
        node.connect("alice", data=object())


def test_a_thread_that_asks_another_one_is_told_of_an_exit_there(make_node):
    class ForeignLoop:
        event = threading.Event

        def is_foreign(self):
            return True

        def spawn(self, function):
            threading.Thread(target=function).start()

    node = make_node()
    node.open()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node.site.service, "loop", ForeignLoop())
        with pytest.raises(SystemExit):
            node.site._ask(sys.exit, 1)


def test_nothing_of_a_cluster_is_imported_without_the_setting():
    script = """if True:
        import sys
        from flask import Flask
        from protoo_flask import Protoo
        app = Flask("site")
        app.secret_key = "secret"
        protoo = Protoo(app)
        protoo.peers()
        app.test_client().get("/protoo")
        from tests.joining import join
        join(app)
        protoo.close()
        wrong = [
            name for name in sys.modules
            if name.split(".")[0] in ("redis", "hiredis")
            or name.startswith(("protoo_flask.cluster", "protoo_flask.core.remote"))
            or name == "protoo_flask.site.membership"
        ]
        assert not wrong, wrong
    """
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_site_without_a_url_has_no_membership():
    app = make_app()
    protoo = Protoo(app)
    site: Site = app.extensions["protoo"]
    assert not site.is_clustered
    protoo.peers()
    assert site.membership is None
