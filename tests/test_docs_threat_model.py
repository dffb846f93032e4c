"""docs/threat-model.md and SECURITY.md lead to code, tests and headings that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "docs" / "threat-model.md", ROOT / "SECURITY.md"]
LINKS = [
    pytest.param(page, text, target, id=f"{page.name}: {text}")
    for page in PAGES
    for text, target in re.findall(r"\[([^\]]+)\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
]


def anchors(path: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_pages_have_links():
    assert len(LINKS) > 60


@pytest.mark.parametrize(("page", "text", "target"), LINKS)
def test_a_link_leads_somewhere(page, text, target):
    file, _, anchor = target.partition("#")
    path = (page.parent / file).resolve() if file else page
    assert path.exists()
    if anchor:
        assert anchor in anchors(path)
    test = re.fullmatch("`(test_[a-z0-9_]+)`", text)
    if test:
        assert f"\ndef {test[1]}(" in path.read_text(encoding="utf-8")
