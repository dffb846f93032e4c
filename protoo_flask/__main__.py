"""``python -m protoo_flask``."""

# The standard library is patched before anything imports it, so that handlers may
# block (database drivers, HTTP clients) without blocking other connections.
from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

from .cli import main  # noqa: E402

sys.exit(main())
