"""The kit without pytest: a suite of unittest, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

from tests.servers.processes import ROOT

SUITE = """
import sys, unittest
from flask import Flask
from protoo_flask import Protoo
from protoo_flask.testing import ExpectationFailed, Refused, finish

protoo = Protoo()

@protoo.get("/echo")
def echo(req, next):
    req.reply(200, "OK", req.data)

def create_app():
    app = Flask("site")
    app.secret_key = "of the tests"
    protoo.init_app(app)
    return app

class ChatTest(unittest.TestCase):
    def setUp(self):
        self.app = create_app()
        self.addCleanup(finish, self.app)
        context = self.app.app_context()
        context.push()
        self.addCleanup(context.pop)

    def test_echo(self):
        alice = protoo.test_client(self.app.test_client(), username="alice", uuid="phone")
        self.assertEqual(alice.request("get", "/echo", {"n": 1}).data, {"n": 1})
        alice.expect_nothing()

    def test_refusal(self):
        with self.assertRaises(Refused) as caught:
            protoo.test_client(self.app.test_client())
        self.assertEqual(caught.exception.status, 403)

    def test_time_and_failures(self):
        alice = protoo.test_client(username="alice", uuid="phone")
        with self.assertRaises(ExpectationFailed) as caught:
            alice.expect_request()
        self.assertIsInstance(caught.exception, self.failureException)
        protoo.test_clock.advance(60)
        self.assertNotIn("pytest", sys.modules)

unittest.main()
"""


def test_a_suite_of_unittest(tmp_path):
    path = tmp_path / "suite.py"
    path.write_text(SUITE)
    command = [sys.executable, "-W", "error", str(path)]
    result = subprocess.run(
        command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Ran 3 tests" in result.stderr
