"""The authorizer, asked again while its peers are connected."""

from __future__ import annotations

import datetime
import gc
import logging
import weakref

import pytest
from flask import Response, abort, g, has_request_context, redirect, request, session
from werkzeug.exceptions import HTTPException

from protoo_flask import Protoo, Reject
from protoo_flask.site import site as live
from protoo_flask.site.contexts import HandshakeContext, preprocess_request

from ..fakes import FakeLink, FakeScheduler
from ..joining import make_app

REVOKED = (3001, "authorization revoked")


class MemoryConnection(FakeLink):
    """A connection that begins when it is made, and ends when a test says so."""

    def __init__(self, channel, loop, codec, handshake, *, connect, disconnect, **options):
        super().__init__()
        self._disconnect = disconnect
        self.inbox = connect(self)
        self.peer = self.inbox.peer

    def open(self):
        """Nothing was held back."""

    def drop(self):
        self._disconnect(self.inbox, self, 1006)


class Site:
    """A Flask app whose authorizer is asked every ten seconds; the clock stands still."""

    def __init__(self, scheduler, **options):
        self.app = make_app()
        self.protoo = Protoo(self.app, **options)
        self.scheduler = scheduler
        #: Who was asked about, and after how many seconds.
        self.asked = []
        #: What the authorizer does about somebody, if not let them stay: {username: function}.
        self.answers = {}
        self._start = scheduler.now()
        self.protoo.authorize(self._authorize)

    def _authorize(self):
        if "username" not in session:
            raise Reject(403, "not logged in")
        username, uuid = session["username"], request.args.get("uuid")
        self.asked.append((username, self.scheduler.now() - self._start))
        answer = self.answers.get(username)
        return (username, uuid) if answer is None else answer()

    def connect(self, username="alice", uuid="a1"):
        """Let somebody in, past the transport."""
        app, door = self.app, self.app.extensions["protoo"]
        cookie = app.session_interface.get_signing_serializer(app).dumps({"username": username})
        url = f"/protoo?uuid={uuid}" if uuid else "/protoo"
        headers = {"Cookie": f"session={cookie}"}
        with app.test_request_context(url, headers=headers) as context:
            preprocess_request(app)
            identity = door._identify()
            kept = HandshakeContext(app, context.request, context.session)
        door.open(self.scheduler)
        return door._starter(identity, kept, None)(None, b"")

    def names(self):
        return sorted(peer.username for peer in self.protoo.peers())


@pytest.fixture
def make_site(monkeypatch):
    monkeypatch.setattr(live, "SharedConnection", MemoryConnection)
    sites = []

    def make_site(scheduler=None, reauthorize_interval=10, **options):
        options["reauthorize_interval"] = reauthorize_interval
        sites.append(Site(scheduler or FakeScheduler(), **options))
        return sites[-1]

    yield make_site
    for site in sites:
        site.protoo.close()
        assert site.scheduler.pending_timers == 0


@pytest.fixture
def site(make_site):
    return make_site()


def raising(error):
    def answer():
        raise error

    return answer


# When -------------------------------------------------------------------------------


def test_by_default_nobody_is_asked_again(make_site):
    site = make_site(reauthorize_interval=None)
    site.connect()
    site.scheduler.advance(1e6)
    assert site.asked == [("alice", 0)]
    assert site.scheduler.pending_timers == 0


def test_each_peer_has_its_own_time_and_all_share_a_timer(site):
    site.connect("alice")
    site.scheduler.advance(4)
    site.connect("bob")
    assert site.scheduler.pending_timers == 1
    site.scheduler.advance(26)
    assert site.asked == [
        ("alice", 0),
        ("bob", 4),
        ("alice", 10),
        ("bob", 14),
        ("alice", 20),
        ("bob", 24),
        ("alice", 30),
    ]
    assert site.scheduler.pending_timers == 1


def test_a_new_connection_of_the_same_device_begins_anew(site):
    old = site.connect()
    site.scheduler.advance(6)
    new = site.connect()
    # The end of the connection that was taken over changes nothing for the new one.
    old.drop()
    site.scheduler.advance(10)
    assert site.asked == [("alice", 0), ("alice", 6), ("alice", 16)]
    assert new.closed is None


def test_who_is_away_is_not_asked_about_until_they_are_back(make_site):
    site = make_site(disconnect_grace_period=60)
    site.connect().drop()
    site.scheduler.advance(25)
    assert site.asked == [("alice", 0)]
    site.connect()
    site.scheduler.advance(10)
    assert site.asked == [("alice", 0), ("alice", 25), ("alice", 35)]


def test_who_has_gone_is_neither_asked_about_nor_kept(site):
    gone = site.connect()
    gone.drop()
    peer = weakref.ref(gone.peer)
    del gone
    gc.collect()
    assert peer() is None
    site.scheduler.advance(100)
    assert site.asked == [("alice", 0)]
    assert site.scheduler.pending_timers == 0


def test_who_was_disconnected_is_not_asked_about(site):
    site.connect()
    site.protoo.disconnect("alice")
    site.scheduler.advance(100)
    assert site.asked == [("alice", 0)]
    assert site.scheduler.pending_timers == 0


