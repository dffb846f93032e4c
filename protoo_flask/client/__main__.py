"""``python -m protoo_flask.client``: a console."""

from __future__ import annotations

import sys

from .console.main import main

sys.exit(main())
