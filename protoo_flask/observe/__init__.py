"""Seeing it: listeners for ``protoo.observe()``, and views that tell how a worker is.

docs/observability.md is the guide.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from ..core.errors import UsageError
from ..core.observer import Observer
from .event_log import EventLog
from .health import liveness, readiness
from .json_formatter import JsonFormatter

if TYPE_CHECKING:
    from .prometheus_metrics import PrometheusMetrics

__all__ = [
    "EventLog",
    "JsonFormatter",
    "Observer",
    "PrometheusMetrics",
    "liveness",
    "readiness",
]


def __getattr__(name: str) -> Any:
    """Import what needs ``prometheus_client`` only for a site that asks for it."""
    if name != "PrometheusMetrics":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if importlib.util.find_spec("prometheus_client") is None:
        raise UsageError(
            "PrometheusMetrics needs prometheus_client, not installed here: "
            "pip install protoo_flask[metrics]"
        )
    from .prometheus_metrics import PrometheusMetrics

    return PrometheusMetrics
