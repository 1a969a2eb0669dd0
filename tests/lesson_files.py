"""Which notebooks of the book are lessons, and which still have the form of chapters."""

from pathlib import Path

BOOK = Path(__file__).resolve().parent.parent / "book"
NOTEBOOKS = sorted(BOOK.glob("[0-9][0-9]_*.ipynb"))
CHAPTERS = {"09_reproduction"}  # to become lessons
LESSONS = [path for path in NOTEBOOKS if path.stem not in CHAPTERS]
