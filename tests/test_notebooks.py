"""The form of every notebook, and proof that comparing stored outputs can fail.

What the notebooks compute is compared by nbval when pytest runs over `book/`. CONTRIBUTING.md says
in words what is held here.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from lesson_files import NOTEBOOKS

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
TABLE = re.findall(
    r'^(repository|branch) = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.M
)
REPOSITORY, BRANCH = dict(TABLE)["repository"], dict(TABLE)["branch"]

SETUP = f"""\
# @title Set up: run this cell first
import importlib.util
import os
import subprocess
import sys

KEEP_ON_DRIVE = False  # @param {{type: "boolean"}}

if importlib.util.find_spec("vgg_utils") is None:  # the book's module
    address = "git+https://github.com/{REPOSITORY}@{BRANCH}"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", address],
        env=os.environ | {{"GIT_TERMINAL_PROMPT": "0"}},
        capture_output=True, text=True,
    )
    if done.returncode:
        raise RuntimeError(
            done.stderr + f"\\nCould not install {{address}}."
            "\\nIs there a network? On Kaggle, switch on Settings > Internet."
            "\\nThen run this cell again. Without a network, install the"
            " module\\nfrom a copy of the book: pip install --no-deps FOLDER"
        )
    importlib.invalidate_caches()

from vgg_utils.start import start_lesson

start_lesson("LESSON", keep_on_drive=KEEP_ON_DRIVE)

from vgg_utils import plots

plots.use_book_style()"""
SITE = f"https://{REPOSITORY.replace('/', '.github.io/')}/"
LINKS = (
    f"[Run on Colab](https://colab.research.google.com/github/{REPOSITORY}/blob/{BRANCH}/book/"
    f"LESSON.ipynb) · [Download the notebook]({SITE}_sources/book/LESSON.ipynb)"
)
TAGS = {"hide-input", "hide-output", "nbval-ignore-output", "remove-cell"}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
FOR_GPU = {"accelerator": "GPU", "colab": {"gpuType": "T4", "provenance": []}}  # Colab's words
FOLDED = {"hide-input", "remove-cell"}  # tags
SECTIONS = ["Summary", "In practice", "Further reading"]  # at the end, in this order
MACHINE_PATH = re.compile(
    # Drive's folder on Colab, where readers keep their runs, is nobody's machine.
    r"(?<![\w.:/-])/(?:home|root|work|tmp|Users|var/folders|content(?!/drive))/|[A-Z]:\\+Users"
)
LEAST_COMPARED = 5
LONGEST_CODE_LINE = 80
SHORTEST_ALT = 40

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def load(path: Path) -> Any:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in load(path).cells if cell.cell_type == "code"]


def markdown(path: Path) -> str:
    return "\n\n".join(cell.source for cell in load(path).cells if cell.cell_type == "markdown")


def tags(cell: Any) -> set[str]:
    return set(cell.metadata.get("tags", []))


def text_of(output: Any) -> str:
    """Return what an output says in words or markup, without embedded pictures."""
    if output.output_type == "stream":
        return str(output.text)
    data = output.get("data", {})
    text = "\n".join(str(value) for key, value in data.items() if key.startswith("text/"))
    return re.sub(r"base64,[A-Za-z0-9+/=\s]+", "", text)


def is_compared(cell: Any) -> bool:
    """Tell whether nbval compares words or numbers of this cell, not a figure's size alone."""
    texts = [text_of(output) for output in cell.outputs]
    says = any(text.strip() and not text.startswith("<Figure") for text in texts)
    return says and "nbval-ignore-output" not in tags(cell)


def test_every_chapter_of_the_table_of_contents_is_a_notebook_and_back() -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    assert [f for f in files if re.match(r"book/\d\d_", f)] == [
        f"book/{path.stem}" for path in NOTEBOOKS
    ]


