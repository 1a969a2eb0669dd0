"""Settings for every test and every notebook that pytest runs."""

import os

import pytest

# One thread per process: pytest runs two at a time, and sums come out the same everywhere. Readers
# have more threads, so the slow tests run every notebook with those of the machine too.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the site: the longest file must not be the last to start."""
    items.sort(key=lambda item: item.path.name != "test_site.py")
