"""The fakes of tests/js/media.mjs refuse what Chromium refuses, with the same errors."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from dev import find_node

from .conftest import ROOT

IN_NODE = """
import { fakePeerConnections, FakeMediaDevices } from "./tests/js/media.mjs";
import { probe } from "./tests/js/strictness.mjs";
const { RTCPeerConnection } = fakePeerConnections();
const mediaDevices = new FakeMediaDevices();
console.log(JSON.stringify(await probe({ RTCPeerConnection, mediaDevices, certificate: {} })));
"""


def test_the_fakes_are_as_strict_as_chromium(open_page):
    node = find_node()  # the one that runs the tests of the browser client
    if node is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Node is missing; under CI=true nothing is skipped")
        pytest.skip("Node is not installed")
    command = [node, "--input-type=module", "--eval", IN_NODE]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    page = open_page("alice")
    source = (ROOT / "tests/js/strictness.mjs").read_text()
    real = page.evaluate(
        """async (source) => {
            const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
            const { probe } = await import(url);
            const algorithm = { name: "ECDSA", namedCurve: "P-256" };
            const certificate = await RTCPeerConnection.generateCertificate(algorithm);
            const { mediaDevices } = navigator;
            return probe({ RTCPeerConnection, mediaDevices, certificate });
        }""",
        source,
    )
    assert json.loads(printed.stdout) == real
    assert len(real) >= 40
