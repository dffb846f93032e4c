"""Two workers for each test, and a check that nothing is left of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from .field import Field


@pytest.fixture
def make_field(tmp_path: Path) -> Iterator[Callable[..., Field]]:
    """Return a function that starts two workers with settings as environment variables."""
    made: list[Field] = []

    def make(**options: Any) -> Field:
        made.append(Field(tmp_path, **options))
        return made[-1]

    yield make
    for field in made:
        field.close()


@pytest.fixture
def field(make_field: Callable[..., Field]) -> Iterator[Field]:
    """Return two workers. When the test has passed, nothing is left in them and in Redis."""
    field = make_field()
    yield field
    field.finish()


@pytest.fixture
def patient(make_field: Callable[..., Field]) -> Iterator[Field]:
    """Return two workers with a grace period of a minute."""
    field = make_field(SITE_PROTOO_DISCONNECT_GRACE_PERIOD="60")
    yield field
    field.finish()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    report = yield
    field = item.funcargs.get("field") or item.funcargs.get("patient")
    if field is not None and report.failed:
        for worker in field.workers:
            report.sections.append(("output of a worker", worker.server.output()))
    return report
