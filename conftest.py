"""Settings for every test and every notebook that pytest runs."""

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parent / "tools"))

from chromium import find_chromium

# One thread per process: pytest runs two at a time, and sums come out the same everywhere. Readers
# have more threads, so the slow tests run every notebook with those of the machine too.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the site: the longest file must not be the last to start."""
    items.sort(key=lambda item: item.path.name != "test_site.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what a notebook's cell wrote to standard error; nbval says only that it did."""
    report = yield
    outputs = getattr(item, "test_outputs", None) or []
    texts = [out.text for out in outputs if out.get("name") == "stderr"]
    if report.failed and texts:
        report.sections.append(("standard error of the cell", "".join(texts)))
    return report


# A browser for the tests of the site and of the live figures: one for each process.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NO_CHROMIUM = (
    "no Chromium found: install one (Debian, Ubuntu: sudo apt-get install chromium; macOS: brew "
    "install --cask chromium; or any Google Chrome), or name its program in CHROMIUM"
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start the system's Chromium; skip without one, except in continuous integration."""
    program = find_chromium()
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(NO_CHROMIUM)
        pytest.skip(NO_CHROMIUM)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """Open a wide window in the light theme."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    yield context.new_page()
    context.close()
