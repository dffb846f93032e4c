"""``python -m tests.autobahn [--report FOLDER] [--quick | CASE ...]``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from . import AGENTS, CLIENT, DEFLATE, FRAMES, LONG_MESSAGES, NOT_RUN, PASSED, run


def main() -> int:
    """Run the suite; returns 0 if it has passed, 1 if not, 2 if it was not run."""
    parser = argparse.ArgumentParser(prog="python -m tests.autobahn", description=run.__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help='like "1.*" or "7.1.1"')
    parser.add_argument("--quick", action="store_true", help="without long messages, compression")
    parser.add_argument("--agent", action="append", choices=[*AGENTS, CLIENT], help="only this one")
    parser.add_argument("--report", type=Path, default=Path("autobahn-report"), metavar="FOLDER")
    options = parser.parse_args()
    cases = options.cases or (FRAMES if options.quick else [*FRAMES, *LONG_MESSAGES, *DEFLATE])
    summary = run(options.report, cases, options.agent or [*AGENTS, CLIENT])
    print("\n".join(summary.lines()))
    if summary.status != NOT_RUN:
        text = json.dumps({**summary.to_json(), "outcomes": summary.outcomes}, indent=1)
        (options.report / "summary.json").write_text(text, encoding="utf-8")
        print(f"{summary.seconds:.0f} s; pages of the suite: {options.report}")
    return 0 if summary.status == PASSED else 2 if summary.status == NOT_RUN else 1


if __name__ == "__main__":
    sys.exit(main())