@every_notebook
def test_notebook_is_valid_and_stored_clean(path: Path) -> None:
    notebook = load(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    takes = json.loads((ROOT / "vgg_utils" / "lessons.json").read_text("utf-8"))
    assert path.stem in takes, f"run `python tools/anywhere.py --measure {path.name}`"
    offers = takes[path.stem]
    assert notebook.metadata == METADATA | (FOR_GPU if offers["choice"] else {})
    for cell in notebook.cells:
        known = {"tags", "mystnb", "cellView", "jupyter"}
        assert set(cell.metadata) <= known, f"run `make notebooks`: {cell.source}"
        assert tags(cell) <= TAGS, cell.source


@every_notebook
def test_notebook_holds_no_weights(path: Path) -> None:
    """The network at work gets them from the kernel, and what brought them is emptied."""
    for cell in code_cells(path):
        for output in cell.outputs:
            page = "".join(output.get("data", {}).get("text/html", "-"))
            assert page, "run `make notebooks`: an output that was emptied is stored"
            assert not re.search(r"base64,?[A-Za-z0-9+/=]{50000}|'[A-Za-z0-9+/=]{50000}", page)


@every_notebook
def test_what_the_site_folds_is_folded_on_colab_and_in_jupyterlab(path: Path) -> None:
    for cell in load(path).cells:
        if FOLDED & tags(cell):
            assert cell.metadata["cellView"] == "form"
            assert cell.metadata["jupyter"] == {"source_hidden": True}
            assert re.match(r"# @title [A-Z][^\n]+[^.\n]\n", cell.source), cell.source
        else:
            assert not {"cellView", "jupyter"} & set(cell.metadata), cell.source
            assert "# @title" not in cell.source


@every_notebook
def test_folds_open_everywhere(path: Path) -> None:
    """Colab, as GitHub, takes what is within for markdown only behind an empty line."""
    text = re.sub(r"(?ms)^````?\w*$.*?^````?$", "", markdown(path))
    folds = re.findall(r"<details[^>]*><summary>[^\n]+</summary>\n\n", text)
    assert len(folds) == text.count("<details") == text.count("\n\n</details>")


@every_notebook
def test_every_code_cell_was_run_in_order_without_error_or_warning(path: Path) -> None:
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for output in (output for cell in cells for output in cell.outputs):
        assert output.output_type != "error", output.get("evalue")
        assert output.get("name") != "stderr", output.get("text")


@every_notebook
def test_no_path_of_a_machine_is_stored(path: Path) -> None:
    for cell in load(path).cells:
        texts = [cell.source, *(text_of(output) for output in cell.get("outputs", []))]
        for text in texts:
            found = MACHINE_PATH.search(text)
            assert not found, text[max(0, found.start() - 60) : found.end() + 60]


@every_notebook
def test_enough_is_compared_and_what_is_not_is_asserted(path: Path) -> None:
    cells = code_cells(path)
    assert sum(map(is_compared, cells)) >= LEAST_COMPARED
    for cell, after in zip(cells[1:], [*cells[2:], None], strict=True):  # all but the set-up
        if "nbval-ignore-output" in tags(cell):
            source = cell.source
            if after is not None and "remove-cell" in tags(after):
                source += "\n" + after.source  # out of the reader's sight
            assert re.search(r"^\s*assert\b", source, re.M), cell.source


@every_notebook
def test_every_figure_has_alt_text(path: Path) -> None:
    for cell in code_cells(path):
        if any(key.startswith("image/") for out in cell.outputs for key in out.get("data", {})):
            image = cell.metadata.get("mystnb", {}).get("image", {})
            assert len(image.get("alt", "")) >= SHORTEST_ALT, cell.source
    for alt in re.findall(r"!\[([^\]]*)\]\(", markdown(path)):
        assert len(alt) >= SHORTEST_ALT, alt


@every_notebook
def test_code_lines_fit_a_phone_turned_sideways(path: Path) -> None:
    for cell in code_cells(path):
        for line in cell.source.splitlines():
            assert len(line) <= LONGEST_CODE_LINE, line
            assert not re.search(r"#\s*(?:fmt:|noqa)", line), "a reader has no use for it"


@every_notebook
def test_markdown_reads_the_same_on_github_colab_and_the_site(path: Path) -> None:
    text = markdown(path)
    assert not re.search(r"^\s*(?:```+|~~~+|:::+)\s*\{", text, re.M), "a MyST directive"
    assert not re.search(r"\{[a-z][a-z:_-]*\}`", text), "a MyST role"
    assert not re.search(r"^\([\w-]+\)=\s*$", text, re.M), "a MyST label"


def anchors(page: str) -> set[str]:
    """Return the anchors of a page of the book, as the site names them after its headings."""
    path = next(path for path in (BOOK / f"{page}.ipynb", BOOK / f"{page}.md") if path.exists())
    text = path.read_text("utf-8") if path.suffix == ".md" else markdown(path)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in headings}


@every_notebook
def test_links_lead_to_published_pages_and_places_on_them(path: Path) -> None:
    """A relative link would lead nowhere on Colab, nor in a notebook that was downloaded alone."""
    text = markdown(path)
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(?ms)^```.*?^```$", "", text)):
        assert re.match(r"https?:", link), f"{link}: run `python tools/anywhere.py`"
    links = re.findall(rf"\({re.escape(SITE)}book/([\w/-]+)\.html(?:#([\w-]+))?\)", text)
    assert len(links) + 1 == text.count(SITE), "one more is the notebook's file"
    for page, anchor in links:
        assert not anchor or anchor in anchors(page), f"{page}#{anchor}"


@every_notebook
def test_page_begins_as_every_page(path: Path) -> None:
    cells = load(path).cells
    head = re.split(r"\n\s*\n", cells[0].source.strip())
    assert len(head) == 3, f"a title, a lead and the links, not {head}: run `make notebooks`"
    title, lead, links = head
    assert re.fullmatch(r"# [A-Z].*[^.]", title)
    assert not re.match(r"# (?:Chapter|\d)", title), "the table of contents numbers the chapters"
    assert lead
    links = re.sub(r"^\d+ minutes to study · ", "", links)
    assert links == LINKS.replace("LESSON", path.stem)
    assert cells[1].cell_type == "code"
    assert cells[1].source == SETUP.replace("LESSON", path.stem)
    assert re.search(r"^(?:from|import) ", cells[2].source, re.M), "the imports come next"
    for cell in cells[1:3]:
        assert "hide-input" in tags(cell), "on the site the page opens with its picture"
    prompts = [cell.metadata["mystnb"]["code_prompt_show"] for cell in cells[1:3]]
    assert prompts == ["Show the set-up", "Show the imports"]


