"""What the tests of benchmarks share."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Benchmarks import one another as programs beside each other do."""
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "benchmarks")