def test_a_closed_app_asks_no_more(site):
    site.connect("alice")
    site.protoo.close()
    # Whose handshake was accepted just before.
    site.connect("bob")
    site.scheduler.advance(100)
    assert site.asked == [("alice", 0), ("bob", 0)]
    assert site.scheduler.pending_timers == 0


def test_an_authorizer_that_is_slow_for_one_delays_nobody_else(make_site):
    class SpawningScheduler(FakeScheduler):
        """Keeps what is to run in greenlets of their own."""

        def __init__(self):
            super().__init__()
            self.spawned = []

        def spawn(self, function, *args):
            self.spawned.append(lambda: function(*args))

    site = make_site(SpawningScheduler())
    alice, bob = site.connect("alice"), site.connect("bob")
    site.answers["bob"] = lambda: None
    site.scheduler.advance(10)
    about_alice, about_bob = site.scheduler.spawned
    about_bob()
    assert bob.closed == REVOKED
    about_alice()
    assert alice.closed is None


# Who may stay -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        lambda: None,
        raising(Reject(403, "banned")),
        raising(Reject(302, "elsewhere")),
        raising(Reject(400)),
        lambda: abort(401),
        lambda: abort(Response("no coffee", 418)),
        lambda: abort(redirect("/login")),
        lambda: ("mallory", "a1"),
        lambda: ("alice", "a2"),
        lambda: ("alice", 200 * "x"),
    ],
)
def test_who_is_refused_is_disconnected_and_nobody_else(site, answer):
    alice, phone = site.connect("alice", "a1"), site.connect("bob", "a1")
    site.answers["alice"] = answer
    site.scheduler.advance(10)
    assert (alice.closed, phone.closed) == (REVOKED, None)
    assert site.names() == ["bob"]
    site.scheduler.advance(10)
    assert [when for username, when in site.asked if username == "alice"] == [0, 10]


def test_the_other_devices_of_a_user_are_asked_about_in_their_turn(site):
    first = site.connect("alice", "a1")
    site.scheduler.advance(5)
    second = site.connect("alice", "a2")
    site.answers["alice"] = lambda: None
    site.scheduler.advance(5)
    assert (first.closed, second.closed) == (REVOKED, None)
    site.scheduler.advance(5)
    assert second.closed == REVOKED


@pytest.mark.parametrize(
    "answer",
    [
        raising(OSError("the database is down")),
        raising(Reject(500)),
        raising(Reject(603, "decline")),
        lambda: abort(503),
        lambda: abort(408),
        lambda: abort(Response("too early", 425)),
        lambda: abort(429),
        lambda: abort(Response("later", 503)),
        raising(HTTPException("without a status")),
        lambda: "alice",
        lambda: ("", "a1"),
    ],
)
def test_an_error_is_logged_and_no_refusal(site, caplog, answer):
    alice = site.connect()
    site.answers["alice"] = answer
    site.scheduler.advance(10)
    assert alice.closed is None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.getMessage() == "could not authorize <Peer alice/a1 online> again"
    site.answers["alice"] = lambda: None
    site.scheduler.advance(10)
    assert alice.closed == REVOKED


def test_what_ends_the_greenlet_of_one_check_does_not_end_the_checks(site):
    class Timeout(BaseException):
        """Like that of gevent."""

    alice = site.connect()
    site.answers["alice"] = raising(Timeout())
    with pytest.raises(Timeout):
        site.scheduler.advance(10)
    assert alice.closed is None
    assert not has_request_context()
    site.answers["alice"] = lambda: None
    site.scheduler.advance(20)
    assert alice.closed == REVOKED


def test_data_is_what_the_authorizer_says_now(site):
    seen = []
    site.answers["alice"] = lambda: ("alice", "a1", {"role": "admin"})
    peer = site.connect().peer
    for answer in (("alice", "a1", {"role": "user"}), ("alice", None)):
        site.answers["alice"] = lambda answer=answer: answer
        site.scheduler.advance(10)
        seen.append(peer.data)
    assert seen == [{"role": "user"}, None]


def test_a_uuid_that_was_made_up_stays(site):
    alice = site.connect(uuid=None)
    site.scheduler.advance(30)
    assert alice.closed is None
    assert [peer.uuid for peer in site.protoo.peers()] == [alice.peer.uuid]
    assert len(site.asked) == 4


def test_the_log_says_what_is_wrong_with_an_authorizer_that_makes_uuids_up(site, caplog):
    site.answers["alice"] = lambda: ("alice", f"{len(site.asked)}")
    site.connect()
    site.scheduler.advance(10)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "must return the same one for the same handshake, or None" in record.getMessage()


def test_the_log_tells_who_was_disconnected(site, caplog):
    site.app.logger.setLevel(logging.INFO)
    site.connect()
    site.answers["alice"] = lambda: None
    with caplog.at_level(logging.INFO):
        site.scheduler.advance(10)
    (record,) = caplog.records
    assert record.getMessage() == "<Peer alice/a1 offline> is not authorized any more"


# What the authorizer finds ----------------------------------------------------------