@every_notebook
def test_page_says_what_the_reader_will_learn_and_need(path: Path) -> None:
    text = markdown(path)
    places = [text.find(f"**What you'll {verb}") for verb in ("learn", "need")]
    assert -1 not in places
    assert places == sorted(places)
    assert places[-1] < text.find("\n## "), "before the first section"
    need = text[places[-1] : text.find("\n## ")]
    assert "CPU" in need, "say how long it takes on a CPU, and on a GPU"
    assert "GPU" in need
    seconds = float(re.search(r"(\d+) seconds on", need)[1])  # type: ignore[index]
    takes = json.loads((ROOT / "vgg_utils" / "lessons.json").read_text("utf-8"))[path.stem]
    assert 0.7 <= seconds / takes["seconds"] <= 3, "as the first cell says, from lessons.json"


@every_notebook
def test_page_ends_as_every_page(path: Path) -> None:
    text = markdown(path)
    titles = re.findall(r"^## (.+)$", text, re.M)
    assert titles[-len(SECTIONS) :] == SECTIONS
    assert len(titles) > len(SECTIONS), "no section of its own"
    assert len(re.findall(r"^# .+", text, re.M)) == 1
    summary = text.split("\n## Summary\n")[1].split("\n## ")[0].strip()
    assert len([line for line in summary.splitlines() if re.match(r"[-*] |\d\. ", line)]) == 5
    reading = text.split("\n## Further reading\n")[1]
    assert len(re.findall(r"\]\(", reading)) >= 2
    last = text.strip().splitlines()[-1]
    later = [other.stem for other in NOTEBOOKS if other > path]
    if later:
        assert re.fullmatch(rf"Next: \[.+\]\({re.escape(SITE)}book/{later[0]}\.html\)\.", last)
    else:
        assert re.search(r"\]\(\S+\)", last), "the last chapter leads on to a page"


@every_notebook
def test_exercises_have_a_stub_a_check_a_hint_and_a_solution(path: Path) -> None:
    cells = load(path).cells
    lesson = int(path.name[:2])
    stubs = [cell for cell in cells if cell.cell_type == "code" and "\ncheck(" in cell.source]
    assert 2 <= len(stubs) <= 4
    named = re.findall(r"^### (Exercise|Task) (\S+): \S", markdown(path), re.M)
    assert [number for _, number in named] == [f"{lesson}.{k + 1}" for k in range(len(named))]
    numbers = [number for kind, number in named if kind == "Exercise"]
    for number, stub in zip(numbers, stubs, strict=True):
        last = stub.source.strip().splitlines()[-1]
        assert re.fullmatch(rf'check\("{re.escape(number)}", \w+\)', last), stub.source
        answer = cells[cells.index(stub) + 1]
        assert answer.cell_type == "markdown"
        for summary in ("Hint", "Solution"):
            assert answer.source.count(f"<details><summary>{summary}</summary>\n\n") == 1
        assert answer.source.count("\n\n</details>") >= 2
        assert "\n```python\n" in answer.source.split("<summary>Solution</summary>")[1]


def excerpt() -> Any:
    """Return the shortest beginning of a notebook that ends in a number nbval compares."""
    shortest = None
    for path in NOTEBOOKS:
        notebook = load(path)
        notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for index, cell in enumerate(notebook.cells):
            numbers = [out for out in cell.outputs if re.search(r"\d", text_of(out))]
            if is_compared(cell) and numbers and numbers[0].output_type == "stream":
                if shortest is None or index + 1 < len(shortest.cells):
                    notebook.cells = notebook.cells[: index + 1]
                    shortest = notebook
                break
    assert shortest is not None
    return shortest


@pytest.mark.slow
def test_an_altered_number_in_a_stored_output_is_rejected(tmp_path: Path) -> None:
    """Without this, a comparison that never fails would look like one that always passes."""
    notebook = excerpt()
    nbformat.write(notebook, tmp_path / "stored.ipynb")
    output = next(out for out in notebook.cells[-1].outputs if out.output_type == "stream")
    output.text = re.sub(r"\d", lambda m: str((int(m[0]) + 1) % 10), output.text, count=1)
    nbformat.write(notebook, tmp_path / "altered.ipynb")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-rA", "-q"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    count = len(notebook.cells)
    assert done.returncode == 1, done.stdout
    assert f"FAILED altered.ipynb::Cell {count - 1}" in done.stdout
    assert f"1 failed, {2 * count - 1} passed" in done.stdout, done.stdout
