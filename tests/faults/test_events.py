"""Events of one user at two workers, with a listener of the site that blocks."""

from __future__ import annotations

from .site import SLOW_EVENT
from .test_workers import BOB_OFFLINE, BOB_ONLINE


def test_a_slow_listener_is_waited_for_by_the_other_worker(make_field):
    field = make_field(**{SLOW_EVENT: "offline"})
    with field.a.connect("bob"):
        field.expect_journal("bob", *BOB_ONLINE)
    leaving = [*BOB_ONLINE, "offline b1 ..."]
    field.expect_journal("bob", *leaving)

    # The device is served meanwhile, and others are told of.
    with field.b.connect("bob") as bob:
        assert bob.request("get", "/echo", {"n": 1})["data"] == {"n": 1}
        with field.b.connect("carol"):
            field.expect_journal("carol", "online c1", "user_online")
        assert field.journal("bob") == leaving

        field.a.site.get("/go_on")
        told = [*leaving, *BOB_OFFLINE, *BOB_ONLINE]
        field.expect_journal("bob", *told)

    # A worker that is killed while it tells is not waited for.
    told.append("offline b1 ...")
    field.expect_journal("bob", *told)
    with field.a.connect("bob") as bob:
        assert bob.request("get", "/echo", {"n": 2})["data"] == {"n": 2}
        assert field.journal("bob") == told
        field.b.kill()
        field.expect_journal("bob", *told, *BOB_ONLINE)
    field.b.wait_for_new_worker()
    field.finish()
