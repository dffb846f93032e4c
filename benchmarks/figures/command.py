"""Draw the figures of docs/architecture.md from the code, or check that they are up to date.

    python3 dev.py figures [--check]

``docs/images/architecture-layers.svg`` shows the tables of modules of the page as boxes, with
the imports between them. The others show the trips of ``trips.py``.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Sequence

from ..trips import Walks, trace_trips
from . import layers, walks
from .page import DOCS, PAGE, find_differences, read_groups

IMAGES = DOCS / "images"

#: The trips that have a figure, and its title.
TRIPS = {
    "request": "A request, from bytes to bytes",
    "relay": "A relay, from alice to bob and back",
    "handshake": "A handshake",
    "takeover": "A takeover: a second connection of the same device",
}


def main(args: Sequence[str]) -> int:
    """Write the figures that have changed, or name them; then the status is 1."""
    parser = argparse.ArgumentParser(
        prog="dev.py figures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    is_check = parser.parse_args(args).check
    changed = False
    for name, figure in draw_all().items():
        path = path_of(name)
        if is_same(name, path, figure):
            continue
        changed = True
        print(f"{'outdated' if is_check else 'written'}: {path}")
        if not is_check:
            path.write_text(figure, encoding="utf-8")
    return int(changed and is_check)


def path_of(name: str) -> Path:
    return IMAGES / f"architecture-{name}.svg"


def draw_all() -> dict[str, str]:
    """Return all figures: ``{name: SVG}``."""
    return {"layers": draw_layers(), **draw_trips()}


def draw_layers() -> str:
    groups = read_groups(PAGE.read_text(encoding="utf-8"))
    differences = find_differences(groups)
    if differences:
        sys.exit(f"{PAGE}: mend the tables of modules first\n" + "\n".join(differences))
    return layers.draw(groups)


def draw_trips(traced: Walks | None = None) -> dict[str, str]:
    traced = traced or trace_trips()
    return {name: walks.draw(title, traced[name], versions()) for name, title in TRIPS.items()}


def versions() -> str:
    """Return the versions that a trace may depend on."""
    flask, gevent = (".".join(version(name).split(".")[:2]) for name in ("flask", "gevent"))
    return "Python {}.{}, Flask {}, gevent {}".format(*sys.version_info[:2], flask, gevent)


def is_same(name: str, path: Path, figure: str) -> bool:
    """Whether the figure of a file equals a new one.

    A figure of a trip that was drawn with other versions is the same when it has the same
    files, in the order in which they are first visited. The Flask contexts are left out:
    older releases of Flask enter them in another way.
    """
    if not path.exists():
        return False
    old = path.read_text(encoding="utf-8")
    if old == figure:
        return True
    if name not in TRIPS or f"<desc>{versions()}</desc>" in old:
        return False
    return without_contexts(old) == without_contexts(figure)


def without_contexts(figure: str) -> list[str]:
    return [file for file in walks.first_visits(figure) if not file.endswith("contexts.py")]
