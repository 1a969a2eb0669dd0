"""Every exercise can be solved: its printed solution, put in place of the stub, is told right."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from lesson_files import NOTEBOOKS, execute

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
    execute(notebook, timeout=120)
    for number, stub in stubs.items():
        assert f"{number}: right." in printed(stub), f"{stub.source}\n\n{printed(stub)}"


MODEL_ANSWER_3_4 = """
import contextlib
import io


def width(block):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(block, globals())
    return int(said.getvalue())


randoms, sizes = [], []
for seed in range(5):
    torch.manual_seed(seed)
    initialise(untrained, "he")
    randoms.append(central_side(look(untrained), 0.5))
    sizes.append(width(SIZED))
shuffles = [
    width(SHUFFLED.replace("manual_seed(0)", f"manual_seed({seed})")) for seed in range(10)
]
print(randoms, sizes, shuffles)
"""


@pytest.mark.slow
def test_model_answer_3_4_says_what_its_own_code_prints() -> None:
    path = next(path for path in NOTEBOOKS if path.name.startswith("03_"))
    notebook = nbformat.read(path, as_version=4)
    place = next(
        place
        for place, cell in enumerate(notebook.cells)
        if "First I kept the sizes" in cell.source
    )
    text = notebook.cells[place].source
    sized, shuffled = (part.split("```")[0] for part in text.split("```python\n")[1:])
    source = f"SIZED, SHUFFLED = {sized!r}, {shuffled!r}\n{MODEL_ANSWER_3_4}"
    notebook.cells[place:] = [nbformat.v4.new_code_cell(source)]
    execute(notebook)
    randoms, sizes, shuffles = (
        [int(number) for number in part.split(", ")]
        for part in re.findall(r"\[(.+?)\]", printed(notebook.cells[-1]))
    )
    assert f"It's {sizes[0]} (and {min(sizes[1:])} to {max(sizes[1:])} with four" in text
    spans = [f"{min(each)} to {max(each)}" for each in (shuffles, randoms)]
    assert f"Ten shuffles gave {spans[0]}, not the {spans[1]} of five random" in text
