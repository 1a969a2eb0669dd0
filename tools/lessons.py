"""Measure what a lesson asks of its reader, and write it where readers look for it.

    python tools/lessons.py            the measure of each lesson
    python tools/lessons.py --write    renew the minutes on the pages and on the front page, and the
                                       map of skills in the teacher's guide

Minutes are words of visible prose / 180, three quarters for each visible code cell, and six for
each exercise or task. What is folded or hidden, formulas and fenced code do not count.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from marks import renewed

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
FRONT_PAGE, GUIDE = BOOK / "intro.md", BOOK / "teaching" / "guide.md"
LESSONS = sorted(BOOK.glob("[0-9][0-9]_*.ipynb"))
WORDS_A_MINUTE, MINUTES_A_CELL, MINUTES_AN_EXERCISE = 180, 0.75, 6
UNSEEN = {"hide-input", "hide-cell", "remove-cell", "remove-input"}  # tags of cells
FOLDED = re.compile(r"<details.*?</details>", re.S)
NO_PROSE = re.compile(r"```.*?```|\$\$.*?\$\$", re.S)
WORD = re.compile(r"[A-Za-z0-9'\u2019-]+")
EXERCISE = re.compile(r"^#+\s*(?:Exercise|Task)", re.M)
PROMISE = re.compile(r"^(?:\d+ minutes to study · )?(?=\[Run on Colab\])", re.M)
# A row of the front page's table: what stands before the minutes names the notebook.
ROW = re.compile(r"^(\| .*\((\d\d_\w+\.ipynb)\).* \|) *\d* \|$", re.M)
SKILL = re.compile(
    r"^- (?P<skill>.+): \[(?P<section>.+)\]\([^#)]*#(?P<anchor>[\w-]+)\),"
    r" (?P<kind>exercise|task) (?P<number>\d+\.\d+)$"
)


class Load(NamedTuple):
    """What a lesson asks of its reader; `between` and `lines` are medians."""

    minutes: int
    words: int
    cells: int
    exercises: int
    between: float  # words between two visible code cells
    lines: float  # of a visible code cell
    longest: int  # code cell, in lines


class Skill(NamedTuple):
    """An item of "What you'll learn", with where it is learnt and tried."""

    skill: str
    section: str
    anchor: str
    kind: str  # exercise or task
    number: str


def load_notebook(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def is_seen(cell: Any) -> bool:
    """Tell whether the page shows a cell's code."""
    return bool(cell.source.strip()) and not UNSEEN & set(cell.metadata.get("tags", []))


def load(notebook: Any) -> Load:
    """Return the measure of a notebook."""
    words = exercises = since = 0
    lines, between = [], []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = NO_PROSE.sub(" ", FOLDED.sub(" ", cell.source))
            count = len(WORD.findall(text))
            words, since = words + count, since + count
            exercises += len(EXERCISE.findall(text))
        elif is_seen(cell):
            between += [since] if since else []
            since = 0
            lines.append(sum(bool(line.strip()) for line in cell.source.splitlines()))
    minutes = words / WORDS_A_MINUTE + MINUTES_A_CELL * len(lines) + MINUTES_AN_EXERCISE * exercises
    medians = statistics.median(between or [0]), statistics.median(lines or [0])
    return Load(round(minutes), words, len(lines), exercises, *medians, max(lines or [0]))


def skills(notebook: Any) -> list[Skill]:
    """Return the items of "What you'll learn".

    Raises ValueError for one that does not name its section and its exercise.
    """
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    listed = text.partition("**What you'll learn**")[2].partition("\n\n")[0]
    found = []
    for line in listed.splitlines():
        if line.startswith("- "):
            match = SKILL.match(line)
            if match is None:
                raise ValueError(
                    f"{line!r}: write `- skill: [Section](#section), exercise 1.1` (or task)"
                )
            found.append(Skill(**match.groupdict()))
    return found


def with_promise(notebook: Any) -> Any:
    """Return the notebook with its minutes before the links at its head."""
    first = notebook.cells[0]
    first.source = PROMISE.sub("0 minutes to study · ", first.source)  # these are read as well
    first.source = PROMISE.sub(f"{load(notebook).minutes} minutes to study · ", first.source)
    return notebook


def front_page(text: str) -> str:
    """Return the front page with the minutes in its table of lessons, and their sum."""
    minutes = []

    def row(match: re.Match[str]) -> str:
        minutes.append(load(load_notebook(BOOK / match[2])).minutes)
        return f"{match[1]} {minutes[-1]} |"

    text = ROW.sub(row, text)
    time = f"{len(minutes)} lessons of {min(minutes)} to {max(minutes)} minutes, "
    return renewed(text, {"time": f"{time}some {round(sum(minutes) / 60)} hours in all."})


def guide(text: str) -> str:
    """Return the teacher's guide with its map of skills."""
    rows = ["| Lesson | A student can | Learnt in | Tried in |", "|---|---|---|---|"]
    for path in LESSONS:
        number, notebook = int(path.name[:2]), load_notebook(path)
        if "**What you'll do**" in notebook.cells[4].source:
            continue  # a chapter that has not become a lesson yet
        for one in skills(notebook):
            place = f"[{one.section}](../{path.name}#{one.anchor})"
            rows.append(f"| {number} | {one.skill} | {place} | {one.kind} {one.number} |")
    return renewed(text, {"skills": "\n".join(rows)})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure what a lesson asks of its reader.")
    parser.add_argument("--write", action="store_true", help="renew what pages say of it")
    options = parser.parse_args(arguments)
    print(f"{'':24}{'  '.join(Load._fields)}")
    for path in LESSONS:
        notebook = load_notebook(path)
        if options.write:
            nbformat.write(with_promise(notebook), path)
        values = zip(Load._fields, load(notebook), strict=True)
        print(f"{path.stem:24}{'  '.join(f'{value:>{len(name)}g}' for name, value in values)}")
    if options.write:
        for page, renewed in ((FRONT_PAGE, front_page), (GUIDE, guide)):
            page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
