"""Rate limits in tests of a site: the clock that a test moves refills the buckets."""

from __future__ import annotations

from flask import Flask

from protoo_flask import Protoo
from protoo_flask.middleware import rate_limit
from protoo_flask.testing import finish


def make_site(**options):
    app = Flask("site")
    app.secret_key = "of the tests"
    protoo = Protoo(app, **options)
    protoo.use("/rooms", rate_limit("1/m", burst=2))
    protoo.use(lambda req, next: req.reply(200))
    return protoo


def test_a_test_moves_the_clock_and_may_send_again():
    protoo = make_site(rate_limit={"peer": "2/s burst=3"})
    with protoo.test_client(username="alice") as alice:
        assert [alice.request("get", "/").status for _ in range(4)] == [200, 200, 200, 429]
        refused = alice.request("get", "/")
        assert (refused.reason, refused.data) == ("too many requests", {"retryAfter": 1.0})
        protoo.test_clock.advance(0.5)
        assert [alice.request("get", "/").status for _ in range(2)] == [200, 429]
        alice.notify("note", "/")
        alice.expect_nothing()
    finish(protoo._site.app)


def test_a_limit_of_paths_has_the_same_clock():
    protoo = make_site()
    with protoo.test_client(username="alice") as alice:
        assert [alice.request("get", "/rooms").status for _ in range(3)] == [200, 200, 429]
        protoo.test_clock.advance(59.9)
        assert alice.request("get", "/rooms").status == 429
        protoo.test_clock.advance(0.1)
        assert [alice.request("get", "/rooms").status for _ in range(2)] == [200, 429]
    finish(protoo._site.app)
