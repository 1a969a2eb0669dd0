"""Every exercise can be solved: its printed solution, put in place of the stub, is told right."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from lesson_files import BOOK, NOTEBOOKS
from nbclient import NotebookClient

CHECK = re.compile(r'^check\("(\d+\.\d+)", .*\)$', re.M)

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def exercises(notebook: Any) -> dict[str, Any]:
    """Return the stub cells by the number of their exercise."""
    found = {}
    for cell in notebook.cells:
        match = CHECK.search(cell.source) if cell.cell_type == "code" else None
        if match:
            found[match[1]] = cell
    return found


def solution(notebook: Any, stub: Any) -> str:
    """Return the first Python block of the solution folded below a stub."""
    text = notebook.cells[notebook.cells.index(stub) + 1].source
    folded = text.split("<summary>Solution</summary>")[1]
    return folded.split("```python\n")[1].split("```")[0]


def printed(cell: Any) -> str:
    return "".join(out.text for out in cell.outputs if out.output_type == "stream")


@every_notebook
def test_stored_stubs_say_that_no_answer_is_given(path: Path) -> None:
    stubs = exercises(nbformat.read(path, as_version=4))
    assert stubs
    for number, stub in stubs.items():
        assert printed(stub).startswith(f"{number}: no answer yet"), printed(stub)


@pytest.mark.slow
@every_notebook
def test_printed_solutions_are_right(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    stubs = exercises(notebook)
    for stub in stubs.values():
        check = CHECK.search(stub.source)
        assert check
        stub.source = solution(notebook, stub) + stub.source[check.start() :]
    last = notebook.cells.index(list(stubs.values())[-1])
    notebook.cells = notebook.cells[: last + 1]
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(BOOK)}}
    ).execute()
    for number, stub in stubs.items():
        assert f"{number}: right." in printed(stub), f"{stub.source}\n\n{printed(stub)}"
