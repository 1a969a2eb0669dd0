"""Run the book's notebooks from the top and store clean outputs in place.

    python tools/notebooks.py                      every notebook of the book
    python tools/notebooks.py book/01_paper.ipynb  only these

What is stored does not depend on who ran it or when: no timings, progress bars, widget states or
machine paths; one kernel name; cells counted from 1; nothing that Colab, JupyterLab or VS Code have
left (tools/anywhere.py). A notebook that fails is left as it was.
"""

import argparse
import base64
import io
import os
import sys
import time
from pathlib import Path

import nbformat
from anywhere import give_form
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

BOOK = Path(__file__).resolve().parent.parent / "book"


def run(path: Path) -> None:
    """Execute one notebook and write it back."""
    notebook = nbformat.read(path, as_version=4)
    give_form(notebook, path.stem)
    execute(notebook, path.parent)
    give_form(notebook, path.stem)  # running leaves metadata too
    clean(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def execute(
    notebook: nbformat.NotebookNode, folder: Path, threads: int = 1, allow_errors: bool = False
) -> None:
    """Run all cells in a fresh kernel, whose working directory is the folder.

    With one thread, as in the tests, sums come out the same everywhere. The first cell that fails
    raises CellExecutionError, or with `allow_errors` the others go on.
    """
    client = NotebookClient(
        notebook,
        timeout=600,
        allow_errors=allow_errors,
        coalesce_streams=True,  # one cell's prints are one output, however they arrived
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env=os.environ | {"OMP_NUM_THREADS": str(threads)})


def clean(notebook: nbformat.NotebookNode) -> None:
    """Keep the outputs that a reader sees; drop what tells of this run alone."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[0].outputs = []  # the set-up tells of this machine
    for cell in code:
        cell.outputs = [
            output for output in cell.outputs if not (is_progress(output) or is_empty(output))
        ]
        for output in cell.outputs:
            picture = output.get("data", {}).get("image/png")
            if picture:
                output.data["image/png"] = compact(picture)


def compact(picture: str) -> str:
    """Store a PNG (base64) with a palette of 256 colours: a third of the size, the same to see."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    stored = io.BytesIO()
    image.quantize(256).save(stored, format="PNG", optimize=True)
    return base64.b64encode(stored.getvalue()).decode("ascii")


def is_progress(output: nbformat.NotebookNode) -> bool:
    """Tell a progress bar (on standard error, or a widget) from a result."""
    if output.output_type == "stream" and output.name == "stderr":
        if "it/s" in output.text or "epoch" in output.text or "\r" in output.text:
            return True
        raise SystemExit(f"a cell writes to standard error, which no page shows:\n{output.text}")
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def is_empty(output: nbformat.NotebookNode) -> bool:
    """Tell an output that was emptied when it had done its work, as `show_at_work` does."""
    return output.get("data", {}).get("text/html") == ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all in book/")
    paths = parser.parse_args().notebooks or sorted(BOOK.glob("*.ipynb"))
    failed = False
    for path in paths:
        begin = time.perf_counter()
        try:
            run(path)
        except CellExecutionError as error:
            failed = True
            print(f"{path}: FAILED, left as it was\n{error}", file=sys.stderr)
        else:
            print(f"{path}: {time.perf_counter() - begin:.0f} s")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
