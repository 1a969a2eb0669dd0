"""What a lesson asks of its reader: how long, in which rhythm, and what is promised and tried."""

import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from lesson_files import NOTEBOOKS

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import lessons  # noqa: E402

LONGEST = 60  # minutes
MOST_WORDS = 19_500  # of the lessons that were chapters 1 to 7
FIRST_HALF = 9  # lessons
BETWEEN, SHORTEST_CODE, LONGEST_CODE, LONGEST_CELL = 60, 5, 8, 25

every_lesson = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def markdown(notebook: Any) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def anchor(heading: str) -> str:
    """Return the anchor that GitHub, Colab and the site give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def has_figure(cell: Any) -> bool:
    return any(
        key.startswith("image/") for out in cell.get("outputs", []) for key in out.get("data", {})
    )


def test_measure_counts_what_a_reader_reads() -> None:
    """Counted by hand: nine words of prose and a heading, one of three code cells, one task."""
    prose = "## Task 1.2: try it\n\nIt's a well-known net.\n\n$$a + b$$\n\n```python\nnot read\n```"
    folded = "<details><summary>Answer</summary>\n\nNot read either.\n\n</details>"
    cells = [
        nbformat.v4.new_markdown_cell(f"{prose}\n\n{folded}"),
        nbformat.v4.new_code_cell("a = 1\n\nb = 2"),
        nbformat.v4.new_code_cell("assert a", metadata={"tags": ["remove-cell"]}),
        nbformat.v4.new_code_cell("draw(a)", metadata={"tags": ["hide-input"]}),
    ]
    found = lessons.load(nbformat.v4.new_notebook(cells=cells))
    # Task 1 2 try it | It's a well-known net
    assert found == lessons.Load(7, 9, 1, 1, 9, 2, 2)


@every_lesson
def test_lesson_is_short_and_has_rhythm(path: Path) -> None:
    found = lessons.load(lessons.load_notebook(path))
    assert found.minutes <= LONGEST
    assert found.between <= BETWEEN
    assert SHORTEST_CODE <= found.lines <= LONGEST_CODE
    assert found.longest <= LONGEST_CELL


def test_first_half_takes_two_thirds_of_the_words_it_took() -> None:
    of_lessons = [path for path in NOTEBOOKS if int(path.name[:2]) <= FIRST_HALF]
    words = [lessons.load(lessons.load_notebook(path)).words for path in of_lessons]
    assert sum(words) <= MOST_WORDS * len(words) / FIRST_HALF


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_minutes_on_the_page_are_those_of_the_measure(path: Path) -> None:
    notebook = lessons.load_notebook(path)
    minutes = lessons.load(notebook).minutes
    assert f"\n{minutes} minutes to study · [Run on Colab](" in notebook.cells[0].source


def test_front_page_and_guide_say_what_the_lessons_say() -> None:
    for page, renewed in ((lessons.FRONT_PAGE, lessons.front_page), (lessons.GUIDE, lessons.guide)):
        text = page.read_text(encoding="utf-8")
        assert renewed(text) == text, "run `python tools/lessons.py --write`"
    linked = lessons.ROW.findall(lessons.FRONT_PAGE.read_text(encoding="utf-8"))
    assert [name for _, name in linked] == [path.name for path in NOTEBOOKS]


@every_lesson
def test_everything_promised_has_a_section_and_is_tried(path: Path) -> None:
    notebook = lessons.load_notebook(path)
    text = markdown(notebook)
    headings = {anchor(title): title for title in re.findall(r"^## (.+)$", text, re.M)}
    tried = re.findall(r"^### (Exercise|Task) (\d+\.\d+): \S", text, re.M)
    promised = lessons.skills(notebook)
    assert 3 <= len(promised) <= 6
    for one in promised:
        assert headings[one.anchor] == one.section
        assert (one.kind.capitalize(), one.number) in tried
    assert {one.number for one in promised} == {number for _, number in tried}, "all are promised"


def test_skill_without_a_section_is_told_how_to_be_written() -> None:
    listed = "**What you'll learn**\n- count: [Count](#count), exercise 2.1\n- see it grow\n\nMore."
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(listed)])
    with pytest.raises(ValueError, match=r"see it grow.*exercise 1\.1"):
        lessons.skills(notebook)


@every_lesson
def test_there_is_one_open_task_with_a_model_answer(path: Path) -> None:
    text = markdown(lessons.load_notebook(path))
    tasks = re.findall(r"^### Task .+?(?=^##|\Z)", text, re.M | re.S)
    assert len(tasks) == 1
    assert "<details><summary>A model answer</summary>\n\n" in tasks[0]


@every_lesson
def test_page_takes_guesses_and_can_answer_them(path: Path) -> None:
    guesses = re.findall(
        r'<details class="guess"( [^>]+)><summary>(.+?)</summary>\n\n(.+?)\n\n</details>',
        markdown(lessons.load_notebook(path)),
        re.S,
    )
    assert len(guesses) >= 2
    for attributes, question, _ in guesses:
        data = dict(re.findall(r' data-(\w+)="([^"]+)"', attributes))
        assert "?" in question
        if "choices" in data:
            assert data["answer"] in data["choices"].split("|")
        else:
            assert float(data["tolerance"]) < abs(float(data["answer"])) / 2


@every_lesson
def test_reader_sees_no_assertion(path: Path) -> None:
    for cell in lessons.load_notebook(path).cells:
        if cell.cell_type == "code" and lessons.is_seen(cell):
            assert not re.search(r"^\s*assert\b", cell.source, re.M), cell.source


@every_lesson
def test_every_figure_has_a_caption_below_it(path: Path) -> None:
    cells = lessons.load_notebook(path).cells
    for index, cell in enumerate(cells):
        if has_figure(cell):
            below = next(one for one in cells[index + 1 :] if one.cell_type == "markdown")
            first = below.source.partition("\n\n")[0]
            assert re.fullmatch(r"\*[^*].*[^*]\*", first, re.S), f"{cell.source}\n\n{first}"
