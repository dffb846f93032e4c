"""Who a page is: another login in the same browser, and pages that are mounted twice."""

from __future__ import annotations

from .proxy import Proxy


def log_in_elsewhere(page, site, username):
    """Log in as another user, in another tab of the same browser."""
    tab = page.context.new_page()
    tab.goto(f"{site.url}login/{username}?to=/other")
    tab.close()


def test_a_tab_of_another_user_stops_and_sends_nothing_under_the_new_name(browser, make_site):
    options = "{ repeat: true, reconnect: { min: 50, max: 200 } }"
    site = make_site(options, disconnect_grace_period=60)
    proxy = Proxy(int(site.url.split(":")[2].strip("/")))
    try:
        carol = site.open(browser, "carol")
        alice = site.open(browser, base_url=f"{proxy.url}/")
        alice.wait_for_function("client.username === 'alice'")
        # The cookie holds for every port of the host.
        log_in_elsewhere(alice, site, "bob")
        proxy.cut()
        alice.wait_for_function("names().includes('close')")
        alice.evaluate(
            """() => {
              const answer = client.request("message", "/users/carol", { text: "of alice" });
              window.failure = answer.catch((error) => `${error.status} ${error.reason}`);
            }"""
        )
        proxy.restore()
        alice.wait_for_function("names().includes('refused')")
        assert alice.evaluate("log.find(([name]) => name === 'refused')[1]") == {
            "status": 409,
            "reason": 'the browser is logged in as "bob", not as "alice"',
            "username": "bob",
        }
        assert alice.evaluate("failure").startswith("410 connection refused")
        assert carol.evaluate("names()") == ["open"]
        alice.wait_for_function("client.state === 'closed'")
    finally:
        site.close_pages()
        proxy.close()


def test_a_page_that_names_its_user_is_not_connected_as_another(browser, make_site):
    site = make_site("{ username: 'alice' }")
    page = site.open(browser)
    site.expect_event("online")
    log_in_elsewhere(page, site, "bob")
    page.reload()
    page.wait_for_function("client.state === 'closed'")
    assert page.evaluate("names()") == ["refused", "close"]
    assert page.evaluate("log[0][1].username") == "bob"


def test_close_and_connect_right_after_each_other_work(browser, make_site):
    site = make_site(disconnect_grace_period=60)
    page = site.open(browser)
    assert (
        page.evaluate(
            """async () => {
          for (let n = 0; n < 5; n += 1) {
            client.close();
            await client.connect();
          }
          client.close();
          client.connect();
          client.close(); // while connecting
          await client.connect();
          return client.request("get", "/").catch((error) => error.status);
        }"""
        )
        == 404
    )
    assert page.evaluate("client.state") == "open"
    assert [peer.online for peer in site.protoo.peers("alice")] == [True]


def test_of_two_mounts_the_later_one_is_connected(browser, make_site):
    site = make_site(disconnect_grace_period=60)
    page = site.open(browser)
    # As React's StrictMode: mount, unmount and mount again in one task.
    page.evaluate(
        """() => {
          const mount = () => {
            const client = watch(new protoo.Client());
            client.connect();
            return client;
          };
          window.first = mount();
          first.close();
          window.second = mount();
        }"""
    )
    page.wait_for_function("second.state === 'open' && client.state === 'closed'")
    assert page.evaluate("first.state") == "closed"
    assert page.evaluate("second.request('get', '/').catch((error) => error.status)") == 404
    assert [peer.online for peer in site.protoo.peers("alice")] == [True]


def test_two_listeners_that_reply_cause_no_unhandled_rejection(browser, make_site):
    site = make_site()
    alice, bob = site.open(browser), site.open(browser, "bob")
    bob.evaluate(
        """() => {
          window.errors = [];
          client.on("error", ({ status }) => errors.push(status));
          const listener = (req) => void Promise.resolve().then(() => req.reply(200, "mine"));
          client.on("request", listener);
          client.on("request", listener);
        }"""
    )
    answer = "client.request('message', '/users/bob', {}).then(({ status }) => status)"
    assert alice.evaluate(answer) == 200
    bob.wait_for_function("errors.length === 2")
    assert bob.evaluate("[errors, unhandled]") == [[409, 409], []]
