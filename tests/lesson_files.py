"""The book's notebooks, and how a test runs one."""

from pathlib import Path
from typing import Any

from nbclient import NotebookClient

BOOK = Path(__file__).resolve().parent.parent / "book"
NOTEBOOKS = sorted(BOOK.glob("[0-9][0-9]_*.ipynb"))


def execute(notebook: Any, timeout: int = 240) -> None:
    """Run a notebook in the book's folder; what it prints goes into its cells."""
    NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(BOOK)}},
    ).execute()
