"""Settings that are set after ``init_app()``, or after the first handshake."""

from __future__ import annotations


def test_settings_may_be_set_after_init_app(site_at, alice):
    late = site_at("/late")
    with late.connect(alice, "a1") as a, late.connect(alice, "a2"):
        refused = late.knock("?uuid=a3", Cookie=late.login(alice))
        assert refused.status >= 400
        assert "2" in refused.text
        a.start("get", "/echo", {"text": "x" * 1000})
        assert a.wait_for_close()[0] == 1009


def test_a_late_value_that_cannot_work_is_a_500_with_the_name_of_the_setting_in_the_log(
    server, site_at, alice
):
    wrong = site_at("/wrong")
    assert wrong.knock(Cookie=wrong.login(alice)).status == 500
    server.expect_traceback("UsageError: PROTOO_PING_INTERVAL is a positive number of seconds")
    assert wrong.http("GET", "/protoo").status == 500


def test_a_change_after_the_first_handshake_is_warned_of(server, site_at, alice):
    late = site_at("/late")
    with late.connect(alice):
        late.post(f"/configure/PROTOO_MAX_OUTBOX/{server.line_count + 1}")
        with late.connect(alice):
            server.wait_for_output(
                "a change of PROTOO_MAX_OUTBOX in app.config is ignored", server.first_line
            )
