"""The site, built and served, for the tests that look at it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lighthouse
import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the book with warnings as errors, or take the one that BOOK_SITE names.

    The processes of one run share it: the first to ask builds.
    """
    if os.environ.get("BOOK_SITE"):
        return Path(os.environ["BOOK_SITE"]).resolve()
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if os.environ.get("PYTEST_XDIST_WORKER") else shared
    out = shared / "book"
    with FileLock(shared / "book.lock"):
        if not (out / "built").exists():
            build(out)
            (out / "built").touch()
    return (out / "_build" / "html").resolve()


def build(out: Path) -> None:
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "."]
    command += ["-W", "-n", "--keep-going", "--path-output", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"the book does not build:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Serve the site on the loopback interface, as a static host would."""
    with lighthouse.served(site) as address:
        yield address
