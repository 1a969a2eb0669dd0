"""Notebooks get the form in which they open anywhere, whoever has saved them before."""

import copy
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from lesson_files import NOTEBOOKS

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import anywhere  # noqa: E402
import notebooks  # noqa: E402

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def load(path: Path) -> Any:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def saved_by_colab(notebook: Any) -> Any:
    """Return what Colab's "Save a copy in GitHub" stores, as its files look."""
    notebook.nbformat_minor = 0
    notebook.metadata |= {"colab": {"provenance": [], "include_colab_link": True}, "widgets": {}}
    for cell in notebook.cells:
        cell.metadata |= {"id": cell.pop("id"), "colab": {"base_uri": "https://localhost:8080/"}}
        if cell.cell_type == "code":
            cell.metadata |= {"outputId": "0e9", "executionInfo": {"status": "ok"}}
    badge = nbformat.from_dict(
        {
            "cell_type": "markdown",
            "metadata": {"id": "view-in-github", "colab_type": "text"},
            "source": '<a href="https://colab.research.google.com/github/a/b/blob/main/c.ipynb" '
            'target="_parent"><img src="https://colab.research.google.com/assets/colab-badge.svg" '
            'alt="Open In Colab"/></a>',
        }
    )
    notebook.cells.insert(0, badge)
    return notebook


def saved_by_jupyterlab(notebook: Any) -> Any:
    """Return what JupyterLab stores, with the empty cell that it opens at the end."""
    notebook.metadata.kernelspec.display_name = "Python 3 (ipykernel)"
    notebook.metadata.language_info |= {"version": "3.13.1", "file_extension": ".py"}
    for cell in notebook.cells:
        cell.metadata |= {"editable": True, "slideshow": {"slide_type": ""}}
        cell.metadata |= {"scrolled": True} if cell.cell_type == "code" else {}
    notebook.cells[-1].attachments = {}
    notebook.cells.append(nbformat.v4.new_code_cell(""))
    return notebook


def saved_by_vs_code(notebook: Any) -> Any:
    """Return what VS Code stores, on Windows."""
    notebook.metadata.kernelspec = {"display_name": ".venv", "language": "python", "name": "venv"}
    notebook.metadata.orig_nbformat = 4
    for cell in notebook.cells:
        cell.metadata.vscode = {"languageId": "python"}
        cell.source = cell.source.replace("\n", "\r\n")
    return notebook


@every_notebook
def test_form_is_written_already(path: Path) -> None:
    notebook = load(path)
    anywhere.give_form(notebook, path.stem)
    assert notebook == load(path), "run `python tools/anywhere.py`"


@pytest.mark.parametrize("saved", [saved_by_colab, saved_by_jupyterlab, saved_by_vs_code])
@every_notebook
def test_what_another_editor_left_is_taken_off(path: Path, saved: Any) -> None:
    notebook = saved(load(path))
    assert notebook != load(path)
    anywhere.give_form(notebook, path.stem)
    nbformat.validate(notebook)
    assert notebook == load(path)


def test_make_notebooks_takes_what_colab_saved(tmp_path: Path) -> None:
    """The command itself, on a file that names no cell and has outputs of a machine."""
    notebook = load(ROOT / "book" / "01_paper.ipynb")
    notebook.cells = [*notebook.cells[:2], nbformat.v4.new_code_cell("print(6 * 7)")]
    expected = copy.deepcopy(notebook)
    notebook = saved_by_colab(notebook)
    del notebook.cells[-1].metadata["id"]
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="my machine")]
    path = tmp_path / "01_paper.ipynb"
    nbformat.write(notebook, path)
    notebooks.run(path)
    stored = load(path)
    nbformat.validate(stored)
    assert (stored.nbformat, stored.nbformat_minor) == (4, 5)
    assert stored.metadata == expected.metadata
    assert [cell.source for cell in stored.cells] == [cell.source for cell in expected.cells]
    assert [cell.id for cell in stored.cells[:2]] == [cell.id for cell in expected.cells[:2]]
    assert stored.cells[1].outputs == []
    assert stored.cells[2].outputs[0].text == "42\n"


def test_a_cell_s_own_name_stays_and_no_two_share_one() -> None:
    cells = [nbformat.v4.new_markdown_cell(text) for text in ("one", "two", "three")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    cells[0].id, cells[1].id, cells[2].id = "mine", "mine", "not a name!"
    anywhere.take_off(notebook)
    names = [cell.id for cell in notebook.cells]
    assert names[0] == "mine"
    assert len(set(names)) == 3
    nbformat.validate(notebook)


def test_links_become_addresses_and_nothing_else_does() -> None:
    site = anywhere.PUBLISHED + "book/"
    text = """\
[there](04_configs.ipynb), [a place](04_configs.ipynb#build-it), [a page](reference/api.md#net),
[here](#below), [elsewhere](https://pytorch.org/#news), f[i](x)

```python
rows[0](04_configs.ipynb)
```"""
    wanted = f"""\
[there]({site}04_configs.html), [a place]({site}04_configs.html#build-it), [a page]({site}\
reference/api.html#net),
[here]({site}01_paper.html#below), [elsewhere](https://pytorch.org/#news), f[i](x)

```python
rows[0](04_configs.ipynb)
```"""
    assert anywhere.with_published_links(text, "01_paper") == wanted
    assert anywhere.with_published_links(wanted, "01_paper") == wanted


def test_cells_that_the_site_hides_are_folded_once() -> None:
    hidden = nbformat.v4.new_code_cell("draw()", metadata={"tags": ["hide-input"]})
    hidden.metadata.mystnb = {"code_prompt_show": "Show the code of this figure"}
    unseen = nbformat.v4.new_code_cell("assert True", metadata={"tags": ["remove-cell"]})
    seen = nbformat.v4.new_code_cell("# @title The code of this figure\ndraw()")
    for _ in range(2):
        for cell in (hidden, unseen, seen):
            anywhere.fold(cell)
    assert hidden.source == "# @title The code of this figure\ndraw()"
    assert unseen.source == "# @title A check for the book's tests\nassert True"
    assert seen.source == "draw()"  # no longer hidden
    assert [cell.metadata.get("cellView") for cell in (hidden, unseen, seen)] == [
        "form",
        "form",
        None,
    ]