def test_a_session_that_has_expired_is_empty(site):
    alice = site.connect()
    site.scheduler.advance(10)
    assert alice.closed is None
    site.app.permanent_session_lifetime = datetime.timedelta(seconds=-1)
    site.scheduler.advance(10)
    assert alice.closed == REVOKED


def test_the_default_authorizer_is_asked_too(site):
    site.protoo.authorizer = None
    alice = site.connect()
    site.scheduler.advance(10)
    assert alice.closed is None
    site.app.secret_key = "another one, so that nothing is signed"
    site.scheduler.advance(10)
    assert alice.closed == REVOKED


def test_handlers_go_on_finding_the_session_of_the_handshake(site):
    alice = site.connect()
    seen = []

    def change_session():
        session["username"] = "changed while asked again"
        return "alice", "a1"

    site.answers["alice"] = change_session
    site.scheduler.advance(10)
    alice.peer.context.run(lambda: seen.append(session["username"]))
    assert seen == ["alice"]


def test_what_the_site_does_before_a_request_is_done_before(site):
    banned = set()

    @site.app.before_request
    def load_user():
        g.user = None if session["username"] in banned else session["username"]

    site.answers["alice"] = lambda: g.user and (g.user, "a1")
    alice = site.connect()
    site.scheduler.advance(10)
    assert alice.closed is None
    banned.add("alice")
    site.scheduler.advance(10)
    assert alice.closed == REVOKED


@pytest.mark.parametrize(
    ("answer", "closed"),
    [
        (lambda: ("log in first", 401), REVOKED),
        (lambda: redirect("/login"), REVOKED),
        (lambda: abort(403), REVOKED),
        (lambda: ("we are busy", 503), None),
        (lambda: abort(429), None),
    ],
)
def test_what_the_site_does_before_a_request_may_refuse(site, answer, closed):
    alice = site.connect()
    # Flask 2.2 and 2.3 refuse @app.before_request once requests have come in.
    site.app.before_request_funcs[None] = [answer]
    site.scheduler.advance(10)
    assert alice.closed == closed
    assert site.asked == [("alice", 0)]


def test_what_the_site_puts_away_after_a_request_is_put_away(site):
    torn_down = []
    site.connect()

    site.app.teardown_request_funcs[None] = [torn_down.append]
    site.scheduler.advance(10)
    site.answers["alice"] = lambda: None
    site.scheduler.advance(10)
    # A refusal is an answer, not an error.
    assert torn_down == [None, None]


def test_a_refusal_counts_though_putting_away_fails(site, caplog):
    alice = site.connect()
    site.answers["alice"] = lambda: None
    site.app.teardown_request_funcs[None] = [lambda _: raising(OSError("in the teardown"))()]
    site.scheduler.advance(10)
    assert alice.closed == REVOKED
    assert "in the teardown" in caplog.text


# While the authorizer takes its time ------------------------------------------------


def test_a_refusal_of_an_older_connection_does_not_close_a_newer_one(site):
    old = site.connect()
    newer = []

    def refuse_late():
        site.answers["alice"] = None
        newer.append(site.connect())

    site.answers["alice"] = refuse_late
    site.scheduler.advance(10)
    (new,) = newer
    assert old.closed == (3000, "online elsewhere")
    assert new.closed is None
    # Which is asked about when its own time comes, and once.
    site.scheduler.advance(10)
    assert site.asked == [("alice", 0), ("alice", 10), ("alice", 10), ("alice", 20)]


def test_an_answer_for_an_older_connection_leaves_the_data_of_a_newer_one(site):
    site.connect()

    def allow_late():
        site.answers["alice"] = lambda: ("alice", "a1", "new")
        site.connect()
        return "alice", "a1", "old"

    site.answers["alice"] = allow_late
    site.scheduler.advance(10)
    assert [peer.data for peer in site.protoo.peers()] == ["new"]


def test_a_refusal_that_comes_when_the_device_is_away_leaves_it_to_its_next_handshake(make_site):
    site = make_site(disconnect_grace_period=60)
    alice = site.connect()

    def refuse_late():
        alice.drop()

    site.answers["alice"] = refuse_late
    site.scheduler.advance(10)
    assert alice.peer.state == "disconnected"
    del site.answers["alice"]
    assert site.connect().peer is alice.peer
    assert alice.peer.online


@pytest.mark.parametrize("answer", [None, ("alice", "a1")])
def test_who_goes_meanwhile_goes_once(site, answer):
    offline = []
    site.protoo.on("offline", offline.append)
    alice = site.connect()

    def leave():
        alice.drop()
        return answer

    site.answers["alice"] = leave
    site.scheduler.advance(10)
    assert offline == [alice.peer]
    assert alice.closed is None
    assert site.scheduler.pending_timers == 0
    site.scheduler.advance(100)
    assert site.asked == [("alice", 0), ("alice", 10)]


def test_the_site_is_told_that_who_is_refused_is_offline(site):
    offline = []
    site.protoo.on("offline", lambda peer: offline.append((peer.username, session["username"])))
    site.connect()
    site.answers["alice"] = lambda: None
    site.scheduler.advance(10)
    assert offline == [("alice", "alice")]
